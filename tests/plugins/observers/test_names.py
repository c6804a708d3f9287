"""Names of metrics: told apart, allowed, not too long; and the table of all records."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from harness.contract import Record
from harness_observers.names import LONGEST, Names, table

STYLES = {
    "wandb": ("A-Za-z0-9_", "_"),
    "mlflow": (r"A-Za-z0-9_\-. ", " "),
    "trackio": (r"\w\-. =@:+,", "="),
}


def record(id: str = "l0@1", options: dict[str, Any] | None = None, **axes: Any) -> Record:
    return Record(id, 1.0, 1, "tokens", "latents", options or {}, axes=axes)


@pytest.mark.parametrize(
    ("style", "name"),
    [
        ("wandb", "l0_1/k_4/site_resid_post_3"),
        ("mlflow", "l0_1/k 4/site resid_post.3"),
        ("trackio", "l0@1/k=4/site=resid_post.3"),
    ],
)
def test_a_name_has_the_axes(style: str, name: str) -> None:
    assert Names(*STYLES[style]).of(record(site="resid_post.3", k=4)) == name


def test_records_that_only_options_or_letters_tell_apart_have_two_names() -> None:
    names = Names(*STYLES["wandb"])
    some = [
        record(),
        record(options={"k": 1}),
        record(options={"k": 2}),
        record(site="a.b"),
        record(site="a-b"),
    ]
    first = [names.of(one) for one in some]
    assert len(set(first)) == len(some)
    assert first[0] == "l0_1"
    assert re.fullmatch(r"l0_1_[0-9a-f]{8}", first[1])
    assert [names.of(one) for one in some] == first


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(STYLES)),
    st.text(max_size=400),
    st.dictionaries(st.text(max_size=20), st.text(max_size=200) | st.integers(), max_size=4),
)
def test_any_name_is_allowed(style: str, id: str, axes: dict[str, Any]) -> None:
    allowed, _ = STYLES[style]
    name = Names(*STYLES[style]).of(Record(id, 1.0, 1, "x", "x", axes=axes))
    assert len(name) <= LONGEST
    assert re.fullmatch(f"[{allowed}/]+", name)
    for part in name.split("/"):
        assert part.strip()
        assert set(part) != {"."}


def test_the_table_has_every_axis_and_why_a_number_is_missing() -> None:
    columns, rows = table(
        [
            Record("a@1", 0.5, 3, "tokens", "share", ci=(0.25, 0.75), axes={"k": 4, "n": "x"}),
            Record("b@1", None, 0, "tokens", "share", undefined="none", axes={"of": [1, 2]}),
        ]
    )
    assert columns == [
        "id", "value", "low", "high", "undefined", "n", "n_of", "unit", "k", "axis_n", "of",
    ]  # fmt: skip
    assert rows == [
        ["a@1", 0.5, 0.25, 0.75, None, 3, "tokens", "share", 4, "x", None],
        ["b@1", None, None, None, "none", 0, "tokens", "share", None, None, "[1, 2]"],
    ]
