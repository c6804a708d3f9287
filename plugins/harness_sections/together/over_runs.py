"""Which numbers rise or fall with a setting in which runs differ, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.contract import JSON, Grid, Panel, Prose, Runs, SharedNumber
from harness.results import (
    adjusted,
    correlate,
    discovered,
    format_number,
    least_p,
    permutation_ps,
)
from harness_sections.together.orders import Order, orders

_SHOWN = 20
"""Numbers that a table shows."""
_TABLES = 3
"""Orders that have a table."""
_EVERY = 8
"""Runs up to which p counts all their orders: of so many numbers, 10! orders take minutes."""
_DRAWN = 9_999
_RATE = 0.05
_DETAILS = ("edit.", "invalid_verdicts", "text.")
"""Numbers that say how another one came to be."""


@dataclass(frozen=True)
class Going:
    """How one number goes with a setting over runs."""

    number: SharedNumber
    spearman: float
    pearson: float
    p: float
    q: float


def panel(runs: Runs) -> Panel | None:
    """A table for each order of the runs; None where they stand in none."""
    blocks: list[Prose | Grid] = []
    for order in orders(runs)[:_TABLES]:
        found = going(runs, order)
        if found:
            blocks += [Prose(_said(order, found, len(runs.variants))), _grid(order, found)]
    return Panel("What goes with what", blocks, order=89) if blocks else None


def going(runs: Runs, order: Order) -> list[Going]:
    """Every number that all runs have, and that differs between them, by p and then by |ρ|.

    Of several seeds their mean counts. p is that of Spearman's ρ, q makes discoveries of all p
    (Benjamini and Hochberg).
    """
    from scipy import stats  # half a second, and a report of one run does without

    kept: list[tuple[SharedNumber, float, float]] = []
    ranks = []
    for number in runs.numbers:
        means = [one.mean for one in number.spreads]
        values = np.array([mean for mean in means if mean is not None])
        if len(values) < len(means) or number.id.startswith(_DETAILS):
            continue
        both, _ = correlate(order.values, values, ("setting", "number"), "runs")
        if both is not None:
            kept.append((number, both.spearman, both.pearson))
            ranks.append(stats.rankdata(values))
    if not kept:
        return []
    p = permutation_ps(stats.rankdata(order.values), np.array(ranks), _DRAWN, 0, _EVERY)
    q = adjusted(p)
    found = [Going(*one, float(a), float(b)) for one, a, b in zip(kept, p, q, strict=True)]
    return sorted(found, key=lambda one: (one.p, -abs(one.spearman)))


def _said(order: Order, found: Sequence[Going], runs: int) -> str:
    q = np.array([one.q for one in found])
    discoveries = int(discovered(q, _RATE).sum())
    least = min(one.p for one in found)
    smallest = least_p(runs, _DRAWN, _EVERY) * (2 if runs <= _EVERY else 1)
    return (
        f"{' and '.join(order.paths[:3])} puts the {runs} runs in an order. Numbers that differ "
        f"between them: {len(found):,}; that go with it at a rate of false discoveries of 5%: "
        f"{discoveries:,}. The smallest p is {format_number(least)}; so many runs come to "
        f"{format_number(smallest)} at best where no two are alike. What else differs between the "
        "runs goes with it, too: this is no cause."
    )


def _grid(order: Order, found: Sequence[Going]) -> Grid:
    rows: list[list[JSON]] = [
        [
            one.number.id,
            ", ".join(f"{key}={value}" for key, value in one.number.axes.items()),
            format_number(one.spearman),
            format_number(one.pearson),
            format_number(one.p),
            format_number(one.q),
        ]
        for one in found[:_SHOWN]
    ]
    note = (
        "Of several seeds, their means. p: the share of orders of the runs in which |ρ| is as "
        "large; q: the rate of false discoveries at which it counts as one."
    )
    if len(found) > _SHOWN:
        note = f"The first {_SHOWN} of {len(found):,}. {note}"
    columns = ["number", "where", "Spearman's ρ", "Pearson's r", "p", "q"]
    return Grid(f"With {order.paths[0]}", columns, rows, note)
