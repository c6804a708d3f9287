"""Results to make sentences of, short to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.contract import Record, Results

Make = Callable[..., Record]


def make_record(
    id: str, value: float | None, ci: tuple[float, float] | None = None, **axes: Any
) -> Record:
    why = "every weight is 0" if value is None else None
    return Record(f"{id}@1", value, 100, "prompts", "share", ci=ci, undefined=why, axes=axes)


def make_results(*records: Record, task: Mapping[str, Any] | None = None, **more: Any) -> Results:
    given = {"status": "complete", "task": task or {"name": "x"}, "provenance": {}, **more}
    return Results(records=records, **given)


def close(value: float | None) -> tuple[float, float] | None:
    """An interval of 0.02 around a number."""
    return None if value is None else (value - 0.01, value + 0.01)


def make_arm(direction: str, value: float | None, *, wide: float = 0.01, **axes: Any) -> Record:
    """One arm of the experiment `e`, with an interval of twice `wide`."""
    name = axes.pop("score", "polite.share")
    ci = None if value is None else (value - wide, value + wide)
    here = {"experiment": "e", "view": "v", "data": "d", "direction": direction}
    return make_record(name, value, ci, **here, **axes)


def at_site(id: str, value: float, site: int, null: float | None = None, **axes: Any) -> Record:
    """A number of the pair `p` at a block; `options` may be given."""
    options = axes.pop("options", {})
    ci = axes.pop("ci", close(value))
    here = {"pair": "p", "data": "p", "site": f"resid_post.{site}", "sae": "s"}
    one = make_record(id, value, ci, **{**here, **axes})
    known = None if null is None else {"kind": "identical", "value": null}
    return replace(one, null=known, options=options)


@pytest.fixture(scope="session")
def record() -> Make:
    return make_record


@pytest.fixture(scope="session")
def results() -> Callable[..., Results]:
    return make_results


@pytest.fixture(scope="session")
def arm() -> Make:
    return make_arm


@pytest.fixture(scope="session")
def measured() -> Make:
    return at_site
