"""Hostile text in a page: seen, cut, and never markup."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import example, given, strategies as st

from harness.report.embed import neutral, plotly_figure, policy, script_json
from harness.text import LONGEST, visible


@given(st.text())
@example("\ud800\ufdd0\U000e0041\u2028\u2029\x85\x0b\x7f\u202e\u2066\u200b\xad\ufeff")
def test_what_hides_is_shown(text: str) -> None:
    shown = visible(text)
    hidden = [c for c in shown if unicodedata.category(c)[0] == "C" and c not in "\n\t\u200d"]
    assert not hidden
    shown.encode("utf-8")


@given(st.text(alphabet="abc ÄΩ漢é☃.,[]{}<>&\n\t👩\u200d", max_size=50))
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("\x1b[31m", "␛[31m"), ("a\u202eb", "a[U+202E]b"), ("\x00", "␀"), ("\r\n", "␍\n"),
     ("\x9b", "[U+009B]")],
)  # fmt: skip
def test_hidden_characters_have_names(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    shown = visible("a" * 1_000_000)
    assert len(shown) < LONGEST + 100
    assert "1,000,000 characters" in shown
    assert visible("a" * LONGEST) == "a" * LONGEST


@given(st.recursive(st.text() | st.floats() | st.none(), lambda x: st.lists(x, max_size=3)))
@example("</script><!-- \u2028 ]]> \ud800")
def test_json_stays_in_its_script(value: object) -> None:
    text = script_json(neutral(value))
    assert not set("<>&") & set(text)
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)


@given(st.text())
@example("</script><!-- \u2028")
def test_json_alone_is_enough_for_that(text: str) -> None:
    """Keys, and whatever was not made for plotly."""
    embedded = script_json({text: text})
    assert not set("<>&") & set(embedded)
    assert embedded.isascii()
    assert json.loads(embedded) == {text: text}


@given(st.text())
def test_no_text_of_a_figure_is_markup_to_plotly(text: str) -> None:
    figure = plotly_figure([{"name": text, text: [text]}], {"title": {"text": text}})
    names = [figure["data"][0]["name"], figure["layout"]["title"]["text"]]
    for name in names:
        assert "<" not in name
        assert not any(part[:1] not in "algq" for part in name.split("&")[1:])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_null(value: float) -> None:
    assert neutral({"y": (1, value)}) == {"y": [1, None]}


def test_a_layout_is_ours_with_the_sections_changes() -> None:
    layout = plotly_figure([], {"yaxis": {"range": [0, 1]}, "height": 100})["layout"]
    assert layout["yaxis"]["range"] == [0, 1]
    assert layout["yaxis"]["zeroline"] is False
    assert layout["height"] == 100
    assert "range" not in plotly_figure([], {})["layout"]["yaxis"]


def test_without_scripts_none_may_run() -> None:
    assert "script-src 'none'" in policy([])
