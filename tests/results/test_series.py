"""Records as series: sweeps, draws and single values, whatever a task calls them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.contract import Record
from harness.results.numbers import format_estimate, format_number
from harness.results.series import group_series, sweep_axis


def record(value: float | None = 0.5, **axes: Any) -> Record:
    return Record("a@1", value, 1, "prompts", "share", axes=axes)


def steps(name: str, axis: str, *values: Any) -> list[Record]:
    return [record(direction=name, **{axis: value}) for value in values]


@pytest.mark.parametrize(
    ("records", "axis"),
    [
        ([], None),
        ([record(direction="none")], None),
        (steps("a", "k", 1, 2, 4), "k"),
        (steps("a", "strength", -1.0, 0.0, 0.5), "strength"),
        (steps("a", "draw", 0, 1, 2), None),
        (steps("a", "site", "x", "y"), None),
        (steps("a", "flag", True, False), None),
        (steps("a", "k", 32), None),
        (steps("a", "k", 1) + steps("b", "k", 2), None),
        (steps("a", "k", 1, 2) + steps("b", "layer", 1, 2, 3), "layer"),
        ([record(k=1), record(k=2)], "k"),
    ],
    ids=["none", "single", "k", "strength", "draws", "texts", "booleans", "one step",
         "one step each", "two axes", "no direction"],
)  # fmt: skip
def test_the_axis_is_the_one_that_is_swept(records: list[Record], axis: str | None) -> None:
    assert sweep_axis(records) == axis


def test_every_record_is_in_one_series() -> None:
    records = [
        record(direction="none"), *steps("a", "k", 4, 1, 2), *steps("r", "draw", 0, 1),
        *(record(direction="b", k=k, site=site) for site in ("x", "y") for k in (1, 2)),
    ]  # fmt: skip
    found = group_series(records, "k")
    assert [(one.label, one.shape, len(one.records)) for one in found] == [
        ("none", "single", 1), ("a", "sweep", 3), ("r", "draws", 2),
        ("b, site=x", "sweep", 2), ("b, site=y", "sweep", 2),
    ]  # fmt: skip
    assert [r.axes["k"] for r in found[1].records] == [1, 2, 4]
    assert sum(len(one.records) for one in found) == len(records)


def test_axes_that_do_not_vary_are_no_part_of_a_label() -> None:
    records = [record(direction="a", view="chat", data="web", k=k) for k in (1, 2)]
    assert [one.label for one in group_series(records, "k")] == ["a"]


def test_draws_of_a_sweep_stay_with_it() -> None:
    records = [record(direction="a", k=k, draw=d) for k in (1, 2) for d in (0, 1)]
    (found,) = group_series(records, "k")
    assert found.shape == "sweep"


def test_undefined_values_are_no_values() -> None:
    (found,) = group_series([record(None, direction="a", k=1), record(direction="a", k=2)], "k")
    assert found.values == [0.5]


@pytest.mark.parametrize(
    ("value", "ci", "expected"),
    [(0.5, None, "0.50"), (0.5, (0.25, 0.75), "0.50 [0.25, 0.75]"), (None, None, "undefined")],
)
def test_an_estimate_has_its_interval(value: Any, ci: Any, expected: str) -> None:
    assert format_estimate(Record("a@1", value, 1, "x", "y", ci=ci)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (1.0, "1.00"), (1e-9, "1e-09"), (0.9997343, "0.9997"), (-0.9973, "-0.997"),
     (0.9999, "0.9999"), (0.995, "0.995"), (0.9949, "0.99"), (0.99903, "0.999"),
     (0.99999, "0.99999"),
     (1 - 1e-9, "1.00"), (1.003, "1.00")],
)  # fmt: skip
def test_a_number_is_short(value: float, expected: str) -> None:
    assert format_number(value) == expected
