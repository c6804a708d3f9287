"""Rows of which no prompt can be made: an error that counts them, or left out and counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
from harness.contract import Results
from harness.errors import BadRows, DataError
from harness.planning.cost.lengths import PromptLengths
from harness.planning.planner import plan
from harness.planning.rehearsal import unwritable
from harness.running.session import Session
from harness.task.prompts import CHUNK
from harness.task.task import Task, task_hash

RunTask = Callable[..., Results]
SKIP = 'data.web.on_bad_rows="skip"'
REFUSES = 'models.chat.refuses="#"'
TEXTS = ["a barn", "# one", "hay", "a cow and hay", "# two", "no", "farm"]
GOOD = [text for text in TEXTS if "#" not in text]


@pytest.fixture(autouse=True)
def rows(texts: Callable[[Sequence[str]], None]) -> None:
    texts(TEXTS)


def test_the_error_names_the_first_row_and_counts_all(run_task: RunTask) -> None:
    """TOKENIZERS row T10: one bad row of seven stopped the run, and nothing said how many are."""
    with pytest.raises(DataError) as caught:
        run_task(fakes.EXPERIMENT, REFUSES)
    said = str(caught.value)
    assert said.startswith("views.chat: example ")
    assert "(row 2 of web.jsonl): refused" in said
    assert "2 of 7 rows are like this" in said
    assert 'data.web.on_bad_rows = "skip"' in said


def test_rows_in_several_chunks_are_counted_together(
    session: Callable[..., Session], texts: Callable[[Sequence[str]], None]
) -> None:
    texts(["x"] * (CHUNK - 1) + ["# a"] + ["y"] * 40 + ["# b"])
    made = session(fakes.EXPERIMENT, REFUSES)
    with pytest.raises(DataError, match=rf"row {CHUNK} .* 2 of {CHUNK + 41} rows are like this"):
        list(made.prompts.chunks(("chat",), "web"))


def test_completions_of_the_rows_that_are_left(run_task: RunTask, tmp_path: Path) -> None:
    """TOKENIZERS row T10: n, the samples, the warnings and the provenance are those of what was
    asked; the values are those of the same run on the good rows alone."""
    results = run_task(fakes.EXPERIMENT, REFUSES, SKIP)
    lines = (tmp_path / "run/samples/e.jsonl").read_text().splitlines()
    assert {json.loads(line)["text"] for line in lines} == set(GOOD)
    rates = [one for one in results.records if one.axes.get("experiment") == "e" and one.n]
    # Of a text of fewer than four tokens nothing can be said of its fours.
    every = [one for one in rates if one.n_of == "prompts" and one.id != "text.distinct_4@1"]
    assert {one.n for one in every} == {len(GOOD)}
    (note,) = [note for note in results.warnings if "left out" in note]
    assert note.startswith("data.web: 2 rows are left out for views.chat")
    assert "(row 2 of web.jsonl): refused" in note
    assert results.provenance["left_out"] == {"web": {"chat": 2}}


def values(results: Results) -> list[Any]:
    return [
        (one.id, sorted(one.axes.items()), one.n, one.clusters, one.ci, one.value)
        for one in results.records
    ]


def test_numbers_are_those_of_the_good_rows_alone(
    run_task: RunTask, texts: Callable[[Sequence[str]], None]
) -> None:
    """An independent run over a file that never had the bad rows gives every value, n, cluster
    count and interval."""
    skipped = run_task(fakes.EXPERIMENT, REFUSES, "models.base.refuses='#'", SKIP)
    texts(GOOD)
    alone = run_task(fakes.EXPERIMENT, fresh=True)
    ours, theirs = values(skipped), values(alone)
    assert [one[:-1] for one in ours] == [one[:-1] for one in theirs]
    np.testing.assert_array_equal([v[-1] for v in ours], [v[-1] for v in theirs])
    assert "left_out" not in alone.provenance


@pytest.mark.parametrize("refusing", ["base", "chat"])
def test_what_one_view_of_a_pair_refuses_is_out_of_both(
    session: Callable[..., Session], refusing: str
) -> None:
    made = session("", f'models.{refusing}.refuses="#"', SKIP)
    (written,) = made.prompts.chunks(("base", "chat"), "web")
    assert [row.text for row in written.rows] == GOOD
    for side in written.sides:
        assert [one.text for one in side] == GOOD
    assert made.prompts.left_out.counts() == {"web": {refusing: 2}}


def test_a_limit_counts_the_rows_that_are_read(session: Callable[..., Session]) -> None:
    """`limit` says which rows are read, the same ones for every view; fewer may be kept."""
    made = session("", REFUSES, SKIP, "data.web.limit=3")
    (written,) = made.prompts.chunks(("chat",), "web")
    assert [row.text for row in written.rows] == ["a barn", "hay"]
    found = PromptLengths(session("", REFUSES, SKIP, "models.chat.here=true").task)
    (prompts,) = (len(found.of("chat", "web", 3).tokens),)  # type: ignore[union-attr]
    assert prompts == 2


def test_nothing_left_is_an_error(
    session: Callable[..., Session], texts: Callable[[Sequence[str]], None]
) -> None:
    texts(["# a", "# b"])
    made = session("", REFUSES, SKIP)
    with pytest.raises(DataError, match=r"data\.web: nothing is left .*row 1 of web\.jsonl"):
        made.prompts.rendered("chat", "web")


def test_answers_alone_are_left_out_too(session: Callable[..., Session], tmp_path: Path) -> None:
    asked, answer = {"role": "user", "content": "why"}, {"role": "assistant", "content": "so"}
    file = tmp_path / "talk.jsonl"
    file.write_text("".join(json.dumps({"m": one}) + "\n" for one in ([asked], [answer], [asked])))
    made = session("", f'data.web.file="{file}"', 'data.web.column="m"', SKIP)
    written = made.prompts.answered("chat", "web")
    assert [one.text for one in written.sides[0]] == ["why", "why"]
    assert made.prompts.left_out.counts() == {"web": {"chat": 1}}


def test_check_makes_one_prompt_of_each_view(task: Callable[..., Task]) -> None:
    """TOKENIZERS row T10: `check` was fine and the run stopped before its completions."""
    here = ("models.chat.here=true", "models.base.here=true")
    assert not list(unwritable(plan(task(fakes.EXPERIMENT, *here, REFUSES))))  # the first row does
    found = {*unwritable(plan(task(fakes.EXPERIMENT, *here, 'models.chat.refuses="barn"')))}
    (problem,) = [one for one in found if one.where.endswith("views.chat.prompt")]
    assert "(row 1 of web.jsonl): refused" in problem.what
    assert "1 of 7 rows is like this" in problem.what
    skipped = task(fakes.EXPERIMENT, *here, 'models.chat.refuses="barn"', SKIP)
    assert not list(unwritable(plan(skipped)))
    elsewhere = task(fakes.EXPERIMENT, 'models.chat.refuses="barn"')  # no tokenizer is here
    assert not list(unwritable(plan(elsewhere)))


PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
align = "span"
sites = ["resid_post.1"]
[metrics.gap]
method = "gap"
pair = "p"
"""


