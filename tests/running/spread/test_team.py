"""Whoever computes the parts of a run, in whatever order, its numbers are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from fakes.running import total_forwards
from harness.contract import ShardFinished
from harness.errors import MachineError, PluginError, UsageError
from harness.planning.planner import plan
from harness.registry import Registry
from harness.results.read import Results
from harness.running.runner import run
from harness.running.spread.outcome import WorkerBug
from harness.task.task import Task, task_hash

EDITED = """
[views.moved]
model = "chat"
edit = { method = "shift", direction = "a" }
[pairs.edited]
left = "chat"
right = "moved"
data = "web"
sites = ["resid_post.2"]
[metrics.of_edited]
method = "gap"
pair = "edited"
"""
UNEDITED = (
    """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
sites = ["embed"]
expect = "different"
[metrics.gap]
pair = "p"
[metrics.active]
pair = "p"
[metrics.match]
pair = "p"
where = { cosine_quantile = 0.5 }
[batch]
generation = 2
activations = 2
shard = 8
"""
    + fakes.EXPERIMENT.replace('["polite"]', '["polite", "panel", "quiz"]')
    + '[evaluators.panel]\nmodel = "base"\n'
)
EVERYTHING = UNEDITED + EDITED
DESK = '[executor]\nmethod = "desk"\nworkers = 3\n'
Made = Callable[..., Results]


@pytest.fixture
def made(task: Callable[..., Task], registry: Registry, tmp_path: Path) -> Made:
    """Runs a task into a folder of its own, or once more into the last one."""
    number = iter(range(100))
    folder = tmp_path / "none"

    def made(text: str = EVERYTHING, *overrides: str, again: bool = False) -> Results:
        nonlocal folder
        folder = folder if again else tmp_path / f"run{next(number)}"
        return run(plan(task(text, *overrides)), registry, folder)

    return made


def same(left: Results, right: Results) -> bool:
    return json.dumps([vars(one) for one in left.records], default=str) == json.dumps(
        [vars(one) for one in right.records], default=str
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_workers_in_any_order_give_the_same_numbers(made: Made, workers: int, seed: int) -> None:
    alone = made()
    models = len(fakes.LAB.models)
    spread = made(EVERYTHING + DESK, f"executor.workers={workers}", f"executor.seed={seed}")
    assert same(alone, spread)
    assert alone.tables == spread.tables
    assert {worker for worker, _ in fakes.LAB.parts} <= {f"desk/{n}" for n in range(workers)}
    assert len(fakes.LAB.parts) > 10
    assert fakes.LAB.crews == 1  # models stay loaded from the first part to the last
    assert len(fakes.LAB.models) <= models * (2 + workers)


@pytest.mark.slow
def test_what_models_did_counts_the_same(made: Made) -> None:
    alone, spread = made(), made(EVERYTHING + DESK)
    for key in ("total", "stages", "encodes"):
        assert alone.provenance["usage"][key] == spread.provenance["usage"][key]
    assert alone.warnings == spread.warnings
    assert "executor" not in alone.provenance
    told = spread.provenance["executor"]
    assert told["component"] == "fake/desk"
    assert told["options"]["workers"] == 3
    assert sum(told["workers"].values()) == len(fakes.LAB.parts)


def test_an_executor_is_no_part_of_the_run(task: Callable[..., Task], made: Made) -> None:
    assert task_hash(task(EVERYTHING)) == task_hash(task(EVERYTHING + DESK))
    assert "executor" not in task(EVERYTHING + DESK).resolved
    made(EVERYTHING + DESK)
    done = total_forwards()
    made(EVERYTHING, again=True)
    # What is edited while it is read is read once more, as in every rerun.
    assert total_forwards() - done < done / 4


def test_a_run_that_was_cut_off_goes_on_with_other_workers(made: Made, tmp_path: Path) -> None:
    whole = made()
    forwards = total_forwards()
    fakes.LAB.clear()
    fakes.LAB.crash_at_forward = forwards * 3 // 4
    with pytest.raises(WorkerBug, match=r"worker desk/.: RuntimeError: the power went off"):
        made(EVERYTHING + DESK)
    before = total_forwards()
    fakes.LAB.crash_at_forward = None
    assert same(whole, made(EVERYTHING, again=True))
    assert total_forwards() - before < forwards * 3 // 4


@pytest.mark.slow
@pytest.mark.parametrize("at", range(8, 27, 3))
@pytest.mark.parametrize("seed", range(2))
def test_a_crash_costs_the_part_at_hand_and_nothing_that_was_done_before_its_turn(
    made: Made, tmp_path: Path, at: int, seed: int
) -> None:
    whole = made(UNEDITED)
    forwards = total_forwards()
    fakes.LAB.clear()
    fakes.LAB.crash_at_forward = at
    with pytest.raises(WorkerBug):
        made(UNEDITED + DESK, f"executor.seed={seed}")
    done = fakes.LAB.forwards
    fakes.LAB.clear()
    assert same(whole, made(UNEDITED + DESK, f"executor.seed={seed + 7}", again=True))
    assert done + fakes.LAB.forwards <= forwards + 6  # a shard is at most three batches, two models
    assert not list(tmp_path.rglob("*.shard-*"))


def test_parts_are_told_to_observers(made: Made) -> None:
    made(EVERYTHING + DESK + "[observers.witness]\n")
    told = [one for one in fakes.LAB.seen if isinstance(one, ShardFinished)]
    by = [(one.stamp.worker, one.stamp.shard) for one in told]
    assert {one for one in by if one[0] is not None} == {*fakes.LAB.parts}
    assert all(one.effort.seconds is not None for one in told)
    spread = {one.stage.partition(",")[0] for one in told if one.stamp.worker is not None}
    assert spread == {"preflight", "activations", "completions", "verdicts", "benchmark"}
    fakes.LAB.clear()
    made(EVERYTHING + "[observers.witness]\n")
    alone = [one for one in fakes.LAB.seen if isinstance(one, ShardFinished)]
    assert len(alone) == len(told)
    assert {one.stamp.worker for one in alone} == {None}


# ── What goes wrong ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('versions = { torch = "1.0" }', r"torch: [\d.]+ in the worker, 1.0 at the head"),
        ('versions = { "the source of acme" = "f00" }', "the source of acme: not there in the"),
    ],
)
def test_workers_with_other_packages_are_refused(made: Made, wrong: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"worker desk/.: {said}"):
        made(EVERYTHING + DESK + wrong)
    assert same(made(EVERYTHING, again=True), made())


@pytest.mark.parametrize("how", ["forgets", "repeats"])
def test_an_executor_that_breaks_the_contract_is_named(made: Made, how: str) -> None:
    with pytest.raises(PluginError, match="Each part is to be answered once"):
        made(EVERYTHING + DESK, f"executor.{how}=true")


def test_an_error_for_people_is_the_same_in_a_worker(made: Made) -> None:
    fakes.LAB.crash_at_forward = 5
    fakes.LAB.crash = MachineError("the memory is full. Buy some.")
    with pytest.raises(MachineError, match=r"worker desk/.: the memory is full\. Buy some\."):
        made(EVERYTHING + DESK)


def test_other_models_in_a_worker_are_refused(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from fakes import executors

    started = executors.distant

    def other(task: Task, about: object, downloads: Path) -> object:
        worker = started(task, about, downloads)  # type: ignore[arg-type]
        worker._session.model("chat").fingerprint = "other"  # type: ignore[attr-defined]
        return worker

    monkeypatch.setattr(executors, "distant", other)
    with pytest.raises(UsageError, match=r"models\.chat: what lies here is not what the head"):
        made(EVERYTHING + DESK)


def test_no_worker_is_started_where_nothing_is_left_to_do(made: Made) -> None:
    text = UNEDITED.replace(', "quiz"', "")  # which finds its answers by itself, wherever it runs
    made(text)
    made(text + DESK, again=True)
    assert fakes.LAB.crews == 0
