"""The page of what a real model showed, with every number taken from the records of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from generator.markdown import joined, note
from harness.contract import Record, Results
from harness.results import load_results
from harness.results.numbers import format_draws, format_estimate, format_number
from harness.results.records import record_name

RUNS = Path(__file__).parents[1] / "gallery"
"""A folder for each run, with its results.json, its tables and the figures that the page shows."""
FILTERS = ("cosine_below", "cosine_quantile")
TEXT = Path(__file__).with_name("gallery.md")


def page() -> str:
    """The page, with its numbers filled in."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEXT.read_text(encoding="utf-8"))
    names = {"n": number, "ci": estimate, "draws": draws, "count": count}
    return joined(
        [note("docs/generator/gallery.md and the runs in docs/gallery"), template.render(names)]
    )


def estimate(run: str, id: str, **axes: Any) -> str:
    """A value with its interval: `0.58 [0.48, 0.67]`; `undefined` with no number."""
    return format_estimate(one(run, id, axes))


def number(run: str, id: str, **axes: Any) -> str:
    """A value alone."""
    return format_number(one(run, id, axes).value)


def count(run: str, id: str, **axes: Any) -> str:
    """How many tokens or prompts are behind a value."""
    return f"{one(run, id, axes).n:,}"


def draws(run: str, id: str, **axes: Any) -> str:
    """Mean and range over the draws of a control."""
    return format_draws(matching(run, id, axes))


def one(run: str, id: str, axes: Mapping[str, Any]) -> Record:
    """The one record with these axes; ValueError where there is another number of them."""
    found = matching(run, id, axes)
    if len(found) != 1:
        raise ValueError(f"{run}: {len(found)} records {id} with {dict(axes)}")
    return found[0]


def matching(run: str, id: str, axes: Mapping[str, Any]) -> list[Record]:
    """All records of a run with this id and these axes, and of the tokens that are asked for.

    `cosine_below` and `cosine_quantile` name a filter; without them all tokens are meant. None
    stands for an axis that a record lacks.
    """
    wanted = {name: axes.get(name) for name in FILTERS}
    places = {key: value for key, value in axes.items() if key not in FILTERS}
    return [
        record
        for record in results(run).records
        if record_name(record) == id
        and all(record.axes.get(key) == value for key, value in places.items())
        and all(record.options.get(name) == value for name, value in wanted.items())
    ]


@cache
def results(run: str) -> Results:
    """A run of the gallery."""
    return load_results(RUNS / f"smollm2-{run}")
