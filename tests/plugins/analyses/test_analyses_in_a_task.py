"""Analyses in a task: what `check` refuses, what a run makes of them, judging again."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow.parquet
import pytest

import fakes
from harness.contract import AnalysisOptions, Component, Findings, Outcome, Record, hookimpl
from harness.errors import DataError, InvalidRun, MachineError, PluginError, TaskError, UsageError
from harness.registry import Registry, discover
from harness.results.read import Results
from harness.running.analyses import analyse
from harness.running.folder import default_folder
from harness.task.task import Task, task_hash
from harness_analyses.options import AgreementOptions

Problems = Callable[..., list[str]]
RunTask = Callable[..., Results]
MakeTask = Callable[..., Task]

ONE = fakes.EXPERIMENT
TWO = ONE.replace('["polite"]', '["polite", "strict"]')
STRICT = """
[evaluators.strict]
method = "polite"
shrug = "some"
"""
AGREEMENT = """
[analyses.agreement]
left = { evaluator = "polite", score = "refused" }
right = { evaluator = "strict", score = "refused", means = false }
"""
KNOB = """
[analyses.knob]
sweep = { a = [1, 2], b = [10, 20] }
"""
SEEN: list[Findings] = []


class Spy:
    """An analysis that looks, and gives what `GIVES` holds."""

    gives: Any = Outcome((Record("spy.seen@1", 1.0, 1, "looks", "looks", ci_why="exact"),))

    def __init__(self, options: object) -> None:
        pass

    def run(self, findings: Findings) -> Any:
        SEEN.append(findings)
        return self.gives


class KnobOptions(AnalysisOptions):
    """Two numbers."""

    a: int
    b: int


class Knob:
    """An analysis that adds its options."""

    def __init__(self, options: KnobOptions) -> None:
        self.options = options

    def run(self, findings: Findings) -> Outcome:
        turned = self.options.a + self.options.b
        options = self.options.model_dump()
        record = Record("knob.turned@1", float(turned), 1, "x", "x", options, ci_why="exact")
        return Outcome((record,), {"turns": [{"sum": turned}]})


@hookimpl
def harness_components() -> list[Component]:
    """The spy and the knob."""
    spy, knob = f"{__name__}:Spy", f"{__name__}:Knob"
    return [
        Component("analysis", "spy", "looks", spy, "harness.contract:AnalysisOptions"),
        Component("analysis", "knob", "adds", knob, f"{__name__}:KnobOptions"),
    ]


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The fake plugin, the spy, and the plugin that these tests are about."""
    points = [EntryPoint("fake", "fakes", "harness"), EntryPoint("spy", __name__, "harness")]
    ours = EntryPoint("harness_analyses", "harness_analyses.plugin", "harness")
    return discover(candidates=[*points, ours])


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


