"""The top of the page: claims, the answer, and the figure that draws what it rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.contract import ClaimOutcome, Figure, Panel, Prose, Record
from harness.registry import Registry
from harness.report import render
from harness.report.panels import panels
from harness.report.top import folded, is_constant, telling_figure
from harness.results import Results
from harness.results.answer import Sentence

Make = Callable[..., Results]


def record(n: int, value: float | None = None) -> Record:
    number = float(n) if value is None else value
    return Record("a@1", number, 5, "tokens", "share", axes={"n": n})


def figure(title: str, *records: Any) -> Figure:
    return Figure(title, "", [], records=records)


def chosen(sentences: list[list[Record]], *figures: Figure) -> str | None:
    said = [Sentence("s", 1.0, tuple(evidence)) for evidence in sentences]
    found = telling_figure(said, [Panel("p", [Prose("x"), *figures])])
    return None if found is None else found.title


def test_the_figure_draws_what_the_first_sentence_rests_on() -> None:
    first, other = figure("first", record(1), record(2)), figure("other", record(3), record(4))
    assert chosen([[record(1)], [record(3)]], first, other) == "first"
    assert chosen([[record(3)], [record(1)]], first, other) == "other"


def test_the_figure_that_draws_most_of_it_wins_then_the_one_with_least_else() -> None:
    few, all_of_it = figure("few", record(1), record(9)), figure("all", record(1), record(2))
    more = figure("more", record(1), record(2), record(3))
    assert chosen([[record(1), record(2)]], few, more, all_of_it) == "all"


def test_a_sentence_that_no_figure_draws_leaves_it_to_the_next() -> None:
    assert chosen([[], [record(7)], [record(2)]], figure("f", record(2), record(3))) == "f"
    assert chosen([[record(7)]], figure("f", record(2), record(3))) is None
    assert chosen([], figure("f", record(2), record(3))) is None


def test_a_figure_in_which_nothing_differs_is_not_the_one() -> None:
    flat = figure("flat", record(1, 0.5), record(2, 0.5))
    assert chosen([[record(1, 0.5)]], flat) is None
    assert is_constant(flat)
    assert not is_constant(figure("one", record(1)))


def test_a_figure_of_a_stranger_does_no_harm() -> None:
    assert chosen([[record(1)]], figure("odd", "no record"), figure("f", record(1))) == "f"


def test_a_constant_figure_is_a_sentence_and_others_stay() -> None:
    gone = replace(record(3), value=None, undefined="no token")
    text = folded(figure("A score", record(1, 0.5), record(2, 0.5), gone))
    assert isinstance(text, Prose)
    assert text.text == "A score: 0.50 in all 2 numbers; 1 are undefined, so no figure is drawn."
    drawn = figure("A score", record(1), record(2))
    assert folded(drawn) is drawn


def test_the_page_begins_with_the_answer(
    results: Make, sections: Registry, parse: Any, harmless: Any
) -> None:
    claim = ClaimOutcome("c", "It <b>EVIL</b> holds", "x <= 0.5", "supported", 0.25, (0.1, 0.4))
    page = parse(render(results(claims=(claim,)), sections))
    text = " ".join(page.text.split())
    # The list of sections names the headings, too: what is read begins below it.
    text = text[text.index("What the task claimed") :]
    order = ["supported", "It <b>EVIL</b> holds", "0.25 [0.10, 0.40]", "What it found",
             "Edit of `truth` lowers score", "Headline", "Interventions"]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    harmless(page)
    ids = [value for name, value in page.values if name == "id"]
    assert len(ids) == len(set(ids))
    assert "answer-1-title" in ids


def test_experiments_show_their_score_beside_the_controls(
    results: Make, sections: Registry
) -> None:
    from harness.results.answer import answer

    found = results()
    best = telling_figure(answer(found), panels(found, sections))
    assert best is not None
    assert best.title.startswith("bypass: score")


@pytest.mark.parametrize("more", [{}, {"records": ()}])
def test_every_figure_names_its_axes(results: Make, sections: Registry, more: Any) -> None:
    for panel in panels(results(**more), sections):
        for block in panel.blocks:
            if isinstance(block, Figure):
                assert block.layout["yaxis"]["title"]["text"], block.title
                assert block.layout["xaxis"]["title"]["text"], block.title
