"""What templates about pairs of models share: which records they read, and how they are named."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import JSON, Record, Results
from harness.results.by_site import records_by_pair, sorted_by_depth
from harness.results.numbers import format_number
from harness.results.records import named

ELSEWHERE = frozenset({"domain", "cluster", "experiment", "analysis", "direction"})
"""Axes of what belongs to a part of the data, an experiment or an analysis."""
PairKey = tuple[JSON, JSON]
"""A pair and its data."""


def pair_records(results: Results, *names: str) -> dict[PairKey, list[Record]]:
    """The defined records of these names by pair and data, each pair's by depth."""
    chosen = [
        record
        for record in named(results.records, *names)
        if record.value is not None and not ELSEWHERE & record.axes.keys()
    ]
    return {key: sorted_by_depth(mine) for key, mine in records_by_pair(chosen).items()}


def pair_name(key: PairKey) -> str:
    """The pair, and the data where they are called otherwise."""
    pair, data = key
    return f"`{pair}`" if data is None or data == pair else f"`{pair}` on {data}"


def one_per_site(records: Sequence[Record]) -> list[Record]:
    """The first record of each site: several SAEs at one site share what needs no SAE."""
    return list({str(record.axes["site"]): record for record in reversed(records)}.values())[::-1]


def span(values: Sequence[float]) -> str:
    """`0.33 to 0.39`, or one number where both are written alike."""
    low, high = format_number(min(values)), format_number(max(values))
    return low if low == high else f"{low} to {high}"


def percent(shares: Sequence[float]) -> str:
    """`28% to 43%`; with a digit more below 10%."""
    low, high = (_percent(share) for share in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0995 or not share else f"{100 * share:.2g}%"