# ── What check refuses ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('evaluator = "strict"', 'evaluator = "stirct"',
         "analyses.agreement.right.evaluator: unknown evaluator 'stirct'. Allowed: polite, strict."
         " Did you mean strict?"),
        ("left", 'experiments = ["e", "x"]\nleft',
         "analyses.agreement.experiments: unknown experiment 'x'. Allowed: e."),
        ("[analyses.agreement]", '[analyses.agreement]\nmethod = "argreement"',
         "analyses.agreement.method: unknown analysis 'argreement'"),
        ("[analyses.agreement]", "[analyses.other]", "analyses.other.method: unknown analysis"),
        ("left", "lefft", "Did you mean left?"),
        ("means = false", "meens = false", "Did you mean means?"),
        ("means = false", "means = 0", "analyses.agreement.right.means"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_runs(
    problems: Problems, old: str, new: str, said: str
) -> None:
    found = problems(TWO + STRICT + AGREEMENT.replace(old, new, 1))
    assert any(said in problem for problem in found), found


def test_an_evaluator_without_a_table_is_known(task: MakeTask) -> None:
    assert isinstance(
        task(TWO + STRICT + AGREEMENT).analyses["agreement"][0].options, AgreementOptions
    )


# ── A run ────────────────────────────────────────────────────────────────────────────────────────


def test_records_have_the_name_of_the_analysis_and_tables_too(
    run_task: RunTask, tmp_path: Path
) -> None:
    more = AGREEMENT + '[analyses.again]\nmethod = "agreement"\n' + AGREEMENT.partition("]\n")[2]
    results = run_task(TWO + STRICT + more)
    shares = [r for r in results.records if r.id == "agreement.share@1"]
    assert [dict(r.axes) for r in shares] == [
        {"analysis": "agreement"},
        {"analysis": "agreement", "experiment": "e"},
        {"analysis": "again"},
        {"analysis": "again", "experiment": "e"},
    ]
    file = tmp_path / "run" / "tables" / "agreement.disagreements.parquet"
    rows = pyarrow.parquet.read_table(file).to_pylist()
    value, n = shares[0].value, shares[0].n
    assert value is not None
    assert len(rows) == round((1 - value) * n) > 0
    assert "analyses" in results.task
    assert any("harness_analyses/agreement" in one for one in results.provenance["components"])


def test_an_analysis_sees_everything_before_it(run_task: RunTask) -> None:
    results = run_task(TWO + STRICT + AGREEMENT + "[analyses.spy]\n", "seed=7")
    (findings,) = SEEN
    assert findings.seed == 7
    assert [r for r in results.records if r.id != "spy.seen@1"] == list(findings.records)
    assert {"a.sums", "completions", "agreement.disagreements"} == findings.tables.keys()
    rows = findings.tables["completions"]
    assert len(rows) == 2 * len(fakes.WEB)
    keys = {"experiment", "direction", "example", "text", "completion", "verdicts"}
    assert all(keys <= row.keys() for row in rows)
    assert {row["experiment"] for row in rows} == {"e"}
    assert rows[0]["verdicts"].keys() == {"polite", "strict"}


def test_a_sweep_is_an_analysis_for_each_combination(
    run_task: RunTask, task: MakeTask, tmp_path: Path
) -> None:
    with pytest.raises(TaskError, match=r"analyses.knob: c: unknown|analyses.knob.*c"):
        task(ONE + KNOB.replace("b =", "c ="))
    results = run_task(ONE + KNOB)
    found = [r for r in results.records if r.id == "knob.turned@1"]
    assert [(r.value, dict(r.axes)) for r in found] == [
        (float(a + b), {"a": a, "b": b, "analysis": "knob"}) for a in (1, 2) for b in (10, 20)
    ]
    rows = pyarrow.parquet.read_table(tmp_path / "run" / "tables" / "knob.turns.parquet")
    assert [(row["a"], row["b"], row["sum"]) for row in rows.to_pylist()] == [
        (a, b, a + b) for a in (1, 2) for b in (10, 20)
    ]


def test_the_first_one_sees_nothing_of_the_second(run_task: RunTask) -> None:
    run_task(TWO + STRICT + "[analyses.spy]\n" + AGREEMENT)
    (findings,) = SEEN
    assert "agreement.disagreements" not in findings.tables


def test_without_experiments_there_is_nothing_to_see(run_task: RunTask) -> None:
    assert run_task("[analyses.spy]\n").status == "complete"
    assert not SEEN[0].tables.get("completions")


@pytest.mark.parametrize("gives", [None, [], "x"])
def test_a_broken_analysis_is_named(
    task: MakeTask, gives: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spy, "gives", gives)
    with pytest.raises(PluginError, match=r"analyses.spy: spy/spy gave a .*plugin's author"):
        analyse(task("[analyses.spy]\n").analyses["spy"][0], Findings())


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (DataError("experiments.e: has no accuracy for law."), "has no accuracy for law"),
        (IndexError("7"), "spy/spy broke: IndexError: 7. Report it"),
        (5, "must give an Outcome"),
    ],
)
def test_what_an_analysis_cannot_do_is_undefined_and_what_was_measured_is_written(
    run_task: RunTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Any, why: str
) -> None:
    """CASES row 28: the run ended after everything was measured, without results.json."""
    plain = run_task(TWO + STRICT + AGREEMENT)

    def run(self: Spy, findings: Findings) -> Any:
        if isinstance(broken, Exception):
            raise broken
        return broken

    monkeypatch.setattr(Spy, "run", run)
    results = run_task(TWO + STRICT + "[analyses.spy]\n" + AGREEMENT)
    assert (tmp_path / "run" / "results.json").is_file()
    assert results.status == "complete"
    (undone,) = [r for r in results.records if r.axes.get("analysis") == "spy"]
    assert (undone.id, undone.value, undone.n) == ("spy.undone@1", None, 0)
    assert why in (undone.undefined or "")
    assert {r for r in map(str, results.records)} - {str(undone)} == {*map(str, plain.records)}
    assert any("analyses.spy: could not be made" in warning for warning in results.warnings)


