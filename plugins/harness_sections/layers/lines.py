"""Lines of a figure by depth: which records they have, and in which order they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.contract import Record
from harness.results import distinct_labels, grouped, record_name
from harness_sections.charts.depth import DepthLine, once_per_site

ELSEWHERE = frozenset({"domain", "analysis", "experiment", "direction"})
"""Axes of what belongs to a category, an analysis or an experiment: tables have it."""
_FOR_COMPARISON = "intersection_ratio.chance"


def number_lines(
    records: Sequence[Record],
    numbers: Mapping[str, str],
    label_of: Callable[[str, str, Record], str],
) -> list[DepthLine]:
    """A line for each way in which one of the numbers was measured.

    `numbers` are names of records in the order of the lines, with short names for the figure.
    `label_of(short name, distinct label, first record)` gives the label of a line.
    """
    labelled = zip(distinct_labels(records), records, strict=True)
    by_label = grouped(labelled, lambda pair: (record_name(pair[1]), pair[0]))
    lines = []
    for name, short in numbers.items():
        for (known, label), found in by_label.items():
            if known == name:
                mine = [record for _, record in found]
                title = label_of(short, label, mine[0])
                lines.append(DepthLine(title, once_per_site(mine), name == _FOR_COMPARISON))
    return lines
