"""The short form of `python -m tests.campaign strings`: always the same texts, no browser.

All of them share one world: each is in a row, a completion, a label, an axis of its own. What there
is but once (titles, names of files and folders) is the first one, so a few worlds have one text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from campaign.strings import away, tried
from campaign.strings.hostile import MARKUP, PAGE, TABLE, TERMINAL, Hostile, drawn, every
from campaign.strings.judged import Page

FOUND = (
    "\x1b]8;;http://never.invalid/zq{n}\x07zq{n}\x1b]8;;\x07",  # paths, and titles of panels
    "\ud800zq{n}\udfff",  # tables that an analysis wrote
)
"""Texts on which a promise was once broken."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with away(tmp_path):
        yield tmp_path / "scene"


def found() -> list[Hostile]:
    return [Hostile(text.format(n=n), n) for n, text in enumerate(FOUND, 10)]


@pytest.mark.slow
def test_nothing_runs_and_everything_is_kept(place: Path) -> None:
    """Texts of every kind beside those on which a fault was found."""
    others = [one for number, one in enumerate(every()) if number % 11 == 0]
    assert not dict(tried(place, [*found(), *others], opened=False))


def test_the_same_chance_is_the_same_text_and_every_form_is_drawn() -> None:
    texts = [drawn(random.Random(seed)) for seed in range(300)]
    assert texts == [drawn(random.Random(seed)) for seed in range(300)]
    assert all(one.mark in one.text for one in [*texts, *every()])
    assert len(every()) == len(PAGE) + len(TERMINAL) + len(MARKUP) + len(TABLE)


def test_a_page_of_which_something_comes_of_the_text_is_a_fault(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge sees what it is there for: what is not escaped, and what is not shown."""
    from campaign.strings import judged, scene, tour

    text = replace(every()[6], keeps="[x]")
    world = scene.Scene(place, (text,))
    page = f"<p>{text.text}</p><p title={text.mark}>\x1b</p><!-- c --><a href=javascript:1>x</a>"
    broken = [fault for _, fault in judged._page("page", page, world)]
    for part in ("an element <img>", "attribute onerror", "attribute title", "a comment",
                 "attribute href", "shows ['\\x1b']"):  # fmt: skip
        assert any(part in fault for fault in broken), part
    drawing = '<script type="application/json">["<b>"]</script>'
    assert "markup" in next(iter(judged._page("page", drawing, world)))[1]
    assert Page("<script>var x = '<p>'</script>").tags == [("script", [])]
    for shown, part in (("\x1b]0;x", "writes '\\x1b'"), (f"x {text.mark}", "reads its markup")):
        (fault,) = judged._screen(tour.Screen("eval", 0, shown), world)
        assert part in fault[1]
    (fault,) = judged._screen(tour.Screen("eval", 70, "x"), world)
    assert "exit 70" in fault[1]
    assert not list(judged._screen(tour.Screen("eval", 0, "\x1b[1mx\x1b[0m", True), world))
