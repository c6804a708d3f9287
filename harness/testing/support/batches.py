"""Batches made of tensors, to try metrics and other reductions without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Batch, FollowedPath, Latents, PathTail, Sae, Side, Site


class ArraySide:
    """A `Side` that holds its activations and SAEs; latents are made when they are asked for."""

    def __init__(
        self,
        activations: Mapping[Site, Float[Tensor, "tokens d"]],
        saes: Mapping[str, Sae],
        selected: Int[Tensor, " selected"],
        logits: Float[Tensor, "tokens vocab"] | None = None,
    ) -> None:
        self.activations = dict(activations)
        self.saes = dict(saes)
        self.selected = selected
        self.own_logits = logits

    def x(self, site: Site) -> Float[Tensor, "tokens d"]:
        """Activations at a site."""
        return self.activations[site]

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens."""
        site = site or self.saes[sae].facts.site
        assert site is not None, f"SAE {sae} does not know its site: name one"
        return self.saes[sae].encode(self.x(site)[self.selected])

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens."""
        return self.saes[sae].reconstruct(self.latents(sae, site))

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """Next-token logits."""
        assert self.own_logits is not None, "this side was made without logits"
        return self.own_logits

    def encode(self, sae: str, x: Float[Tensor, "tokens d"]) -> Latents:
        """Latents of other activations."""
        return self.saes[sae].encode(x)

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d"]:
        """x̂ of other latents."""
        return self.saes[sae].reconstruct(latents)


class PairArraySide(ArraySide):
    """A side of a pair: what its SAEs make of the tokens, they make of both sides together."""

    def __init__(
        self,
        own: ArraySide,
        name: Literal["left", "right"],
        other: ArraySide,
        pair_saes: Mapping[str, Sae],
    ) -> None:
        saes = {**own.saes, **pair_saes}
        super().__init__(own.activations, saes, own.selected, own.own_logits)
        self.name = name
        self.pair_saes = dict(pair_saes)
        self._both: dict[str | None, ArraySide] = {name: self, _ACROSS[name]: other}

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens; of an SAE of the pair, those of both sides."""
        if sae not in self.pair_saes:
            return super().latents(sae, site)
        facts = self.pair_saes[sae].facts
        site = site or facts.site
        assert site is not None, f"SAE {sae} does not know its site: name one"
        parts = [self._both[one.side].x(site)[self.selected] for one in facts.inputs]
        whole = parts[1] - parts[0] if facts.join == "difference" else torch.cat(parts, dim=1)
        return self.pair_saes[sae].encode(whole)

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens; of a crosscoder, this side's part."""
        if sae not in self.pair_saes:
            return super().reconstruction(sae, site)
        facts = self.pair_saes[sae].facts
        assert facts.join == "concatenated", "of an SAE of differences, ask for its rows"
        place = [one.side for one in facts.inputs].index(self.name)
        whole = self.pair_saes[sae].reconstruct(self.latents(sae, site))
        return whole[:, facts.columns()[place]]


_ACROSS = {"left": "right", "right": "left"}


class TakenSide:
    """Some tokens of another side, in another order."""

    def __init__(
        self, side: Side, tokens: Int[Tensor, " m"], picked: Int[Tensor, " selected"]
    ) -> None:
        self._side = side
        self._tokens = tokens
        self._picked = picked

    def x(self, site: Site) -> Float[Tensor, "tokens d"]:
        """Activations at a site."""
        return self._side.x(site)[self._tokens]

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens."""
        return self._side.latents(sae, site).take(self._picked)

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens."""
        return self._side.reconstruction(sae, site)[self._picked]

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """Next-token logits."""
        return self._side.logits()[self._tokens]

    def encode(self, sae: str, x: Float[Tensor, "tokens d"]) -> Latents:
        """Latents of other activations."""
        return self._side.encode(sae, x)

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d"]:
        """x̂ of other latents."""
        return self._side.decode(sae, latents)


def array_batch(
    document: Sequence[int],
    left: Mapping[Site, Float[Tensor, "tokens d"]],
    right: Mapping[Site, Float[Tensor, "tokens d"]] | None = None,
    *,
    saes: Mapping[str, Sae] | None = None,
    selected: Sequence[int] | None = None,
    documents: Sequence[str] | None = None,
    ids: Sequence[int] | None = None,
    logits: tuple[Tensor, ...] = (),
    pair_saes: Mapping[str, Sae] | None = None,
) -> Batch:
    """A batch from tensors: `document` says for each token which document it belongs to.

    Without `selected` all tokens are; without names, documents are `0`, `1`, …; without `ids`
    every token is 0. `logits` are those of the left side, and of the right one. Of `saes` each side
    encodes its own activations; of `pair_saes`, such as a crosscoder, both sides together.
    """
    row = torch.tensor(document, dtype=torch.long)
    kept = torch.arange(len(row)) if selected is None else torch.tensor(selected, dtype=torch.long)
    names = documents or [str(i) for i in range(int(row.max()) + 1 if len(row) else 0)]
    outs = (*logits, None, None)
    own = ArraySide(left, saes or {}, kept, outs[0])
    other = None if right is None else ArraySide(right, saes or {}, kept, outs[1])
    if pair_saes:
        assert other is not None, "an SAE of a pair reads two sides"
        own, other = (
            PairArraySide(own, "left", other, pair_saes),
            PairArraySide(other, "right", own, pair_saes),
        )
    seen: dict[int, int] = {}
    position: list[int] = []
    for one in document:
        position.append(seen.get(one, 0))
        seen[one] = position[-1] + 1
    return Batch(
        "pair" if right else "view",
        tuple(names),
        row,
        kept,
        own,
        other,
        ids=torch.tensor([0] * len(row) if ids is None else list(ids), dtype=torch.long),
        position=torch.tensor(position, dtype=torch.long),
        saes=dict(saes or {}),
    )