def test_check_asks_for_the_query_where_the_run_does(
    task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKENIZERS rows T5 and T10: a query that cannot be found ended the run; `check` was fine, and
    `plan` counted rows that no view reads. The right value: a run's own rows, 6 of 7."""
    render = fakes.FakeModel.render

    def without_hay(model: Any, examples: Sequence[Any], prompt: Any) -> Any:
        bad = {n: f"{one.name}: no query" for n, one in enumerate(examples) if one.text == "hay"}
        if prompt.query and model.options.scale == 3 and bad:
            raise BadRows(bad)
        return render(model, examples, prompt)

    monkeypatch.setattr(fakes.FakeModel, "render", without_hay)
    here = ("models.chat.here=true", "models.base.here=true")
    found = PromptLengths(task(PAIR, *here, SKIP))
    lengths = [found.of(one, "web", views=("base", "chat")) for one in ("base", "chat")]
    assert [len(one.tokens) for one in lengths if one] == [6, 6]
    monkeypatch.setattr(fakes, "WEB", ["hay", *TEXTS])
    (problem,) = unwritable(plan(task(PAIR, *here)))
    assert problem.where.endswith("views.chat.prompt")
    assert "(row 1 of web.jsonl): no query 2 of 8 rows are like this" in problem.what


def test_leaving_rows_out_is_no_other_task(task: Callable[..., Task]) -> None:
    """The kind of CASES row 20: a change that a message advises must not end the run's folder."""
    assert task_hash(task()) == task_hash(task("", SKIP))


def test_a_row_without_the_column_that_demonstrations_match_is_left_out(
    session: Callable[..., Session], tmp_path: Path
) -> None:
    """TOKENIZERS row T10 with `match`: such rows ended the run, whatever `on_bad_rows` says."""
    asked = [{"text": "a", "kind": "x"}, {"text": "b"}, {"text": "c", "kind": None}]
    shown = {"text": "d", "kind": "x", "answer": "yes"}
    for name, rows in (("asked", [*asked, asked[0]]), ("shown", [shown])):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    text = (
        f'[data.shown]\nfile = "{tmp_path}/shown.jsonl"\n'
        '[views.chat.prompt]\ndemonstrations = { data = "shown", count = 1, match = "kind" }\n'
    )
    file = f'data.web.file="{tmp_path}/asked.jsonl"'
    with pytest.raises(DataError, match=r"row 2 of asked\.jsonl.* 2 of 4 rows are like this"):
        session(text, file).prompts.answered("chat", "web")
    made = session(text, file, SKIP)
    assert [one.text for one in made.prompts.answered("chat", "web").sides[0]] == ["dyesa"] * 2
    assert made.prompts.left_out.counts() == {"web": {"chat": 2}}


def test_rows_that_cannot_be_read_are_left_out_of_every_view(
    session: Callable[..., Session], tmp_path: Path
) -> None:
    """Issue 20, 6: `skip` covers turns that are none, too; the note and the provenance say so."""
    file = tmp_path / "turns.jsonl"
    turns = [[{"from": "human", "value": "hay"}], [{"from": "?", "value": "x"}]]
    file.write_text("\n".join(json.dumps({"text": one}) for one in [*turns, "a barn"]))
    made = session(fakes.EXPERIMENT, SKIP, f'data.web.file="{file}"')
    assert len(made.data.examples("web")) == 2
    (note,) = made.prompts.left_out.notes()
    assert note.startswith('data.web: 1 row is left out, as on_bad_rows = "skip" says. The first: ')
    assert "it is from '?'" in note
    assert made.prompts.left_out.counts() == {"web": {"*": 1}}
