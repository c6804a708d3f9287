"""The fraction of variance unexplained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents
from harness_metrics.documents import SMALLEST, squared_error, squared_norm
from harness_metrics.options import FvuOptions

POOLED, BATCH_MEAN = "fvu.pooled@1", "fvu.batch_mean@2"
ALONE = "fvu.batch_mean_excluded@1"
GROUP = 32
"""Tokens of a document whose mean is subtracted together in `fvu.batch_mean`."""
_VALUES = {
    POOLED: MetricValue(POOLED, "ratio", "tokens", "the activations do not vary"),
    BATCH_MEAN: MetricValue(
        BATCH_MEAN, "ratio", "tokens", f"the activations do not vary among {GROUP} tokens"
    ),
    ALONE: MetricValue(ALONE, "share", "tokens", "no token was measured"),
}


class Fvu:
    """Divides what an SAE fails to reconstruct by the variance: 0 is perfect, above 1 is useless.

    `fvu.pooled`: `Σ_t ‖x_t − x̂_t‖² / Σ_t ‖x_t − x̄‖²`, with x̄ the mean over *all* evaluated
    tokens, so that no batch size enters. x: Float[Tensor, "tokens d"] at the target's site, x̂
    its reconstruction from the SAE's latents there. `fvu.batch_mean`, if asked for: the same with
    x̄ the mean of the token's own group, of 32 evaluated tokens of one document in its order (the
    last group of a document may have fewer). A token alone has no variance to divide by: groups
    of one are left out of both sums and of `n`, and `fvu.batch_mean_excluded` is their share of
    the tokens. Version 1 kept their errors.

    Unit: ratio, from 0 without an upper limit (it is not clipped). Lower is better. Undefined
    where nothing was measured or all tokens are the same vector. Not symmetric, one-sided.

    Source: FVU of Feature Drift, section 3. sparsify, its library, subtracts the mean of each batch
    of its own: `fvu.batch_mean` does so too, with batches that depend on the text alone. It is not
    `1 − explained_variance` of SAEBench, nor dictionary_learning's, which forgives a constant bias.
    """

    def __init__(self, options: FvuOptions, target: Target) -> None:
        assert target.sae is not None, "fvu is measured on an SAE"
        self._target, self._sae = target, target.sae
        by_name = {value.id.partition("@")[0]: value for value in _VALUES.values()}
        values = [by_name[f"fvu.{name}"] for name in options.variants]
        if _VALUES[BATCH_MEAN] in values:
            values.append(_VALUES[ALONE])
        self.values = tuple(values)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Σ‖x−x̂‖², Σx, Σ‖x‖², the number of tokens, and Σ_groups ‖Σx‖²/n of each document."""
        x = documents.selected(batch, side.x(self._target.compared))
        error = squared_error(x, side.reconstruction(self._sae, self._target.site))
        square = squared_norm(x)
        found = {"n": documents.counts(batch)}
        if _VALUES[POOLED] in self.values:
            found["error"] = documents.sums(batch, error)
            found["square"] = documents.sums(batch, square)
            found["x"] = documents.sums(batch, x)
        if _VALUES[BATCH_MEAN] in self.values:
            group = groups(batch)
            sizes = torch.bincount(group, minlength=int(group.max()) + 1 if len(group) else 0)
            kept = (sizes[group] > 1).to(error.device)
            found["grouped.error"] = documents.sums(batch, error * kept)
            found["grouped.square"] = documents.sums(batch, square * kept)
            found["grouped.means"] = _group_means(batch, x, group, sizes)
            found[f"n.{BATCH_MEAN}"] = documents.sums(batch, kept.double()).cpu()
            found["alone"] = found["n"] - found[f"n.{BATCH_MEAN}"]
        return found

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """`error / (square − ‖x‖²/n)`, with one mean or one for each group.

        The difference cancels where the mean is far larger than the spread. Its error is
        1e-16 · mean square, and float32 activations cannot vary by less than 1e-14 of it, so in
        float64 nothing that exists is lost; what is below `SMALLEST` is rounding, not variance.
        """
        found = {}
        with np.errstate(divide="ignore", invalid="ignore"):
            if "x" in sums:
                means = np.square(sums["x"]).sum(-1) / sums["n"]
                found[POOLED] = _fvu(sums["error"], sums["square"], means)
            if "grouped.means" in sums:
                names = ("grouped.error", "grouped.square", "grouped.means")
                found[BATCH_MEAN] = _fvu(*(sums[name] for name in names))
                found[ALONE] = documents.ratio(sums["alone"], sums["n"])
        return [found[value.id] for value in self.values]


def _fvu(
    error: Float64[np.ndarray, " draws"],
    square: Float64[np.ndarray, " draws"],
    means: Float64[np.ndarray, " draws"],
) -> Float64[np.ndarray, " draws"]:
    variance = square - means
    varies = variance > SMALLEST * square
    return np.where(varies, error / variance, np.nan)


def groups(batch: Batch) -> Int[Tensor, " selected"]:
    """For each selected token, the number of its group; a group has tokens of one document."""
    document = documents.documents_of(batch)
    position = batch.position[batch.selected.to(batch.position.device)].to(document.device)
    # By document, then by place: two stable sorts, the more important one last.
    order = position.argsort(stable=True)
    order = order[document[order].argsort(stable=True)]
    sizes = torch.bincount(document, minlength=len(batch.documents))
    first = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    rank = torch.arange(len(order), device=order.device) - first
    per_document = (sizes + GROUP - 1) // GROUP
    before = torch.repeat_interleave(per_document.cumsum(0) - per_document, sizes)
    found = torch.empty_like(order)
    found[order] = before + rank // GROUP
    return found


def _group_means(
    batch: Batch,
    x: Float[Tensor, "selected d"],
    group: Int[Tensor, " selected"],
    sizes: Int[Tensor, " groups"],
) -> Float64[Tensor, " documents"]:
    """Σ over the groups of each document, but for those of one token, of n ‖x̄‖²."""
    document = documents.documents_of(batch)
    total = documents.sums_by(x, group, len(sizes))
    sizes = sizes.to(total.device)
    owner = torch.zeros_like(sizes).scatter_(0, group.to(total.device), document.to(total.device))
    means = torch.where(sizes > 1, total.square().sum(1) / sizes, 0)
    return documents.sums_by(means, owner, len(batch.documents))
