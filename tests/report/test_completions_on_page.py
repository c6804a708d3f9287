"""All completions in the page: none is another one, none is lost in silence, and never too many."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from harness.registry import Registry
from harness.report import render
from harness.report.completions import FIRST, Completions, completions_of
from harness.report.page import LEAST, MOST
from harness.results import Results
from harness.text import visible

Row = dict[str, Any]


def unpacked(text: str) -> list[tuple[Any, ...]]:
    """Rows as the page's script reads them."""
    data = json.loads(text)
    texts = [*data["texts"], None]  # -1: no thought
    return [
        (
            *data["arms"][arm], texts[prompt], texts[answer], texts[thought],
            tuple((data["scores"][score], kind(said)) for score, said in data["verdicts"][verdict]),
        )
        for arm, prompt, answer, thought, verdict in data["rows"]
    ]  # fmt: skip


def kind(value: object) -> tuple[str, object]:
    """To Python 1, 1.0 and True are one thing; to a reader they are not."""
    return type(value).__name__, value


def expected(row: Row) -> tuple[Any, ...]:
    axes = [f"{key} = {row[key]}" for key in row if key in ("k", "draw")]
    said = row["verdicts"]
    named = [
        (score if len(said) == 1 else f"{score} ({judge})", kind(value))
        for judge, scores in said.items()
        for score, value in scores.items()
    ]
    thought = row.get("thought")
    return (
        row["experiment"], ", ".join([row["direction"], *axes]), visible(row["text"]),
        visible(row["completion"]), visible(thought) if thought else None, tuple(named),
    )  # fmt: skip


def row(number: int = 0, **more: Any) -> Row:
    return {
        "experiment": "e", "direction": "none", "example": str(number), "text": f"prompt {number}",
        "prompt": "unused", "completion": f"answer {number}", "tokens": 3, "stopped": True,
        "verdicts": {"words": {"refusal": True}}, **more,
    }  # fmt: skip


VALUES = st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, 1.0, 0.5, "x", "1"])
ROWS = st.lists(
    st.builds(
        row,
        st.integers(0, 3),
        experiment=st.sampled_from(["e", "f"]),
        direction=st.text(max_size=5).map(visible),
        completion=st.text(max_size=20),
        thought=st.text(max_size=5),
        k=st.integers(0, 2),
        verdicts=st.dictionaries(
            st.sampled_from(["words", "judge"]),
            st.dictionaries(st.sampled_from(["refusal", "safe"]), VALUES, min_size=1, max_size=2),
            min_size=1,
            max_size=2,
        ),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_every_completion_comes_back_as_it_was(rows: list[Row]) -> None:
    text = Completions(rows).packed(10**6)
    assert unpacked(text) == [expected(one) for one in rows]
    assert json.loads(text)["total"] == len(rows)
    assert "<" not in text, "it stands in a script"


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(ROWS, st.integers(0, 3000))
def test_what_is_left_out_is_whole_prompts_and_there_is_never_nothing(
    rows: list[Row], room: int
) -> None:
    text = Completions(rows).packed(room)
    data, kept = json.loads(text), unpacked(text)
    assert kept
    assert data["total"] == len(rows)
    every = [expected(one) for one in rows]
    places = iter(enumerate(every))
    found = [next(place for place, one in places if one == mine) for mine in kept]
    assert found == sorted(found), "in their order"
    for experiment in ("e", "f"):
        mine = [one for one in rows if one["experiment"] == experiment]
        counts = [
            sum(1 for at in found if (rows[at]["experiment"], rows[at]["example"])
                == (experiment, example))
            for example in dict.fromkeys(one["example"] for one in mine)
        ]  # fmt: skip
        whole = [
            sum(1 for one in mine if one["example"] == example)
            for example in dict.fromkeys(one["example"] for one in mine)
        ]
        first = [count > 0 for count in counts]
        assert first == sorted(first, reverse=True), "the first prompts"
        assert all(count in (0, full) for count, full in zip(counts, whole, strict=True))
    one = len(Completions([one for one in rows if one["example"] == rows[0]["example"]
                           and one["experiment"] == rows[0]["experiment"]]).packed(0))  # fmt: skip
    assert len(text) <= max(room, one) + 200, "keys, and the total"


def big(prompts: int, arms: int, letters: int) -> list[Row]:
    """Texts of which none is another one, and few share letters."""
    chance = random.Random(0)
    return [
        row(number, direction=f"arm {arm}",
            completion=chance.randbytes(letters // 2).hex())
        for arm in range(arms)
        for number in range(prompts)
    ]  # fmt: skip


@pytest.mark.slow
def test_ten_thousand_long_completions_stay_under_the_limit(sections: Registry) -> None:
    rows = big(1000, 10, 400)
    page = render(Results("complete", {}, {}, (), tables={"completions": rows}), sections)
    size = len(page.encode("utf-8"))
    assert MOST * 0.95 < size <= MOST
    text = page.rpartition('<script type="application/json">')[2].partition("</script>")[0]
    data = json.loads(text)
    assert data["total"] == 10_000
    assert len(data["rows"]) % 10 == 0, "every prompt that is there has all arms"
    assert 3000 < len(data["rows"]) < 5000
    assert f"The first {FIRST} of 10,000 completions" in page


def test_short_ones_are_all_there(sections: Registry) -> None:
    rows = big(300, 10, 60)
    page = render(Results("complete", {}, {}, (), tables={"completions": rows}), sections)
    assert len(page.encode("utf-8")) <= MOST
    text = page.rpartition('<script type="application/json">')[2].partition("</script>")[0]
    assert unpacked(text) == [expected(one) for one in rows]


def test_a_page_that_is_large_already_has_some_all_the_same(
    sections: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.report.page.MOST", 1)
    rows = big(100, 10, 1000)
    page = render(Results("complete", {}, {}, (), tables={"completions": rows}), sections)
    text = page.rpartition('<script type="application/json">')[2].partition("</script>")[0]
    assert LEAST * 0.9 < len(text) <= LEAST


def test_without_completions_there_is_nothing_to_look_through(
    results: Any, sections: Registry
) -> None:
    assert completions_of(results(tables={})) is None
    page = render(results(tables={}), sections)
    assert "All completions" not in page
    assert 'class="browser"' not in page


def test_an_unfinished_one_is_said_to_be_none() -> None:
    text = Completions([row(completion="", unfinished=True, thought="Hm")]).packed(1000)
    ((*_, answer, thought, _),) = unpacked(text)
    assert "unfinished" in answer
    assert thought == "Hm"


def test_rows_of_a_strange_file_do_not_break_the_page(sections: Registry) -> None:
    """`samples/` of another version, or of somebody else."""
    odd: list[Row] = [
        {
            "experiment": "e",
            "example": "1",
            "text": None,
            "completion": 3,
            "verdicts": {"w": "yes"},
        },
        {"experiment": "e", "completion": "b", "verdicts": {"w": {"x": [1, {"y": None}]}}},
        {"experiment": "e", "completion": "c", "verdicts": {"w": {"x": float("nan")}}},
    ]
    found = unpacked(Completions(odd).packed(10_000))
    assert [one[3] for one in found] == ["3", "b", "c"]
    assert found[2][-1] == (("x", ("NoneType", None)),)
    page = render(Results("complete", {}, {}, (), tables={"completions": odd}), sections)
    assert "All completions" in page
