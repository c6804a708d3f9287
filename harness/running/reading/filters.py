"""Filters of tokens: sinks of massive norm are left out, conditions on a pair select others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Site, Where
from harness.running.reading.quantile import lowest


def no_sink(
    sides: Sequence[Float[Tensor, "tokens d"]], document: Int[Tensor, " tokens"], ratio: float
) -> Bool[Tensor, " tokens"]:
    """Tokens whose norm is, on every side, at most `ratio` times the median of their document.

    The median is that of the document's own measured tokens, not of the batch as in the papers, so
    that no number depends on what else is in the batch. METHODS section 0.
    """
    keep = torch.ones(len(document), dtype=torch.bool)
    for x in sides:
        norms = x.float().norm(dim=1).cpu()
        for one in sorted(set(document.tolist())):
            mine = document == one
            keep[mine] &= norms[mine] <= ratio * norms[mine].median()
    return keep


def chosen(
    left: Float[Tensor, "tokens d"], right: Float[Tensor, "tokens d"], where: Where
) -> Bool[Tensor, " tokens"]:
    """Tokens for which the conditions on cos(x_left, x_right), in float32, hold.

    An undefined cosine, that of a zero vector, fulfils no condition.
    """
    keep = torch.ones(len(left), dtype=torch.bool, device=left.device)
    if where.selects:
        x, y = left.float(), right.float().to(left.device)
        cosine = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))
        if where.cosine_below is not None:
            keep &= cosine < where.cosine_below
        if where.cosine_above is not None:
            keep &= cosine >= where.cosine_above
        if where.cosine_quantile is not None:
            assert where.least_apart is not None, "the threshold is found in an earlier pass"
            keep &= lowest(left, right, where.least_apart).to(keep.device)
    return keep


class FilteredShare:
    """The shares of tokens that a filter selects and drops, as a metric of the unfiltered stream.

    Of a single view there is nothing to select by, and `dropped_share@1` is all.

    `filtered_share@1`: of the tokens that are measured, the share that the conditions on the pair
    select, in [0, 1]. `dropped_share@1`: of all tokens, the share that `skip_first` and
    `max_norm_ratio` leave out, in [0, 1]. Both are undefined without tokens.
    """

    def __init__(self, where: Where, site: Site, paired: bool = True) -> None:
        self._where = where
        self._site = site
        none_left, no_tokens = "no token is left to choose from", "no token was read"
        self.values: tuple[MetricValue, ...] = ()
        if paired:
            self.values += (MetricValue("filtered_share@1", "share", "tokens", none_left),)
        if where.max_norm_ratio is not None or where.skip_first > 1:
            self.values += (MetricValue("dropped_share@1", "share", "tokens", no_tokens),)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Tensor]:
        """By document: all tokens, those that are measured, and those that are selected."""
        sides = [one.x(self._site) for one in (batch.left, batch.right) if one is not None]
        document = batch.document.cpu()
        kept = batch.position.cpu() >= self._where.skip_first
        if self._where.max_norm_ratio is not None:
            rows = kept.nonzero().squeeze(1)
            kept[rows] = no_sink(
                [x[rows.to(x.device)] for x in sides], document[rows], self._where.max_norm_ratio
            )
        counted = kept & chosen(sides[0], sides[-1], self._where).cpu()

        def by_document(mask: Tensor) -> Tensor:
            zeros = torch.zeros(len(batch.documents), dtype=torch.float64)
            return zeros.index_add_(0, document, mask.double())

        left_over = by_document(kept)
        everything = by_document(torch.ones_like(kept))
        return {
            "n": everything,
            "n.filtered_share@1": left_over,
            "kept": left_over,
            "counted": by_document(counted),
        }

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The shares; NaN without tokens."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {
                "filtered_share@1": sums["counted"] / sums["kept"],
                "dropped_share@1": 1 - sums["kept"] / sums["n"],
            }
        return [found[value.id] for value in self.values]
