"""What is shown on a terminal: numbers that can be read, and hostile text that does nothing."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st
from rich.console import Console

from harness.authoring.listing import list_plugins
from harness.cli.main import main
from harness.contract import Record
from harness.registry import discover
from harness.report.terminal import show
from harness.results import Results
from harness.text import for_terminal

HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]b[/bold] [/] \u202e rtl \r\n\x00\x9b2J \u200b"
RECORD = Record(
    "polite.refused@1", 0.5, 10, "prompts", "share", ci=(0.25, 0.75),
    axes={"experiment": "e", "view": "chat", "data": "web", "direction": "a", "k": 8},
)  # fmt: skip
PLAIN = replace(RECORD, axes={"pair": "p", "site": "resid_post.2"})


def shown(results: Results, width: int = 200) -> str:
    out = io.StringIO()
    show(results, Console(file=out, width=width, force_terminal=False))
    return out.getvalue()


def of(*records: Record, **more: object) -> Results:
    task = {"name": "x", "title": "A title", "source": "A source"}
    return Results(**{"status": "complete", "task": task, "provenance": {}, "records": records,
                      **more})  # type: ignore[arg-type]  # fmt: skip


def harmless(text: str) -> bool:
    bad = [char for char in text if char not in "\n" and unicodedata.category(char)[0] == "C"]
    return not bad


@pytest.mark.parametrize(
    "results",
    [
        of(task={"name": HOSTILE}),
        of(task={"name": "x", "title": HOSTILE, "source": HOSTILE}),
        of(problems=(HOSTILE,)),
        of(warnings=(HOSTILE,)),
        of(replace(RECORD, id=HOSTILE)),
        of(replace(PLAIN, id=HOSTILE)),
        of(replace(RECORD, value=None, undefined=HOSTILE)),
        of(replace(PLAIN, value=None, undefined=HOSTILE)),
        *(of(replace(RECORD, axes={**RECORD.axes, key: HOSTILE})) for key in
          ("experiment", "view", "data", "direction", "k", "evaluator")),
        of(replace(PLAIN, axes={"pair": HOSTILE})),
        of(replace(RECORD, axes={**RECORD.axes, HOSTILE: 1})),
        of(replace(PLAIN, axes={HOSTILE: 1})),
    ],
    ids=["name", "title", "problem", "warning", "id", "plain id", "undefined", "plain undefined",
         "experiment", "view", "data", "direction", "k", "evaluator", "pair", "axis",
         "plain axis"],
)  # fmt: skip
def test_hostile_text_is_shown_and_does_nothing(results: Results) -> None:
    text = shown(results)
    assert harmless(text), text
    if "red" in text:
        # Markup is shown as it was written, neither obeyed nor an error.
        assert "[bold]b[/bold]" in text


@given(st.text())
@example("a\u2028b\u2029c\x85d\x0be")
@example("\ud800\ufdd0\U000e0001")
def test_text_for_a_terminal_is_one_harmless_line(text: str) -> None:
    safe = for_terminal(text, 30)
    assert len(safe.splitlines()) <= 1
    assert len(safe) <= 31
    assert harmless(safe)


@given(st.text(alphabet="abc ÄΩ漢é☃.,[]{}", max_size=30))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert for_terminal(text, 30) == text


@pytest.mark.parametrize(("longest", "expected"), [(3, "abc…"), (6, "abcdef"), (5, "abcde…")])
def test_long_text_is_cut_and_says_so(longest: int, expected: str) -> None:
    assert for_terminal("abcdef", longest) == expected


def test_hostile_words_of_a_plugin_are_shown_and_do_nothing(
    fake_dist: Callable[..., Path],
) -> None:
    fake_dist(
        "acme-one",
        "from harness.contract import Component, hookimpl\n"
        "@hookimpl\n"
        "def harness_components():\n"
        f"    return [Component('metric', 'm', {HOSTILE!r}, 'a:b', 'a:b')]\n",
    )
    fake_dist("acme-two", f"raise RuntimeError({HOSTILE!r})")
    text = list_plugins(discover())
    assert harmless(text), text


def test_hostile_text_in_a_task_is_harmless_in_its_messages(
    write: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    file = write(head='name = "\\u001b[31mred"\n"\\u001b[2J" = 1\n')
    assert main(["check", str(file)]) == 2
    assert harmless(capfd.readouterr().err)


# ── Numbers ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"), (1.0, "1"), (0.5, "0.5"), (1 / 3, "0.33"), (0.001234, "0.001"), (12.0, "12"),
        (1e-9, "1e-09"), (123456789.0, "1.2"), (-0.25, "-0.25"), (1234.5, "123"),
    ],
)  # fmt: skip
def test_a_value_is_shown_so_that_it_is_not_mistaken(value: float, expected: str) -> None:
    assert expected in shown(of(replace(PLAIN, value=value, ci=None)))


@pytest.mark.parametrize("record", [RECORD, PLAIN])
def test_an_interval_is_shown_beside_its_value(record: Record) -> None:
    assert "[0.25, 0.75]" in shown(of(record))


@pytest.mark.parametrize("record", [RECORD, PLAIN])
def test_what_is_undefined_says_so_and_why(record: Record) -> None:
    gone = replace(record, value=None, ci=None, undefined="no token was measured")
    text = shown(of(gone))
    assert "undefined" in text
    assert "no token was measured" in text


def test_every_record_of_an_experiment_has_its_cell() -> None:
    values = iter(range(1000, 2000, 7))
    records = [
        replace(RECORD, id=id, value=float(next(values)), ci=None,
                axes={**RECORD.axes, "direction": direction, "k": k, "evaluator": judge})
        for id in ("polite.refused@1", "polite.length@1")
        for direction in ("none", "a", "b")
        for k in (1, 2)
        for judge in ("one", "two")
    ]  # fmt: skip
    text = shown(of(*records))
    for record in records:
        assert f"{record.value:.0f}" in text, record


def test_records_that_differ_in_their_options_alone_are_both_shown() -> None:
    one = replace(RECORD, value=1111.0, ci=None, options={"norm": "a"})
    other = replace(RECORD, value=2222.0, ci=None, options={"norm": "b"})
    text = shown(of(one, other))
    assert "1111" in text
    assert "2222" in text


def test_no_records_are_no_error() -> None:
    assert "A title" in shown(of())
