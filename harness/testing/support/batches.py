"""Batches made of tensors, to test metrics and other reductions without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Batch, Sae, Site
from harness.contract.latents import Latents


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
        self._logits = logits

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
        assert self._logits is not None, "this side was made without logits"
        return self._logits

    def encode(self, sae: str, x: Float[Tensor, "tokens d"]) -> Latents:
        """Latents of other activations."""
        return self.saes[sae].encode(x)

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d"]:
        """x̂ of other latents."""
        return self.saes[sae].reconstruct(latents)

    def take(self, tokens: Int[Tensor, " m"], selected: Int[Tensor, " selected"]) -> ArraySide:
        """Some of its tokens, in this order."""
        kept = {site: x[tokens] for site, x in self.activations.items()}
        logits = None if self._logits is None else self._logits[tokens]
        return ArraySide(kept, self.saes, selected, logits)


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
) -> Batch:
    """A batch from tensors: `document` says for each token which document it belongs to.

    Without `selected` all tokens are; without names, documents are `0`, `1`, …; without `ids`
    every token is 0. `logits` are those of the left side, and of the right one.
    """
    row = torch.tensor(document, dtype=torch.long)
    kept = torch.arange(len(row)) if selected is None else torch.tensor(selected, dtype=torch.long)
    names = documents or [str(i) for i in range(int(row.max()) + 1 if len(row) else 0)]
    outs = (*logits, None, None)
    sides = [
        None if x is None else ArraySide(x, saes or {}, kept, out)
        for x, out in zip((left, right), outs, strict=False)
    ]
    assert sides[0] is not None
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
        sides[0],
        sides[1],
        ids=torch.tensor([0] * len(row) if ids is None else list(ids), dtype=torch.long),
        position=torch.tensor(position, dtype=torch.long),
    )


def take(batch: Batch, tokens: Int[Tensor, " m"], documents: Sequence[int] | None = None) -> Batch:
    """Some tokens of a batch of arrays, in this order; `documents` renames and keeps documents."""
    order = list(range(len(batch.documents))) if documents is None else list(documents)
    renamed = torch.full((len(batch.documents),), -1)
    renamed[torch.tensor(order, dtype=torch.long)] = torch.arange(len(order))
    passed = torch.zeros(len(batch.document), dtype=torch.bool)
    passed[batch.selected] = True
    selected = passed[tokens].nonzero().squeeze(1)

    def side(whole: ArraySide | None) -> ArraySide | None:
        return None if whole is None else whole.take(tokens, selected)

    left = side(cast(ArraySide, batch.left))
    assert left is not None
    return Batch(
        batch.stream,
        tuple(batch.documents[i] for i in order),
        renamed[batch.document[tokens]],
        selected,
        left,
        side(cast("ArraySide | None", batch.right)),
        ids=batch.ids[tokens],
        position=batch.position[tokens],
    )


def only(batch: Batch, documents: Sequence[int]) -> Batch:
    """The batch with only some of its documents, in this order."""
    inside = torch.isin(batch.document, torch.tensor(list(documents), dtype=torch.long))
    return take(batch, inside.nonzero().squeeze(1), documents)