def take(batch: Batch, tokens: Int[Tensor, " m"], documents: Sequence[int] | None = None) -> Batch:
    """Some tokens of a batch, each once, in the order of `tokens`.

    `documents` are the indices of the documents that are kept, in their new order: all those of
    the tokens must be among them. Without it, all documents are kept.
    """
    order = list(range(len(batch.documents))) if documents is None else list(documents)
    renumbered = _places(order, len(batch.documents))
    moved = _places(tokens, len(batch.document))[batch.selected]
    # For each selected token that is kept, its row of the latents, in the new order.
    picked = torch.argsort(moved)
    picked = picked[moved[picked] >= 0]
    return replace(
        batch,
        documents=tuple(batch.documents[index] for index in order),
        document=renumbered[batch.document[tokens]],
        selected=moved[picked],
        left=TakenSide(batch.left, tokens, picked),
        right=None if batch.right is None else TakenSide(batch.right, tokens, picked),
        ids=batch.ids[tokens],
        position=batch.position[tokens],
        copies=tuple(batch.copies[index] for index in order) if batch.copies else (),
        paths={path: _taken(followed, tokens, order) for path, followed in batch.paths.items()},
    )


def _taken(followed: FollowedPath, tokens: Int[Tensor, " m"], order: Sequence[int]) -> FollowedPath:
    """A path at some tokens and documents of a batch."""
    of = torch.tensor(order, dtype=torch.long)
    tails = [
        PathTail(
            tail.gradient[tokens],
            tail.at_left[of],
            tail.at_right[of],
            tail.plain[of],
            tail.along[of],
        )
        for tail in (followed.left, followed.right)
    ]
    return FollowedPath(*tails)


def one_more(followed: FollowedPath) -> FollowedPath:
    """A path with one more document, which has no measured token and where nothing changes."""
    tails = []
    for tail in (followed.left, followed.right):
        numbers = (tail.at_left, tail.at_right, tail.plain, tail.along)
        tails.append(PathTail(tail.gradient, *(torch.cat([n, n.new_zeros(1)]) for n in numbers)))
    return FollowedPath(*tails)


def reselected(batch: Batch, places: Int[Tensor, " m"]) -> Batch:
    """The batch with fewer selected tokens: those at these places among the selected ones."""
    tokens = torch.arange(len(batch.document))
    return replace(
        batch,
        selected=batch.selected[places],
        left=TakenSide(batch.left, tokens, places),
        right=None if batch.right is None else TakenSide(batch.right, tokens, places),
    )


class ElsewhereSide:
    """Another side with other activations and logits at some tokens."""

    def __init__(self, side: Side, tokens: Int[Tensor, " m"], seed: int) -> None:
        self._side = side
        self._tokens = tokens
        self._seed = seed

    def x(self, site: Site) -> Float[Tensor, "tokens d"]:
        """Activations at a site, noise at those tokens."""
        return self._other(self._side.x(site))

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens."""
        return self._side.latents(sae, site)

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens."""
        return self._side.reconstruction(sae, site)

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """Next-token logits, noise at those tokens."""
        return self._other(self._side.logits())

    def encode(self, sae: str, x: Float[Tensor, "tokens d"]) -> Latents:
        """Latents of other activations."""
        return self._side.encode(sae, x)

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d"]:
        """x̂ of other latents."""
        return self._side.decode(sae, latents)

    def _other(self, values: Float[Tensor, "tokens n"]) -> Float[Tensor, "tokens n"]:
        generator = torch.Generator().manual_seed(self._seed)
        noise = torch.randn(len(self._tokens), values.shape[1], generator=generator)
        changed = values.clone()
        changed[self._tokens] = 5 * noise.to(values)
        return changed


def elsewhere(batch: Batch, seed: int) -> Batch:
    """The batch with other activations and logits at the tokens that are not selected."""
    others = torch.ones(len(batch.document), dtype=torch.bool)
    others[batch.selected] = False
    tokens = others.nonzero().squeeze(1)
    return replace(
        batch,
        left=ElsewhereSide(batch.left, tokens, seed),
        right=None if batch.right is None else ElsewhereSide(batch.right, tokens, seed + 1),
    )


def _places(chosen: Sequence[int] | Tensor, size: int) -> Int[Tensor, " size"]:
    """For each index below `size`, its place among the chosen ones; -1 where it is not chosen."""
    places = torch.full((size,), -1)
    places[torch.as_tensor(chosen, dtype=torch.long)] = torch.arange(len(chosen))
    return places


def only(batch: Batch, documents: Sequence[int]) -> Batch:
    """The tokens of some documents of a batch; the documents in this order, tokens as before."""
    inside = torch.isin(batch.document, torch.tensor(list(documents), dtype=torch.long))
    return take(batch, inside.nonzero().squeeze(1), documents)
