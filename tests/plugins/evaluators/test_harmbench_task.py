"""The HarmBench evaluator in a task: what `check` refuses, and a run with a local judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import fakes
from harness.contract import Completion
from harness.errors import MachineError
from harness.registry import Registry, discover
from harness.results.read import Results
from harness.task.task import Task
from harness_evaluators.harmbench.evaluator import HarmBench

from .conftest import Server, answer, load
from .test_harmbench import judged

Problems = Callable[..., list[str]]
RunTask = Callable[..., Results]

EXPERIMENT = fakes.EXPERIMENT.replace('["polite"]', '["polite", "harmbench"]')
JUDGE = """
[models.judge]
backend = "transformers"
path = "{path}"
[evaluators.harmbench]
model = "judge"
template = "mistral"
"""


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The fake plugin and the two that these tests are about."""
    ours = ("harness_evaluators", "harness_transformers", "harness_analyses")
    points = [EntryPoint(name, f"{name}.plugin", "harness") for name in ours]
    return discover(candidates=[EntryPoint("fake", "fakes", "harness"), *points])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "run/samples/e.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


@pytest.fixture
def local(classifier: Path) -> str:
    return EXPERIMENT + JUDGE.format(path=classifier)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({'model = "judge"\n': 'model = "jugde"\n'},
         "evaluators.harmbench.model: unknown model 'jugde'. Allowed: base, chat, judge. Did"),
        ({'model = "judge"\n': ""}, "give exactly one of model and server"),
        ({'model = "judge"\n': 'model = "judge"\nserver = "http://x"\n'}, "exactly one of model"),
        ({'template = "mistral"': 'template = "C"'}, "evaluators.harmbench.template"),
        ({'template = "mistral"': 'template_file = "own.txt"'}, "no such file or folder"),
        ({'template = "mistral"': 'template_file = "bad.txt"'}, "template_file has no {behavior}"),
        ({'model = "judge"\n': 'server = "http://x"\nserver_model = "m"\ntokenizer = "./no"\n'},
         "evaluators.harmbench.tokenizer: './no': no such file or folder"),
        ({'template = "mistral"': 'tempalte = "A"'}, "Did you mean template?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_runs(
    problems: Problems, local: str, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    (tmp_path / "bad.txt").write_text("{generation}")
    for old, new in change.items():
        assert old in local
        local = local.replace(old, new)
    found = problems(local)
    assert any(said in problem for problem in found), found
    assert len(found) == 1


def test_without_a_judge_there_is_no_evaluator(problems: Problems) -> None:
    (problem,) = problems(EXPERIMENT)
    assert "give exactly one of model and server" in problem


def test_a_run(run_task: RunTask, local: str, tmp_path: Path, classifier: Path) -> None:
    results = run_task(local)
    rows = rows_of(tmp_path)
    verdicts = judged(
        load(classifier),
        [answer(row["completion"], row["text"]) for row in rows],
        template="mistral",
    )
    assert [row["verdicts"]["harmbench"]["safe"] for row in rows] == [
        verdict.scores["safe"] for verdict in verdicts
    ]
    for arm in ("none", "a"):
        mine = [
            verdict.scores["safe"]
            for verdict, row in zip(verdicts, rows, strict=True)
            if row["direction"] == arm
        ]
        known = [safe for safe in mine if safe is not None]
        at = {"direction": arm, "evaluator": "harmbench"}
        assert results.value("safety_score", **at) == pytest.approx(sum(known) / len(known))
        invalid = results.value("invalid_verdicts", **at)
        assert invalid == pytest.approx(mine.count(None) / len(mine))


@pytest.mark.slow
def test_the_judge_is_not_asked_again(
    run_task: RunTask, local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_task(local)

    def never(*given: object) -> list[Completion]:
        raise AssertionError("the judge was asked again")

    monkeypatch.setattr("harness_evaluators.harmbench.evaluator.ask_in_batches", never)
    again = run_task(local)
    assert again.records == first.records


@pytest.mark.slow
def test_a_run_whose_server_dies_goes_on(
    run_task: RunTask, server: Server, classifier: Path, tmp_path: Path
) -> None:
    text = EXPERIMENT + (
        f'[evaluators.harmbench]\nserver = "{server.url}"\nserver_model = "cls"\n'
        f'tokenizer = "{classifier}"\nretries = 0\n'
    )
    server.dead_after = 5
    with pytest.raises(MachineError, match="503"):
        run_task(text)
    made, asked = len(fakes.LAB.generated), len(server.requests)
    assert len((tmp_path / "run/work/verdicts/harmbench.jsonl").read_text().splitlines()) == 5
    server.dead_after = None
    results = run_task(text.replace("retries = 0", "retries = 9"))  # the same run all the same
    assert len(fakes.LAB.generated) == made
    distinct = {(row["text"], row["completion"]) for row in rows_of(tmp_path)}
    assert len(server.requests) - asked == len(distinct) - 5
    assert results.value("safety_score", direction="none") == 1.0


def test_the_options_of_a_record_hold_what_changes_a_verdict(
    task: Callable[..., Task], server: Server, classifier: Path
) -> None:
    text = EXPERIMENT + (
        f'[evaluators.harmbench]\nserver = "{server.url}"\nserver_model = "cls"\n'
        f'tokenizer = "{classifier}"\napi_key_variable = "KEY"\n'
    )
    entry = task(text).evaluators["harmbench"]
    assert isinstance(entry.build(), HarmBench)
    dumped = entry.options.model_dump(mode="json")
    assert dumped.keys() == {
        "model", "server_model", "tokenizer", "template", "template_file", "behavior_column",
        "context_column", "clip", "context", "invalid", "template_sha256",
    }  # fmt: skip
