"""The answer on one screen: never longer or wider than it may be, whatever a run has found."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.contract import ClaimOutcome, Record
from harness.report.lines import cut, wrapped
from harness.report.one_line import one_line
from harness.report.screen import LINES, Footer, screen, show_answer
from harness.report.terminal import show
from harness.report.terminal_tables import Columns
from harness.results import Results

FILES = ("Report: runs/x/report.html", "Results: runs/x/results.json")
HOSTILE = "\x1b[31mred [bold]b[/bold] [/] \u202e rtl \r\n\x00\x9b2J 漢字" * 5
Make = Callable[..., Results]


def lines(results: Results, width: int = 80, footer: Footer | None = None) -> list[str]:
    return [line.plain for line in screen(results, width, footer or Footer(files=FILES))]


def claim(status: str = "supported", text: str = "It holds", **more: Any) -> ClaimOutcome:
    return ClaimOutcome("c", text, "x <= 0.5", status, **more)  # type: ignore[arg-type]


def arm(direction: str, value: float | None, experiment: str = "e", **axes: Any) -> Record:
    here = {"experiment": experiment, "view": "v", "data": "d", "direction": direction, **axes}
    ci = None if value is None else (value - 0.01, value + 0.01)
    why = "no such direction" if value is None else None
    return Record("polite.share@1", value, 100, "prompts", "share", ci=ci, undefined=why, axes=here)


def crowded(arms: int, experiments: int, claims: int, warnings: int, name: str = "a") -> Results:
    records = [
        arm(f"{name}{n}", n / 100, f"{name}{e}") for e in range(experiments) for n in range(arms)
    ]
    records += [arm("none", 0.9, f"{name}{e}") for e in range(experiments)]
    return Results(
        "complete", {"name": name, "title": f"{name} " * 60, "source": name * 300}, {},
        tuple(records), warnings=(name * 200,) * warnings,
        claims=tuple(claim(text=f"{name} " * 40) for _ in range(claims)),
    )  # fmt: skip


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 30), st.integers(0, 8), st.integers(0, 20), st.integers(0, 3),
    st.integers(40, 130), st.integers(0, 12), st.sampled_from(["a", "long_name_of_it", "漢"]),
)  # fmt: skip
def test_no_screen_is_longer_or_wider_than_it_may_be(
    arms: int, experiments: int, claims: int, warnings: int, width: int, gates: int, name: str
) -> None:
    footer = Footer([*["FAILED gate " * 20] * gates, f"Gates: 0 passed, {gates} failed."], FILES)
    found = lines(crowded(arms, experiments, claims, warnings, name), width, footer)
    assert len(found) <= LINES
    assert max(map(cell_len, found)) <= width
    assert found[-2:] == list(FILES)
    assert found[-3] == f"Gates: 0 passed, {gates} failed."


def test_everything_has_its_place_in_order(results: Make) -> None:
    more = {"claims": (claim("undecided"),), "warnings": ("hot",)}
    text = "\n".join(lines(results(**more)))
    order = ["A title", "A source", "Claims: 1 undecided", "Answer", "Experiment bypass",
             "1 warning: hot", "numbers are undefined: -v says why", *FILES]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)


@pytest.mark.parametrize("status", ["supported", "contradicted", "undecided", "unmeasured"])
def test_a_claim_has_a_line_with_its_numbers(results: Make, status: str) -> None:
    numbers = {"effect": 0.25, "ci": (0.1, 0.4)} if status != "unmeasured" else {"why": "no data"}
    one = claim(status, "A very long claim " * 20, **numbers)
    (line,) = [x for x in lines(results(claims=(one,))) if x.startswith(status)]
    assert line.endswith("0.25 [0.10, 0.40]" if status != "unmeasured" else "no data")
    assert "…" in line


def test_claims_that_have_no_room_are_counted(results: Make) -> None:
    found = lines(results(claims=(claim(),) * 12))
    assert sum(line.startswith("supported") for line in found) == 7
    assert "… and 5 more claims: -v shows them" in found
    assert "Claims: 12 supported" in found


def test_a_late_claim_says_so(results: Make) -> None:
    assert any("written after the run" in x for x in lines(results(claims=(claim(late=True),))))


def test_an_invalid_run_says_so_below_its_title(results: Make) -> None:
    found = lines(results(status="invalid", problems=("wrong site", "no edit", "x")))
    assert found[2].startswith("INVALID")
    assert found[3] == "invalid: wrong site"
    assert "2 more problems" in found[4]


@pytest.mark.parametrize("width", [80, 120])
def test_hostile_text_is_shown_and_does_nothing(width: int) -> None:
    bad = crowded(3, 2, 2, 1, HOSTILE)
    records = [replace(one, undefined=HOSTILE, value=None, ci=None) for one in bad.records[:2]]
    bad = replace(bad, records=(*bad.records, *records), status="invalid", problems=(HOSTILE,))
    out = io.StringIO()
    show_answer(bad, Console(file=out, width=width), Footer([HOSTILE, HOSTILE], FILES))
    text = out.getvalue()
    assert not [c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"]
    assert "[bold]" in text
    shown = text.rstrip("\n").split("\n")
    assert len(shown) <= LINES
    assert max(map(cell_len, shown)) <= width
    one = one_line(bad, width, HOSTILE, "page.html")
    assert not [c for c in one if unicodedata.category(c)[0] == "C"]


def test_no_records_are_no_error() -> None:
    empty = Results("complete", {}, {}, ())
    assert lines(empty) == ["", "", *FILES]
    assert one_line(empty, 80) == "run: complete"


# ── The headline compares like with like ─────────────────────────────────────────────────────────


def swept(*steps: int, name: str) -> list[Record]:
    return [arm(name, k / 100, k=k) for k in steps]


def test_rows_of_rankings_are_at_the_same_step() -> None:
    records = (arm("none", 0.9), *swept(1, 2, 8, name="one"), *swept(1, 2, 4, name="two"))
    text = "\n".join(lines(Results("complete", {"name": "x"}, {}, records)))
    assert "one, k = 2" in text
    assert "two, k = 2" in text
    assert "k = 8" not in text.partition("Experiment e")[2]


def test_an_experiment_in_which_nothing_differs_is_a_sentence() -> None:
    records = tuple(arm(name, 0.0) for name in ("none", "a", "b"))
    found = lines(Results("complete", {"name": "x"}, {}, records))
    assert "e: polite.share is 0 in all 3 arms (v on d, n = 100)." in found
    assert not any(line.startswith("Experiment e") for line in found)


# ── One line ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("width", [40, 80, 200])
def test_one_line_is_one_line(results: Make, width: int) -> None:
    more = {"claims": (claim(), claim("contradicted"))}
    line = one_line(results(**more), width, "3 of 4 gates passed", "runs/x/report.html")
    assert len(line.splitlines()) == 1
    assert line.startswith("tiny: complete; 1 supported")
    assert line.endswith("; runs/x/report.html")
    if width == 200:
        assert "; 3 of 4 gates passed; " in line
        assert "score" in line


# ── Tables never cut a column ────────────────────────────────────────────────────────────────────

names = st.text(alphabet="abcdef_. ", min_size=1, max_size=40).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(st.lists(names, min_size=1, max_size=8, unique=True), st.integers(40, 120), names)
def test_columns_keep_their_names_whole_and_fit(heads: list[str], width: int, label: str) -> None:
    table = Columns(heads, [(Text(label), [Text(f"{n}.25") for n in range(len(heads))])])
    blocks = table.blocks(width)
    assert [place for block in blocks for place in block] == list(range(len(heads)))
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    shown = out.getvalue()
    assert max(map(cell_len, shown.split("\n"))) <= width
    assert "…" not in shown
    for place in range(len(heads)):
        assert f"{place}.25" in shown
    # Nothing of a name is lost: its letters are there as often as in all names together.
    letters = "".join(heads) + label * len(blocks)
    for letter in "abcdef_.":
        expected = letters.count(letter) + (len(heads) if letter == "." else 0)
        assert shown.count(letter) == expected, letter


def test_all_tables_of_a_wide_run_fit(results: Make) -> None:
    """What `-v` shows: at 80 columns, too, no two columns read alike."""
    long = "a_rather_long_name_of_a_score"
    records = [
        replace(arm(d, 0.5), id=f"{long}.{kind}@1") for d in ("none", "b")
        for kind in ("first_kind", "first_sort", "second_kind", "second_sort")
    ]  # fmt: skip
    out = io.StringIO()
    show(results(records=tuple(records)), Console(file=out, width=80))
    text = out.getvalue()
    assert max(map(cell_len, text.split("\n"))) <= 80
    for word in ("first_", "second_"):
        assert word in text


# ── Lines ────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(alphabet="ab 漢[],.", max_size=80), st.integers(4, 30), st.integers(1, 4))
def test_wrapped_text_fits(text: str, width: int, most: int) -> None:
    found = [line.plain for line in wrapped(text, width, most, bullet="- ")]
    assert 1 <= len(found) <= most
    assert all(cell_len(line) <= width for line in found)
    assert cell_len(cut(text, width)) <= width


def test_an_interval_stays_on_one_line() -> None:
    found = [line.plain for line in wrapped("the score is 0.5 [0.25, 0.75]", 24, 3)]
    assert found == ["the score is 0.5", "[0.25, 0.75]"]
