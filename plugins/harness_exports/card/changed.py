"""The card's section about what changed: the main tables, then numbers with n and null."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.contract import Grid, Record, Results
from harness.results import (
    conclusions,
    format_estimate,
    format_number,
    headline_tables,
    null_value,
    record_name,
    token_condition,
)
from harness_exports.card.edited import apart, edited_pairs
from harness_exports.card.markdown import name, table, text

_FIRST = (
    "difference.relative",
    "cosine.raw",
    "cosine.latent",
    "explained_ratio.ratio_of_means",
    "intersection_ratio.per_token",
    "latent_overlap.topk",
    "fvu.pooled",
    "fvu_change.pooled",
    "kl.forward",
    "flip_rate.token",
    "flip_rate.over_random",
)
"""Numbers of a pair that stand first, most telling first; all others follow as they come."""
_PLACES = frozenset({"pair", "data", "site", "sae", "view", "checkpoint"})
"""Axes of a number about a pair as a whole: what has others is about a part of it."""


def changed(results: Results, most: int) -> Iterator[str]:
    """What was found without any intervention, and, apart from that, under edits of views."""
    measured = [one for one in results.records if "experiment" not in one.axes]
    as_they_are, edited = apart(measured, results.task)
    said = [line for lines in conclusions(results).values() for line in lines]
    numbers = list(_numbers(results, as_they_are, most))
    if numbers or said:
        yield "## What changed"
        yield ""
        yield from (f"- {text(sentence)}" for sentence in said)
        yield ""
    if numbers:
        yield "Measured on the models as they are; nothing was edited. 95% intervals in brackets."
        yield ""
        yield from numbers
    if edited:
        yield "## Measured under edits"
        yield ""
        yield (
            "**A side of each of these pairs was edited while it read.** The numbers say what the "
            "edit does, and nothing of what fine-tuning changed. 95% intervals in brackets."
        )
        yield ""
        pairs = edited_pairs(results.task)
        yield from table(
            ("pair", "edit"), [(name(one), text(words)) for one, words in pairs.items()]
        )
        yield from _numbers(results, edited, most)


def _numbers(results: Results, records: Sequence[Record], most: int) -> Iterator[str]:
    """The main tables of some records, then those of pairs with n and null."""
    numbers = [one for one in records if "pair" in one.axes and one.axes.keys() <= _PLACES]
    numbers.sort(key=_order)
    for grid in headline_tables(replace(results, records=tuple(records))):
        yield from as_table(grid)
    yield from table(
        ("number", "of", "value", "n", "if nothing had changed"),
        [_row(record) for record in numbers[:most]],
    )
    if more := len(numbers[most:]):
        yield f"And {more:,} more numbers of pairs, in `results.json` of the run."
        yield ""


def as_table(grid: Grid) -> Iterator[str]:
    """A table of the report as markdown."""
    if grid.title:
        yield f"**{text(grid.title)}**"
    columns = [text(column) or " " for column in grid.columns]
    yield from table(
        columns, [["" if cell is None else text(cell) for cell in row] for row in grid.rows]
    )
    if grid.note:
        yield f"*{text(grid.note)}*"
        yield ""


def _order(record: Record) -> int:
    named = record_name(record)
    return _FIRST.index(named) if named in _FIRST else len(_FIRST)


def _row(record: Record) -> tuple[str, ...]:
    parts = [f"{key} {value}" for key, value in record.axes.items()]
    if condition := token_condition(record):
        parts.append(f"tokens with {condition}")
    of = ", ".join(parts)
    null = null_value(record)
    kind = (record.null or {}).get("kind")
    beside = "" if null is None else f"{format_number(null)}" + (f" ({kind})" if kind else "")
    return name(record.id), text(of), estimate(record), count(record), text(beside) or "unknown"


def estimate(record: Record) -> str:
    """A value with its interval, or why there is none."""
    if record.value is None:
        return f"undefined: {text((record.undefined or 'no reason was given').rstrip('.'))}"
    unit = "" if record.unit in ("share", "ratio", "cosine", "coefficient") else f" {record.unit}"
    shown = text(format_estimate(record) + unit)
    if record.ci is None:
        shown += f" (no interval: {text((record.ci_why or 'not said').rstrip('.'))})"
    return shown


def count(record: Record) -> str:
    """How many things a number was computed from."""
    return text(f"{record.n:,} {record.n_of}")
