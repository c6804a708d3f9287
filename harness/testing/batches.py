"""Batches made of tensors, to test metrics and other reductions without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Batch, Sae, Site
from harness.latents import Latents


class ArraySide:
    """A `Side` that holds its activations and SAEs; latents are made when they are asked for."""

    def __init__(
        self,
        activations: Mapping[Site, Float[Tensor, "tokens d"]],
        saes: Mapping[str, Sae],
        selected: Int[Tensor, " selected"],
    ) -> None:
        self.activations = dict(activations)
        self.saes = dict(saes)
        self.selected = selected

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


def array_batch(
    document: Sequence[int],
    left: Mapping[Site, Float[Tensor, "tokens d"]],
    right: Mapping[Site, Float[Tensor, "tokens d"]] | None = None,
    *,
    saes: Mapping[str, Sae] | None = None,
    selected: Sequence[int] | None = None,
    documents: Sequence[str] | None = None,
) -> Batch:
    """A batch from tensors: `document` says for each token which document it belongs to.

    Without `selected` all tokens are; without names, documents are `0`, `1`, ….
    """
    ids = torch.tensor(document, dtype=torch.long)
    kept = torch.arange(len(ids)) if selected is None else torch.tensor(selected, dtype=torch.long)
    names = documents or [str(i) for i in range(int(ids.max()) + 1 if len(ids) else 0)]
    sides = [None if x is None else ArraySide(x, saes or {}, kept) for x in (left, right)]
    assert sides[0] is not None
    return Batch("pair" if right else "view", tuple(names), ids, kept, sides[0], sides[1])


def take(batch: Batch, tokens: Int[Tensor, " m"], documents: Sequence[int] | None = None) -> Batch:
    """Some tokens of a batch of arrays, in this order; `documents` renames and keeps documents."""
    order = list(range(len(batch.documents))) if documents is None else list(documents)
    renamed = torch.full((len(batch.documents),), -1)
    renamed[torch.tensor(order, dtype=torch.long)] = torch.arange(len(order))
    passed = torch.zeros(len(batch.document), dtype=torch.bool)
    passed[batch.selected] = True
    selected = passed[tokens].nonzero().squeeze(1)

    def side(whole: ArraySide | None) -> ArraySide | None:
        if whole is None:
            return None
        return ArraySide({s: x[tokens] for s, x in whole.activations.items()}, whole.saes, selected)

    left = side(cast(ArraySide, batch.left))
    assert left is not None
    return Batch(
        batch.stream,
        tuple(batch.documents[i] for i in order),
        renamed[batch.document[tokens]],
        selected,
        left,
        side(cast("ArraySide | None", batch.right)),
    )


def only(batch: Batch, documents: Sequence[int]) -> Batch:
    """The batch with only some of its documents, in this order."""
    inside = torch.isin(batch.document, torch.tensor(list(documents), dtype=torch.long))
    return take(batch, inside.nonzero().squeeze(1), documents)
