"""Each question is asked once, and what was answered is never lost."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Completion, Sampling, Tokens
from harness.judges import local
from harness.judges.answers import Answers, Reply
from harness.store.lines import Lines
from harness_evaluators.harmbench.template import FILES, template_text

from .conftest import Recorded, answer
from .test_harmbench import ANSWERS, judged


@pytest.mark.slow
def test_equal_questions_are_asked_once(judge: Recorded) -> None:
    twice = [*ANSWERS, *reversed(ANSWERS)]
    verdicts = judged(judge, twice)
    assert verdicts == verdicts[::-1]
    assert len(judge.asked) == len(ANSWERS)
    judge.asked.clear()
    judged(judge, [answer("cake", "One."), answer("cake", "Two."), answer("pie", "One.")] * 2)
    assert len(judge.asked) == 3


@pytest.mark.slow
def test_nothing_is_asked_again(judge: Recorded, tmp_path: Path) -> None:
    first = judged(judge, ANSWERS, tmp_path)
    judge.asked.clear()
    assert judged(judge, ANSWERS, tmp_path) == first
    assert judged(judge, ANSWERS[::2], tmp_path) == first[::2]
    assert not judge.asked
    more = judged(judge, [*ANSWERS, answer("something new")], tmp_path)
    assert more[:-1] == first
    assert len(judge.asked) == 1


@pytest.mark.parametrize(
    "change", [{"template": "B"}, {"clip": 100}, {"context": 600}], ids=lambda c: next(iter(c))
)
def test_another_question_is(judge: Recorded, tmp_path: Path, change: dict[str, Any]) -> None:
    judged(judge, ANSWERS[:3], tmp_path)
    judge.asked.clear()
    assert judged(judge, ANSWERS[:3], tmp_path, **change) == judged(judge, ANSWERS[:3], **change)
    assert len(judge.asked) == 6


def test_another_judge_is_asked_and_another_reading_of_the_answers_is_not(
    judge: Recorded, tmp_path: Path
) -> None:
    judged(judge, ANSWERS[:3], tmp_path)
    judge.asked.clear()
    judged(judge, ANSWERS[:3], tmp_path, invalid="no")
    assert not judge.asked
    judge.fingerprint = "another"  # type: ignore[attr-defined]
    judged(judge, ANSWERS[:3], tmp_path)
    assert len(judge.asked) == 3


class Dying(Recorded):
    """Dies at its second batch."""

    alive = 1

    def generate(self, tokens: list[Tokens], sampling: Sampling) -> list[Completion]:
        if self.alive == 0:
            raise KeyboardInterrupt
        self.alive -= 1
        return super().generate(tokens, sampling)


@pytest.mark.slow
def test_what_was_judged_before_a_crash_is_kept(
    judge: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 4
    monkeypatch.setattr(local, "MOST", rows)
    dying = Dying(judge.model)
    with pytest.raises(KeyboardInterrupt):
        judged(dying, ANSWERS, tmp_path)
    assert len(dying.asked) == rows < len(ANSWERS)
    assert judged(judge, ANSWERS, tmp_path) == judged(judge, ANSWERS)
    assert len(judge.asked) == len(ANSWERS) - rows + len(ANSWERS)


# ── The file ─────────────────────────────────────────────────────────────────────────────────────


def filled(file: Path) -> None:
    with closing(Answers(file)) as cache:
        cache.add("a", Reply("yes", clipped=True))
        cache.add("b", Reply("n\u2028o \x00 ﷽", cut=True))
        cache.add("a", Reply("other"))


def test_what_is_remembered_is_read_again(tmp_path: Path) -> None:
    filled(tmp_path / "x" / "cache.jsonl")
    with closing(Answers(tmp_path / "x" / "cache.jsonl")) as cache:
        assert cache["a"] == Reply("yes", clipped=True)
        assert cache["b"] == Reply("n\u2028o \x00 ﷽", cut=True)
        assert "c" not in cache
    assert len((tmp_path / "x" / "cache.jsonl").read_text().splitlines()) == 2


def test_a_torn_last_line_costs_itself_alone(tmp_path: Path) -> None:
    file = tmp_path / "cache.jsonl"
    filled(file)
    whole = file.read_bytes()
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        with closing(Answers(file)) as cache:
            known = [key for key in "ab" if key in cache]
            cache.add("c", Reply("no"))
        with closing(Answers(file)) as cache:
            assert [key for key in "abc" if key in cache] == [*known, "c"]
        lines = whole[:length].count(b"\n")
        assert len(known) >= lines


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff\xfe", b"[]", b"null", b"7", b"{}", b'{"key": "a"}', b'{"key": 1, "answer": "x"}',
     b'{"key": "a", "answer": 5}', b'{"key": "a", "answer": "x", "more": 1}', b"[" * 100_000],
)  # fmt: skip
def test_lines_that_are_not_ours_are_passed_over(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "cache.jsonl"
    with closing(Lines(file)) as lines:
        lines.add({"key": "b", "answer": "no", "clipped": False, "cut": False})
        with suppress(ValueError, RecursionError):  # what has a hash must be ours, too
            lines.add(json.loads(line.decode()))
    file.write_bytes(line + b"\n" + file.read_bytes())
    with closing(Answers(file)) as cache:
        assert "a" not in cache
        assert cache["b"] == Reply("no")


def test_without_a_file_memory_does(tmp_path: Path) -> None:
    with closing(Answers(None)) as cache:
        cache.add("a", Reply("yes"))
        assert cache["a"] == Reply("yes")


@pytest.mark.parametrize("sealed", [True, False])
def test_what_an_earlier_version_was_answered_counts_where_it_has_its_hash(
    judge: Recorded, tmp_path: Path, sealed: bool
) -> None:
    """Keys are the hash of this list. CASES row 10: the first lines had no hash of themselves, so
    nobody can tell whether a letter of them was changed."""
    asked = [1, judge.fingerprint, [512, None], [template_text(FILES["A"]), "Bake.", "", "Sure."]]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]
    line = {"key": key, "answer": "yes", "clipped": False, "cut": True}
    if not sealed:
        (tmp_path / "harmbench.jsonl").write_text(json.dumps(line) + "\n")
        judged(judge, [answer("Sure.", "Bake.")], tmp_path)
        assert len(judge.asked) == 1
        return
    with closing(Lines(tmp_path / "harmbench.jsonl")) as lines:
        lines.add(line)
    (verdict,) = judged(judge, [answer("Sure.", "Bake.")], tmp_path)
    assert (verdict.scores["safe"], verdict.note) == (False, "prompt cut")
    assert not judge.asked
