"""Experiments on conversations: what is answered, and what a judge is told was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fakes
from harness.contract import Example
from harness.errors import DataError
from harness.planning.cost.lengths import PromptLengths
from harness.results.read import Results
from harness.running.session import Session
from harness.task.task import Task

RunTask = Callable[..., Results]

SYSTEM = {"role": "system", "content": "farm"}
FIRST = {"role": "user", "content": "a barn"}
ANSWER = {"role": "assistant", "content": "cannot help"}
LAST = {"role": "user", "content": "and hay"}
ANSWERED = ([FIRST, ANSWER], [SYSTEM, FIRST, ANSWER, LAST, ANSWER], [SYSTEM, LAST])
ASKED = ([FIRST], [SYSTEM, FIRST, ANSWER, LAST], [SYSTEM, LAST])


@pytest.fixture
def overrides(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """The overrides by which the task reads these conversations."""

    def overrides(*conversations: Any) -> tuple[str, ...]:
        file = tmp_path / "talk.jsonl"
        file.write_text("".join(json.dumps({"messages": one}) + "\n" for one in conversations))
        return f'data.web.file="{file}"', 'data.web.column="messages"'

    return overrides


def samples(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "run/samples/e.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def joined(turns: Any) -> str:
    return "\n".join(turn["content"] for turn in turns)


def test_the_answer_that_a_conversation_ends_with_is_no_part_of_the_prompt(
    run_task: RunTask, overrides: Any, tmp_path: Path
) -> None:
    """CASES row 5: the reference answer stayed in."""
    results = run_task(fakes.EXPERIMENT, *overrides(*ANSWERED))
    rows = samples(tmp_path)
    assert {row["prompt"] for row in rows} == {joined(turns) for turns in ASKED}
    assert {row["text"] for row in rows} == {"a barn", "and hay"}
    notes = [note for note in results.warnings if "end with an answer" in note]
    assert len(notes) == 1
    assert notes[0].startswith("data.web: 2 of 3 conversations end with an answer.")


def test_without_answers_nothing_is_said(run_task: RunTask, overrides: Any, tmp_path: Path) -> None:
    results = run_task(fakes.EXPERIMENT, *overrides(*ASKED))
    assert {row["prompt"] for row in samples(tmp_path)} == {joined(turns) for turns in ASKED}
    assert not [note for note in results.warnings if "answer" in note]


def test_what_is_read_keeps_its_answers(
    task: Callable[..., Task], overrides: Any, tmp_path: Path
) -> None:
    made = task(fakes.EXPERIMENT, *overrides(*ANSWERED))
    session = Session(made, tmp_path, tmp_path)
    assert [one.text for one in session.prompts.rendered("chat", "web")] == [
        joined(turns) for turns in ANSWERED
    ]
    assert [one.text for one in session.prompts.to_answer("chat", "web")] == [
        joined(turns) for turns in ASKED
    ]
    ids = [row.id for row in session.data.examples("web")]
    assert [one.example for one in session.prompts.to_answer("chat", "web")] == ids


def test_a_plan_counts_the_prompts_that_are_answered(
    task: Callable[..., Task], overrides: Any, tmp_path: Path
) -> None:
    made = task(fakes.EXPERIMENT, *overrides(*ANSWERED), "models.chat.here=true")
    session = Session(made, tmp_path, tmp_path)
    lengths = PromptLengths(made)
    for answered, write in (
        (True, session.prompts.to_answer),
        (False, session.prompts.rendered),
    ):
        found = lengths.of("chat", "web", answered=answered)
        assert found is not None
        assert list(found.tokens) == sorted(len(one.ids) for one in write("chat", "web"))


def test_a_conversation_of_answers_alone_cannot_be_asked(run_task: RunTask, overrides: Any) -> None:
    with pytest.raises(DataError, match=r"data\.web: .*row 2 of talk.jsonl.*nothing is asked"):
        run_task(fakes.EXPERIMENT, *overrides(ASKED[0], [ANSWER]))


def test_demonstrations_are_matched_by_text_and_not_by_none(
    task: Callable[..., Task], tmp_path: Path
) -> None:
    """The kind of CASES rows 3 and 4: rows without a value were matched as None."""
    rows = [{"text": "a", "answer": "b", "topic": "x"}, {"text": "c", "answer": "d", "topic": None}]
    file = tmp_path / "shown.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (
        f'[data.shown]\nfile = "{file}"\n[views.shot]\nmodel = "base"\n[views.shot.prompt]\n'
        'demonstrations = { data = "shown", count = 1, match = "topic" }\n'
    )
    prompts = Session(task(text), tmp_path, tmp_path).prompts
    with pytest.raises(DataError, match=r"row 2 of shown.jsonl.*column 'topic', which `match` nam"):
        prompts.render("shot", [Example("q", "?", {"topic": "x"})])
    with pytest.raises(DataError, match=r"example q: there is no column 'topic'"):
        prompts.render("shot", [Example("q", "?", {"topci": "x"})])
