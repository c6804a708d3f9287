"""How completions are written: length, repetition and unended ones stand beside every score."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

import fakes
from harness.contract import Answer, Completion, Example, Record, Score, Verdict
from harness.planning.steps import PlannedArm
from harness.results.intervals import wilson
from harness.results.read import Results
from harness.running.experiments.arms import ArmOutcome
from harness.running.experiments.silence import unjudged
from harness.running.experiments.verdicts import Judged, verdict_records
from harness.running.experiments.written import distinct, written_records

RunTask = Callable[..., Results]
TEXTS = [
    "Take the first road and then the second road.",
    "no no no no no no no no",
    "I can't, I can't, I can't, I can't.",
    "Yes.",
    "",
    "eins zwei drei vier",
    "Ünïcödé wörds ärè wörds töö, ärè wörds töö",
]


def by_hand(text: str) -> float | None:
    """The same share, counted run by run in a list."""
    words = [w for w in re.split(r"[^\w'’]+", text.lower()) if w]
    seen: list[list[str]] = []
    runs = 0
    for start in range(len(words) - 3):
        runs += 1
        if words[start : start + 4] not in seen:
            seen.append(words[start : start + 4])
    return len(seen) / runs if runs else None


@pytest.mark.parametrize("text", TEXTS)
def test_distinct_as_by_hand(text: str) -> None:
    assert distinct(text) == by_hand(text)


def test_distinct_is_one_without_repetition_and_falls_with_it() -> None:
    assert distinct("one two three four five six") == 1.0
    loops = [distinct("one two three four five six " * n) for n in (1, 2, 4, 8, 400)]
    assert loops == sorted(loops, reverse=True)  # type: ignore[type-var]
    assert loops[-1] == pytest.approx(6 / (2400 - 3))
    assert distinct("\ud800 \x00 \x1b[2J") is None


def outcome(completions: Sequence[Completion], direction: str = "none") -> ArmOutcome:
    answers = [Answer(Example(f"e{n}", f"q{n}"), f"q{n}", one) for n, one in enumerate(completions)]
    return ArmOutcome(PlannedArm(direction), tuple(answers))


def records(completions: Sequence[Completion]) -> dict[str, Record]:
    return {r.id: r for r in written_records([outcome(completions)], {"experiment": "e"}, 9, 0)}


def test_records_as_by_hand() -> None:
    completions = [Completion(text, 3 * n, stopped=n % 3 > 0) for n, text in enumerate(TEXTS * 4)]
    found = records(completions)
    assert list(found) == ["text.tokens@1", "text.distinct_4@1", "text.length_limited@1"]
    lengths = np.array([one.tokens for one in completions], np.float64)
    assert found["text.tokens@1"].value == pytest.approx(lengths.sum() / len(lengths), rel=1e-12)
    low, high = found["text.tokens@1"].ci or (math.nan, math.nan)
    spread = 1.96 * lengths.std() / len(lengths) ** 0.5
    assert (low, high) == pytest.approx((lengths.mean() - spread, lengths.mean() + spread), rel=0.1)
    shares = [share for one in completions if (share := by_hand(one.text)) is not None]
    mine = found["text.distinct_4@1"]
    assert (mine.value, mine.n) == (pytest.approx(sum(shares) / len(shares)), len(shares))
    limited = sum(not one.stopped for one in completions)
    mine = found["text.length_limited@1"]
    assert (mine.value, mine.n) == (limited / len(completions), len(completions))
    assert mine.ci == pytest.approx(wilson(limited, len(completions)))
    assert mine.options == {"max_new_tokens": 9}


def test_thoughts_that_never_ended_are_counted_and_not_read() -> None:
    completions = [
        Completion("a b c d", 4, True, "hm"),
        Completion("", 9, False, "a b c d a b c d", finished=False),
        Completion("", 9, False, "hm", finished=False),
    ]
    found = records(completions)
    assert (found["unfinished@1"].value, found["unfinished@1"].n) == (2 / 3, 3)
    assert (found["text.distinct_4@1"].value, found["text.distinct_4@1"].n) == (1.0, 1)
    assert found["text.length_limited@1"].value == 2 / 3


def test_what_was_not_measured_is_undefined() -> None:
    found = records([Completion("Yes.", 2, True)])
    mine = found["text.distinct_4@1"]
    assert (mine.value, mine.n, mine.undefined) == (None, 0, "no answer has 4 words")
    empty = list(written_records([ArmOutcome(PlannedArm("d"), undefined="no d")], {}, 9, 0))
    assert {(r.value, r.undefined) for r in empty} == {(None, "no d")}


def test_every_experiment_has_them(run_task: RunTask) -> None:
    results = run_task(fakes.EXPERIMENT)
    arms = {str(r.axes["direction"]) for r in results.records if r.id == "polite.refused@1"}
    for id in ("text.tokens@1", "text.distinct_4@1", "text.length_limited@1"):
        mine = [r for r in results.records if r.id == id]
        assert {str(r.axes["direction"]) for r in mine} == arms
        assert all("evaluator" not in r.axes for r in mine)


def test_a_score_that_is_not_there_is_no_invalid_verdict() -> None:
    """The quality of compliance has no value for a refusal: that is no judge's failure."""
    scores = (Score("refused", "r@1"), Score("quality", "q@1", partial=True))
    given = [(True, None), (False, 0.5), (None, None), (False, 0.25)]
    verdicts = tuple(Verdict({"refused": no, "quality": how}) for no, how in given)
    one = outcome([Completion("x", 1, True)] * len(given))
    judged = Judged("j", {}, scores, (verdicts,))
    found = {r.id: r for r in verdict_records(judged, [one], {}, 0)}
    assert (found["invalid_verdicts@1"].value, found["invalid_verdicts@1"].n) == (0.25, 4)
    assert (found["q@1"].value, found["q@1"].n) == (0.375, 2)
    refusals = Judged("j", {}, scores, ((Verdict({"refused": True, "quality": None}),),))
    alone = outcome([Completion("x", 1, True)])
    assert not list(unjudged("e", refusals, [alone]))
    found = {r.id: r for r in verdict_records(refusals, [alone], {}, 0)}
    assert found["q@1"].undefined == "it is there for no completion"
    nothing = Judged("j", {}, scores, ((Verdict({"refused": None, "quality": None}),),))
    assert "the score refused has" in next(unjudged("e", nothing, [alone]))
