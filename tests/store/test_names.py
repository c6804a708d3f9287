"""Names of files out of any text: safe on every system, and told apart."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from harness.store.names import clash, safe_name, safe_names, unsafe

TEXTS = st.text(max_size=200) | st.sampled_from(
    ["CON", "aux.txt", "..", "", "com1", "a/b", "é", "."]
)


@given(TEXTS, st.integers(8, 100))
def test_any_text_gets_a_safe_name(text: str, longest: int) -> None:
    name = safe_name(text, longest)
    assert unsafe(name) == ""
    assert "/" not in name
    assert len(name) <= longest + 1
    assert safe_name(name, longest) == name


@given(st.lists(TEXTS, max_size=12))
def test_no_two_are_the_same_in_any_case(texts: list[str]) -> None:
    names = safe_names(texts)
    assert len({name.lower() for name in names}) == len(texts)
    assert not [name for name in names if unsafe(name)]


def test_what_is_a_name_stays_as_it_is() -> None:
    assert safe_name("bypass.refusal_score-2") == "bypass.refusal_score-2"
    assert safe_name("features [k=8]") == "features-k-8"
    assert safe_names(["a b", "A B", "a-b"]) == ["a-b", "A-B-2", "a-b-3"]


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", ".hidden", "a\\b", "C:x", "a b",
        "é", "con", "Aux.txt", "x/nul.csv", "x.", "a\nb", "a" * 121, "a/" * 111 + "a", "a*",
        'a"', "a|b",
    ],
)  # fmt: skip
def test_what_is_safe_nowhere_or_not_everywhere(path: str) -> None:
    assert unsafe(path)


@pytest.mark.parametrize("path", ["a", "data/scores.json", "2026-11-29T10-00-00+00-00_x.eval", "_"])
def test_what_is_safe(path: str) -> None:
    assert unsafe(path) == ""


@pytest.mark.parametrize(
    ("path", "clashes"),
    [("a", True), ("A", True), ("a/b", True), ("x", True), ("x/y", True), ("x/Y/z", True),
     ("ab", False), ("x/z", False), ("y", False)],
)  # fmt: skip
def test_what_cannot_lie_in_one_folder(path: str, clashes: bool) -> None:
    assert bool(clash(path, ["a", "x/y"])) == clashes
    assert clash(path, []) == ""
