"""What the laws of `mean_difference` are tried on: random pairs, beside its definition in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import Batch, Site
from harness.testing import check_statistic, small_batch
from harness_statistics.mean_difference.mean_difference import MeanDifference
from harness_statistics.mean_difference.options import MeanDifferenceOptions

SITE = Site("resid_post", 1)


def mean_difference(folder: Path) -> Iterator[partial[None]]:
    """Two sets of positions, one of which some documents do not reach."""
    batches = [small_batch(seed) for seed in range(3)]
    for positions in ((1, 3), (4, 9, 90)):
        given = MeanDifferenceOptions(
            pair="tuned", site=str(SITE), positions=positions, groups=4, draws=20
        )
        yield partial(
            check_statistic,
            MeanDifference(given),
            *batches,
            reference=partial(_means, positions=positions),
        )


def _means(batches: Sequence[Batch], positions: Sequence[int]) -> dict[str, Any]:
    """Token by token, in float64."""
    place: list[np.ndarray] = []
    x: list[np.ndarray] = []
    y: list[np.ndarray] = []
    for batch in batches:
        assert batch.right is not None
        place.append(batch.position[batch.selected].numpy())
        for side, rows in ((batch.left, x), (batch.right, y)):
            rows.append(side.x(SITE)[batch.selected].double().numpy())
    at = np.concatenate(place)
    change = np.concatenate(y) - np.concatenate(x)
    usual = np.linalg.norm(np.concatenate(y)[at >= max(positions)], axis=1)
    s = usual.mean() if len(usual) else np.nan
    sizes, shares = [], []
    for position in positions:
        mine = change[at == position]
        size = np.linalg.norm(mine.mean(0)) if len(mine) else np.nan
        sizes.append(size)
        shares.append(size**2 / (mine**2).sum(1).mean() if len(mine) else np.nan)
    return {
        "mean_difference.norm@1": sizes,
        "mean_difference.relative@1": np.array(sizes) / s,
        "mean_difference.share@1": shares,
    }