def test_the_machine_and_an_invalid_run_are_no_undefined_record(
    run_task: RunTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (MachineError("the network is gone."), MemoryError()):
        monkeypatch.setattr(Spy, "run", Mock(side_effect=error))
        with pytest.raises(MachineError):
            run_task("[analyses.spy]\n")
    monkeypatch.setattr(Spy, "run", Mock(side_effect=InvalidRun("all prompts are equal.")))
    with pytest.raises(InvalidRun, match="all prompts are equal"):
        run_task("[analyses.spy]\n")
    assert (tmp_path / "run" / "results.json").is_file()


# ── Judging again ────────────────────────────────────────────────────────────────────────────────


def test_another_judge_reads_the_completions_that_are_there(
    run_task: RunTask, tmp_path: Path
) -> None:
    run_task(ONE)
    made = list(fakes.LAB.generated)
    journal = (tmp_path / "run" / "work" / "e.jsonl").read_bytes()
    again = run_task(TWO + STRICT + AGREEMENT)
    assert fakes.LAB.generated == made
    assert (tmp_path / "run" / "work" / "e.jsonl").read_bytes() == journal
    for arm in ("none", "a"):
        for name in ("polite", "strict"):
            at = {"direction": arm, "evaluator": name}
            assert again.value("polite.length", **at) is not None
            (record,) = [
                r
                for r in again.records
                if r.id == "invalid_verdicts@1" and r.axes.items() >= at.items()
            ]
            assert record.n == len(fakes.WEB)
    assert again.value("agreement.share", experiment="e") is not None


def test_a_judge_that_is_a_model_is_no_reason_to_write_again(run_task: RunTask) -> None:
    run_task(ONE)
    made = list(fakes.LAB.generated)
    run_task(ONE + '[models.judge]\nbackend = "fake"\nscale = 9\n')
    assert fakes.LAB.generated == made


def test_tables_of_an_analysis_that_is_gone_go(run_task: RunTask, tmp_path: Path) -> None:
    tables = tmp_path / "run" / "tables"
    run_task(TWO + STRICT + AGREEMENT)
    assert {file.name for file in tables.iterdir()} == {
        "a.sums.parquet",
        "agreement.disagreements.parquet",
    }
    run_task(ONE)
    assert {file.name for file in tables.iterdir()} == {"a.sums.parquet"}


SAME = {
    "title": 'title = "Another one"',
    "source": 'source = "A paper"',
    "evaluators": STRICT,
    "options of one": '[evaluators.polite]\nshrug = "x"\n',
    "analyses": "[analyses.spy]\n",
    "a judge": '[models.judge]\nbackend = "fake"\n',
}
OTHER = {
    "seed": "seed=1",
    "model": "models.chat.scale=4",
    "intervention": "experiments.e.intervention.strength=2",
    "generation": "experiments.e.generation.max_new_tokens=7",
    "data": "data.web.limit=2",
    "direction": "directions.a.scale=2",
    "prompt": "views.chat.prompt.template={text}.",
    "SAE": "saes.mid.miss=0.25",
}


@pytest.mark.parametrize("name", SAME)
def test_what_changes_no_completion_keeps_the_folder(task: MakeTask, name: str) -> None:
    change = SAME[name]
    if "[" in change:
        other = task(ONE + change)
    else:
        key, _, value = change.partition(" = ")
        other = task(ONE, f"{key}={value}")
    assert task_hash(other) == task_hash(task(ONE))
    assert default_folder(other) == default_folder(task(ONE))


def test_another_list_of_judges_keeps_the_folder(task: MakeTask) -> None:
    assert task_hash(task(TWO + STRICT)) == task_hash(task(ONE))


@pytest.mark.parametrize("name", OTHER)
def test_what_changes_a_completion_is_another_run(
    task: MakeTask, run_task: RunTask, name: str
) -> None:
    assert task_hash(task(ONE, OTHER[name])) != task_hash(task(ONE))
    run_task(ONE)
    with pytest.raises(UsageError, match="another task"):
        run_task(ONE, OTHER[name])
