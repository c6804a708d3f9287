"""The flips that the statistic `flip_rate` kept."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Findings
from harness_statistics.flip_rate.arrays import Kept, Key, kept_in


def kept(findings: Findings, statistics: Sequence[str], condition: str) -> dict[Key, Kept]:
    """What the named statistics kept under a condition, over all categories of their data."""
    return {
        key: found
        for arrays in findings.arrays
        if arrays.statistic in statistics and "domain" not in arrays.axes
        for key, found in kept_in(arrays.values).items()
        if key.condition == condition
    }
