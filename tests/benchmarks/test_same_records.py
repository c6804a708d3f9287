"""Records of two runs are matched and compared, whichever version made them."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from same_records import Difference, differences, main, report, same

RECORDS = [
    {
        "id": f"metric.{name}@1", "value": value, "n": 9, "ci": [value - 1, value + 1],
        "options": {"below": 0.9, "more": more}, "axes": {"site": site, "k": more},
    }
    for name, value in (("a", 0.25), ("b", -3.0))
    for site in ("resid_post.1", "resid_post.2")
    for more in (1, 2)
]  # fmt: skip


@pytest.mark.slow
@given(st.randoms(use_true_random=False))
def test_the_order_of_records_and_of_keys_does_not_matter(draw: random.Random) -> None:
    other = [
        dict(draw.sample(list(one.items()), len(one))) for one in draw.sample(RECORDS, len(RECORDS))
    ]
    assert differences(RECORDS, other, 1e-9) == []


@pytest.mark.slow
@given(st.integers(0, len(RECORDS) - 1), st.floats(2e-9, 1), st.sampled_from(["value", "n", "ci"]))
def test_one_changed_number_is_one_difference(which: int, by: float, field: str) -> None:
    other: Any = copy.deepcopy(RECORDS)
    if field == "ci":
        other[which]["ci"][1] *= 1 + by
        field = "ci[1]"
    else:
        other[which][field] *= 1 + by
    (found,) = differences(RECORDS, other, 1e-9)
    assert (found.kind, found.field) == ("differs", field)
    assert found.relative == pytest.approx(by / (1 + by), rel=1e-5)
    assert differences(RECORDS, other, 2 * by) == []


def test_records_keys_and_options_of_one_side_are_named() -> None:
    other: Any = copy.deepcopy(RECORDS[1:])
    other[0]["options"]["new"] = 3
    del other[1]["n"]
    found = differences(RECORDS, other, 1e-9)
    assert [(one.kind, one.field) for one in found] == [
        ("only in A", ""), ("only in B", "options.new"), ("only in A", "n"),
    ]  # fmt: skip


def test_equal_names_are_told_apart_by_their_options_then_by_their_order() -> None:
    twin: Any = copy.deepcopy(RECORDS[0])
    twin["options"]["below"], twin["value"] = 0.5, 7.0
    assert differences([RECORDS[0], twin], [twin, RECORDS[0]], 1e-9) == []
    (found,) = differences([RECORDS[0], twin], [RECORDS[0]], 1e-9)
    assert found.kind == "only in A"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1.0, 1.0 + 5e-10, True), (1.0, 1.0 + 2e-9, False), (0.0, 5e-10, True), (0.0, 2e-9, False),
        (1e-30, 2e-30, False), (1, 1.0, True), (True, 1, False), (None, None, True),
        (None, 0.0, False), (float("nan"), float("nan"), True), (float("nan"), 1.0, False),
        ("a", "a", True), ("a", "b", False), (-1.0, 1.0, False),
    ],
)  # fmt: skip
def test_numbers_are_equal_up_to_a_relative_difference(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other, 1e-9) is equal
    assert same(other, one, 1e-9) is equal


def test_the_command_says_what_differs_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other: Any = copy.deepcopy(RECORDS)
    other[0]["value"] = 0.26
    for name, records in (("a", RECORDS), ("b", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({"records": records}))
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert main([a, a]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the same"
    assert main([a, b]) == 1
    assert "differs: value of 1 × metric.a@1, at most 3.8e-02 relative" in capsys.readouterr().out
    assert main([a, b, "--field", "ci"]) == 0
    with pytest.raises(SystemExit, match="has no results"):
        main([a, str(tmp_path)])


def test_numbers_that_became_text_are_no_relative_difference() -> None:
    lines = report([Difference("differs", "m@1 {}", "value", 1.0, None)], (1, 1))
    assert lines[1] == "differs: value of 1 × m@1: 1.0 and null"
