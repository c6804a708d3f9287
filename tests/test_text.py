"""Hostile text made harmless."""

from __future__ import annotations

import pytest

from harness.text import for_terminal, well_formed


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb\tc\r", "a b c "), ("\x1b[2J", "�[2J"), ("a\u202eb", "a�b"), ("ü 漢 😀", "ü 漢 😀"),
     ("\ud800", "�"), ("", "")],
)  # fmt: skip
def test_what_moves_a_terminal_is_replaced(text: str, shown: str) -> None:
    assert for_terminal(text) == shown


def test_long_text_is_cut() -> None:
    assert for_terminal("x" * 200) == "x" * 200
    assert for_terminal("x" * 201) == "x" * 200 + "…"
    assert for_terminal("xyz", longest=2) == "xy…"


@pytest.mark.parametrize(
    ("text", "expected"), [("a\ud800b", "a�b"), ("\udc00", "�"), ("😀é\x00", "😀é\x00"), ("", "")]
)
def test_lone_surrogates_are_replaced_and_nothing_else(text: str, expected: str) -> None:
    assert well_formed(text) == expected
    expected.encode()
