"""Sums of an attribution: of each latent over documents, and of each document's split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64

from harness.contract import Batch, State
from harness.contract.attributed import at_selected, by_latent, changes, slopes, split
from harness.results.replicates import group_rows
from harness_statistics.sums import plus

WHOLE = ("n", "change", "up", "down", "latents", "error", "rest", "gap", "size")
"""The sums of each document: how many there are, and what its path comes to."""
LARGEST = "put_back"
"""The one entry of a state that is no sum: the largest |M_θ(h_θ) − M|."""


def merged(left: State, right: State) -> State:
    """The state of the documents of both."""
    out = plus(left, {name: term for name, term in right.items() if name != LARGEST})
    if LARGEST in right:
        out[LARGEST] = np.maximum(left.get(LARGEST, right[LARGEST]), right[LARGEST])
    return out


def added(state: State, batch: Batch, sae: str, shuffles: int) -> State:
    """The state with a batch: every entry but `put_back` is a sum, what is absent is zero.

    `whole` Float64 `[1 + GROUPS, WHOLE]`: the sums of all documents, and of each group of them.
    With A_dj of document d and latent j: `sum`, `left`,
    `right` Σ_d A_dj over both tails and each; `square` Σ_c A_cj² over different documents c, copies
    of one together, `cross` Σ_c n_c A_cj, `sizes` Σ_c n_c²; `positive`: documents with A_dj > 0;
    `moved` Σ_t |Δz_tj|, all `[d_sae]`; `null` `[shuffles, d_sae]`; `clusters`, `undefined` `[1]`.
    """
    ((where, path),) = batch.paths.items()
    found, loaded = split(path), batch.saes[sae]
    sizes = batch.by_document()
    kept = found.defined & (sizes > 0)
    left_out = int(((~found.defined) & (sizes > 0)).sum())
    terms: dict[str, np.ndarray] = {"undefined": np.array([left_out], dtype=np.int64)}
    if not kept.any():
        return merged(state, terms)
    change = changes(batch, sae)
    tails = [slopes(batch, tail, change, loaded) for tail in (path.left, path.right)]
    delta = change.values.detach().cpu().double()
    mean = by_latent(batch, change, delta * (tails[0] + tails[1]) / 2)
    here = at_selected(batch, path, where.site)
    latents = torch.zeros_like(here).index_add_(0, mean.document, mean.value)
    whole = torch.stack(
        [torch.ones_like(here), found.change, found.up, found.down, latents, here - latents,
         found.along - here, found.gap, found.size]
    ).T  # fmt: skip
    documents = [name for name, keep in zip(batch.documents, kept.tolist(), strict=True) if keep]
    copies = torch.tensor(batch.copies or [0] * len(kept))
    # Equal documents are one cluster: k copies before it make a further one add (2k + 1) A².
    times = (2 * copies + 1).double()
    each = _Kept(kept, change.d_sae)
    terms |= {
        "whole": group_rows(documents, int(state["seed"][0])) @ whole[kept].numpy(),
        "clusters": np.array([int((copies[kept] == 0).sum())], dtype=np.int64),
        "sizes": np.array([float(times[kept].sum())]),
        "sum": each.summed(mean.document, mean.latent, mean.value),
        "square": each.summed(mean.document, mean.latent, times[mean.document] * mean.value**2),
        "cross": each.summed(mean.document, mean.latent, times[mean.document] * mean.value),
        "positive": each.summed(mean.document, mean.latent, (mean.value > 0).double()),
    }
    for name, each_of in (("left", delta * tails[0]), ("right", delta * tails[1]),
                          ("moved", delta.abs())):  # fmt: skip
        one = by_latent(batch, change, each_of)
        terms[name] = each.summed(one.document, one.latent, one.value)
    dealt = _dealt(change.d_sae, shuffles, int(state["seed"][0]))
    nulls = []
    for shuffled in dealt:
        means = [slopes(batch, t, change, loaded, shuffled) / 2 for t in (path.left, path.right)]
        one = by_latent(batch, change, delta * (means[0] + means[1]))
        nulls.append(each.summed(one.document, one.latent, one.value))
    terms["null"] = np.stack(nulls)
    terms[LARGEST] = np.array([float(found.put_back[kept].max())])
    return merged(state, terms)


@dataclass(frozen=True)
class _Kept:
    """Adds up over the documents of a batch that count."""

    kept: torch.Tensor
    d_sae: int

    def summed(
        self, document: torch.Tensor, latent: torch.Tensor, value: torch.Tensor
    ) -> Float64[np.ndarray, " d_sae"]:
        inside = self.kept[document]
        found = np.bincount(latent[inside].numpy(), value[inside].numpy(), minlength=self.d_sae)
        return np.asarray(found, dtype=np.float64)


def _dealt(d_sae: int, shuffles: int, seed: int) -> list[Int64[torch.Tensor, " d_sae"]]:
    """Permutations of the latents: the same in every batch, process and order."""
    found = []
    for draw in range(shuffles):
        random = np.random.default_rng([seed % 2**64, d_sae, draw])
        found.append(torch.from_numpy(random.permutation(d_sae)))
    return found
