"""Other ways through the same documents, for reductions; and sides that notice being changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from harness.contract import Batch, Side, Site
from harness.contract.latents import Latents


def rearranged(batches: Sequence[Batch]) -> Iterator[tuple[str, list[Batch]]]:
    """The same documents in other batches, with the law that lets them give the same."""
    single = [
        _part(batch, [document]) for batch in batches for document in range(len(batch.documents))
    ]
    yield "any split into batches gives the same", single
    yield "the order of batches does not matter", list(batches)[::-1]
    backwards = [_part(batch, range(len(batch.documents))[::-1]) for batch in batches]
    yield "the order of documents does not matter", backwards


def _part(batch: Batch, documents: Sequence[int]) -> Batch:
    """Some documents of a batch, in another order."""
    device = batch.document.device
    chosen = torch.tensor(list(documents), dtype=torch.int64, device=device)
    place = torch.full((len(batch.documents),), -1, device=device)
    place[chosen] = torch.arange(len(chosen), device=device)
    order = torch.argsort(place[batch.document], stable=True)
    rows = order[place[batch.document[order]] >= 0]
    at = torch.full((len(batch.document),), -1, device=device)
    at[rows] = torch.arange(len(rows), device=device)
    # Position of each selected token among the selected ones, where latents have their rows.
    picked = torch.argsort(at[batch.selected], stable=True)
    picked = picked[at[batch.selected[picked]] >= 0]
    return replace(
        batch,
        documents=tuple(batch.documents[index] for index in documents),
        document=place[batch.document[rows]],
        selected=at[batch.selected[picked]],
        ids=batch.ids[rows],
        position=batch.position[rows],
        left=_Rows(batch.left, rows, picked),
        right=None if batch.right is None else _Rows(batch.right, rows, picked),
    )


class _Rows:
    """Some tokens of another side."""

    def __init__(self, side: Side, tokens: Tensor, selected: Tensor) -> None:
        self.side, self.tokens, self.selected = side, tokens, selected

    def x(self, site: Site) -> Tensor:
        return self.side.x(site)[self.tokens]

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        return self.side.latents(sae, site).take(self.selected)

    def logits(self) -> Tensor:
        return self.side.logits()[self.tokens]

    def encode(self, sae: str, x: Tensor) -> Latents:
        return self.side.encode(sae, x)

    def decode(self, sae: str, latents: Latents) -> Tensor:
        return self.side.decode(sae, latents)

    def reconstruction(self, sae: str, site: Site | None = None) -> Tensor:
        return self.side.reconstruction(sae, site)[self.selected]


class Watched:
    """A side that remembers what it handed out, to see whether anyone wrote into it."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.given: list[tuple[Tensor, Tensor]] = []

    def x(self, site: Site) -> Tensor:
        """Activations at a site."""
        return self._remember(self.side.x(site))

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens."""
        latents = self.side.latents(sae, site)
        for tensor in (latents.offsets, latents.indices, latents.values):
            self._remember(tensor)
        return latents

    def reconstruction(self, sae: str, site: Site | None = None) -> Tensor:
        """x̂ of the selected tokens."""
        return self._remember(self.side.reconstruction(sae, site))

    def logits(self) -> Tensor:
        """Next-token logits."""
        return self._remember(self.side.logits())

    def encode(self, sae: str, x: Tensor) -> Latents:
        """Latents of other activations."""
        return self.side.encode(sae, x)

    def decode(self, sae: str, latents: Latents) -> Tensor:
        """x̂ of other latents."""
        return self.side.decode(sae, latents)

    def unchanged(self) -> bool:
        """Whether everything that was handed out is as it was."""
        return all(torch.equal(tensor, before) for tensor, before in self.given)

    def _remember(self, tensor: Tensor) -> Tensor:
        self.given.append((tensor, tensor.clone()))
        return tensor
