"""What a run really used: counted where it happens, the same in every run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import fakes
import harness
from harness.contract import Arm, Sampling
from harness.planning.cost.estimate import cost
from harness.planning.counts import Counts, completion_counts, forward_counts
from harness.planning.planner import plan
from harness.results.read import Results
from harness.running.session import Session
from harness.running.usage import Usage
from harness.task.file import builtin_tasks
from harness.task.task import Task

TASK = """
[preflight]
data = "web"
fvu_max = 1e9
fvu = "loss"
also = []
[pairs.both]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.gap]
pair = "both"
[directions.a]
method = "probe"
view = "base"
data = "web"
[experiments.ask]
view = "base"
data = "web"
intervention = { method = "shift" }
directions = ["a"]
evaluators = ["polite"]
generation = { max_new_tokens = 10 }
"""

RunTask = Callable[..., Results]


def usage(results: Results) -> dict[str, Any]:
    found: dict[str, Any] = results.provenance["usage"]
    return found


# ── Counting ─────────────────────────────────────────────────────────────────────────────────────


def test_a_forward_counts_its_padding() -> None:
    assert forward_counts([3, 5]) == Counts(forwards=1, prompts=2, tokens=8, positions=10)


def test_a_batch_of_completions_runs_until_its_last_row_has_ended() -> None:
    # Seven forwards: over the prompts (width 5), and one for each of the six further tokens.
    assert completion_counts([3, 5], [2, 7]) == Counts(7, 2, 8, 2, 9, 2 * (5 + 6))
    assert completion_counts([4], [1]) == Counts(1, 1, 4, 1, 1, 4)


def test_counts_add_up() -> None:
    assert forward_counts([3]) + completion_counts([4], [1]) == Counts(2, 2, 7, 1, 1, 7)


def test_stages_and_models_are_apart() -> None:
    used = Usage()
    with used.stage("one"):
        used.add("base", forward_counts([3]))
        used.add("base", forward_counts([2]))
        used.add("chat", forward_counts([3]))
    with used.stage("two"):
        used.add("base", forward_counts([4]))
    with used.stage("three"):
        pass
    report = used.report()
    assert report["stages"] == {
        "one": {
            "base": asdict(forward_counts([3]) + forward_counts([2])),
            "chat": asdict(forward_counts([3])),
        },
        "two": {"base": asdict(forward_counts([4]))},
        "three": {},
    }
    assert report["total"]["tokens"] == 12
    assert report["seconds"]["stages"].keys() == report["stages"].keys()
    assert json.loads(json.dumps(report)) == report


def test_a_counted_model_is_the_model_itself(session: Callable[..., Session]) -> None:
    running = session()
    model, bare = running.model("base"), fakes.LAB.models[0]
    assert model.fingerprint == bare.fingerprint
    assert model.facts is bare.facts
    assert running.model("base") is model
    assert running.usage.report()["total"] == asdict(Counts())


MEMORY = """
from harness.running.usage import Usage

used = Usage()
used.imported()
block = bytearray(100_000_000)
block[::4096] = b"x" * len(block[::4096])
print(used.report()["memory_bytes"]["beyond_imports"])
del block
used.imported()  # what came before is forgotten
print(used.report()["memory_bytes"]["beyond_imports"])
"""


@pytest.mark.slow
def test_what_takes_memory_is_seen() -> None:
    # A process of its own: what other tests left behind is freed at any moment.
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, check=True)
    with_it, without = done.stdout.decode().split()
    if with_it != "None":
        assert 95e6 < int(with_it) < 400e6
        assert int(without) < 50e6


# ── Runs ─────────────────────────────────────────────────────────────────────────────────────────


def test_two_runs_use_the_same_and_find_the_same(run_task: RunTask) -> None:
    one, other = run_task(TASK), run_task(TASK, fresh=True)
    assert one.records == other.records
    for key in ("total", "stages", "encodes"):
        assert usage(one)[key] == usage(other)[key]
    assert usage(one)["encodes"]["preflight"]


def test_the_stages_of_a_run_are_those_of_its_plan(
    run_task: RunTask, task: Callable[..., Task]
) -> None:
    used = usage(run_task(TASK))["stages"]
    planned = cost(plan(task(TASK)))
    for work in planned.work:
        found = used[work.stage][work.model]
        assert work.counts.prompts == found["prompts"], work.stage
        assert work.counts.completions == found["completions"]
        if not work.counts.completions:
            assert work.counts.forwards == found["forwards"]
    counted = {(stage, model) for stage, models in used.items() for model in models}
    assert counted == {(work.stage, work.model) for work in planned.work}
    assert used["verdicts, ask, polite"] == {}


def test_forwards_are_those_that_the_model_saw(run_task: RunTask) -> None:
    used = usage(run_task(TASK, "batch.activations=4"))["stages"]
    reading = {stage: models for stage, models in used.items() if "completions" not in stage}
    for model, name in zip(fakes.LAB.models, ("base", "chat"), strict=True):
        counted = sum(found[name]["forwards"] for found in reading.values() if name in found)
        assert counted == len(model.forwards)


def test_completions_that_were_made_before_are_not_counted_again(run_task: RunTask) -> None:
    assert usage(run_task(TASK))["total"]["completions"] == 2 * len(fakes.WEB)
    again = usage(run_task(TASK))
    assert again["total"]["completions"] == 0
    assert again["stages"]["completions, ask"] == {}


def test_a_judge_of_the_task_is_counted(session: Callable[..., Session], tmp_path: Path) -> None:
    running = session()
    judge = running.model("chat")
    with running.usage.stage("verdicts"), judge.edited([Arm("as it is")]):
        judge.generate(running.prompts.rendered("chat", "web")[:2], Sampling(max_new_tokens=3))
    assert running.usage.report()["stages"]["verdicts"]["chat"]["completions"] == 2


@pytest.mark.slow
def test_every_forward_of_a_real_model_is_counted(tmp_path: Path) -> None:
    """Against a hook on the model itself, with several lengths in a batch."""
    task = harness.load(str(builtin_tasks()["refusal"]))
    running = Session(task, tmp_path, tmp_path)
    model: Any = running.model("chat")
    seen: list[int] = []

    def count(_module: Any, _args: Any, kwargs: Any) -> None:
        seen.append(kwargs["input_ids"].numel())

    prompts = running.prompts.rendered("chat", "harmful_test")[:5]
    # What a model can be given is tried at its first completions, in forwards that count for none.
    model.generate(prompts, Sampling(max_new_tokens=1))
    model.hf.register_forward_pre_hook(count, with_kwargs=True)
    before = running.usage.report()["total"]

    def counted() -> dict[str, int]:
        total = running.usage.report()["total"]
        return {name: total[name] - before[name] for name in ("forwards", "positions")}

    model.activations(prompts, [task.sae_site("mid")])
    model.generate(prompts, Sampling(max_new_tokens=1))
    total = counted()
    assert total["forwards"] == len(seen)
    assert total["positions"] == sum(seen)
    model.generate(prompts, Sampling(max_new_tokens=20))
    total = counted()
    assert total["forwards"] == len(seen)
    # Rows that have ended may leave their batch, and what rows share may be read once.
    assert sum(seen) <= total["positions"] <= sum(seen) * 1.1
