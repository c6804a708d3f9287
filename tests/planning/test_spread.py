"""What a task costs on several workers: by hand, by its laws, and against what a run keeps."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

import harness
from harness.planning.cost.cuts import GROUPS, NUMBER, reply_bytes, shards
from harness.planning.cost.devices import CPU, DEVICES, Device
from harness.planning.cost.estimate import cost
from harness.planning.cost.figures import AROUND, Cost, Cut, Memory, Work
from harness.planning.cost.machine import Machine, this_machine
from harness.planning.cost.spread import LOADING, TAKING, Team, spread
from harness.planning.cost.spread_terminal import show_spread
from harness.planning.counts import Counts
from harness.planning.planner import plan
from harness.planning.steps import Job, MetricJob, Pass, Rendering, rendering
from harness.task.file import builtin_tasks
from harness.task.task import Task

MakeTask = Callable[..., Task]
GEMMA = str(builtin_tasks()["papers/feature_drift/drift_gemma-2-2b"])
H100 = DEVICES["H100"]
PLAIN = Device("plain", half=1e3 / 0.35, single=1e3 / 0.35, bandwidth=math.inf, memory=1)
"""A thousand operations in a second."""


def work(stage: str, model: str, flops: float) -> Work:
    return Work(stage, model, Counts(), flops, 0.0, 0)


def made(cuts: Sequence[Cut], memory: Memory | None = None) -> Cost:
    """A cost that is all in its cuts."""
    every = tuple(one for cut in cuts for one in cut.work)
    none = Memory({}, {}, 0, "")
    return Cost(every, memory or none, 0, (), False, (), (), tuple(cuts))


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────


def test_time_by_hand() -> None:
    """12 s in 5 parts and 4 s in 2 of one stage, 8 s in 8 parts of another."""
    first = Cut("a", 5, (work("a", "m", 7000), work("a", "n", 5000)))
    found = made(
        [first, Cut("a", 2, (work("a", "m", 4000),)), Cut("b", 8, (work("b", "m", 8000),))]
    )
    for workers, a, b in (
        (1, 12 + 4, 8),
        (2, 12 * 3 / 5 + 4 / 2, 4),  # 3 parts of 5, 1 of 2; 4 of 8
        (3, 12 * 2 / 5 + 4 / 2, 3),
        (8, 12 / 5 + 4 / 2, 1),
        (100, 12 / 5 + 4 / 2, 1),
    ):
        there = spread(found, Team(workers, False), PLAIN)
        assert [one.seconds for one in there.stages] == pytest.approx([a, b])
        assert there.seconds == pytest.approx(a + b)
    assert [(one.stage, one.parts, one.rounds) for one in there.stages] == [
        ("a", 7, 2),
        ("b", 8, 1),
    ]
    three = spread(found, Team(3, False), PLAIN)
    assert [one.rounds for one in three.stages] == [2 + 1, 3]


def test_memory_loading_and_traffic_by_hand() -> None:
    memory = Memory({"base": 3_000, "chat": 4_000}, {"mid": 500}, 250, "a")
    cuts = [
        Cut("a", 5, (work("a", "m", 1),), sent=800, reply=70),
        Cut("b", 2, (work("b", "m", 1),), sent=100, returned=90),
    ]
    far = spread(made(cuts, memory), Team(4, False), PLAIN)
    assert (far.worker, far.head, far.together) == (7_750, 7_500, 4 * 7_750 + 7_500)
    assert far.loading == 7_500 / LOADING
    assert far.sent == 900 + 7 * AROUND
    assert far.returned == 5 * 70 + 90 + 7 * AROUND
    assert far.taking == far.returned / TAKING
    near = spread(made(cuts, memory), Team(4, True), PLAIN)
    assert (near.head, near.together) == (0, 4 * 7_750)


def test_workers_on_one_processor_share_it() -> None:
    """Its arithmetic and its memory; not what a process waits for by itself."""
    laptop = DEVICES[CPU]
    assert Team(4, True).device(laptop).single == laptop.single / 4
    assert Team(4, True).device(laptop).bandwidth == laptop.bandwidth / 4
    assert Team(4, False).device(laptop) == laptop
    assert Team(4, True).device(H100) == H100
    cut = Cut("a", 100, (Work("a", "m", Counts(), 0.0, 0.0, 1000),))  # 1,000 blocks of 1 ms
    assert spread(made([cut]), Team(4, True), laptop).seconds == pytest.approx(0.25)
    cut = Cut("a", 100, (work("a", "m", 0.3e12 * 0.35),))  # a second of arithmetic
    assert spread(made([cut]), Team(4, True), laptop).seconds == pytest.approx(1)


@pytest.mark.parametrize(
    ("lengths", "most", "expected"),
    [([], 10, 0), ([3], 10, 1), ([5, 5], 10, 1), ([5, 5, 5], 10, 2), ([30, 1], 10, 2)],
)  # fmt: skip
def test_shards_by_hand(lengths: list[int], most: int, expected: int) -> None:
    assert shards(lengths, most) == expected


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100))
def test_shards_are_those_that_a_run_makes(lengths: list[int], most: int) -> None:
    from harness.running.passes import shards as running

    documents: Any = [SimpleNamespace(left=SimpleNamespace(ids=range(n))) for n in lengths]
    assert shards(lengths, most) == len(list(running.shards(documents, most)))


def test_the_constants_are_those_of_a_run() -> None:
    from harness.planning.batches import BLOCK
    from harness.results import intervals
    from harness.running.passes import shards as running

    assert (GROUPS, BLOCK) == (intervals.GROUPS, running.BLOCK)


# ── Laws ─────────────────────────────────────────────────────────────────────────────────────────

TASKS = ("refusal", "drift", "mechanism", "papers/feature_drift/drift_llama-3.1-8b")


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    return {name: cost(plan(harness.load(name)), "H100") for name in TASKS}


def seconds(found: Cost, workers: int, device: Device = H100, *, local: bool = False) -> float:
    there = spread(found, Team(workers, local), device).seconds
    assert there is not None
    return there


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_all_work_is_cut_once(costs: dict[str, Cost], name: str) -> None:
    found = costs[name]
    assert sum((one.counts for cut in found.cuts for one in cut.work), Counts()) == found.counts
    assert sum(one.operations for cut in found.cuts for one in cut.work) == pytest.approx(
        found.flops
    )
    assert all(cut.parts >= 1 for cut in found.cuts)
    stages = dict.fromkeys(one.stage for one in found.work)
    assert list(dict.fromkeys(cut.stage for cut in found.cuts)) == list(stages)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_one_worker_here_is_the_plan_of_today(costs: dict[str, Cost], name: str) -> None:
    found = costs[name]
    for device in (H100, DEVICES[CPU]):
        there = spread(found, Team(1, True), device)
        assert there.seconds == pytest.approx(found.seconds(device), rel=1e-12)
        assert (there.worker, there.together) == (found.memory.total, found.memory.total)


@pytest.mark.parametrize("name", TASKS)
def test_time_never_grows_with_workers_and_never_falls_faster(
    costs: dict[str, Cost], name: str
) -> None:
    found, before = costs[name], math.inf
    alone = seconds(found, 1)
    for workers in (1, 2, 3, 4, 7, 8, 16, 100, 5000):
        now = seconds(found, workers)
        assert now <= before * (1 + 1e-12)
        assert now >= alone / workers * (1 - 1e-12)
        before = now
    most = max(cut.parts for cut in found.cuts)
    assert seconds(found, most) == seconds(found, 10 * most)


@pytest.mark.parametrize("name", TASKS)
def test_workers_on_one_processor_lose_at_most_the_idle_ones_of_the_last_round(
    costs: dict[str, Cost], name: str
) -> None:
    found, cpu = costs[name], DEVICES[CPU]
    alone, fewest = seconds(found, 1, cpu), min(cut.parts for cut in costs[name].cuts)
    for workers in (2, 4, 8):
        # ⌈n/w⌉·w/n is less than 1 + w/n.
        assert seconds(found, workers, cpu, local=True) <= alone * (1 + workers / fewest)


@pytest.mark.slow
def test_traffic_is_linear_in_the_parts() -> None:
    """Half as many tokens to a shard: the same tokens to the workers, twice the states back."""
    found = [
        cost(plan(harness.load(GEMMA, batch={"shard": size})), "H100") for size in (2**16, 2**15)
    ]
    for one, two in zip(*(one.cuts for one in found), strict=True):
        assert (two.sent, two.reply) == (one.sent, one.reply)
        (to, back), (to_two, back_two) = one.travels, two.travels
        assert back_two / two.parts == back / one.parts
        assert to_two - AROUND * two.parts == to - AROUND * one.parts
    assert found[1].cuts[-2].parts == pytest.approx(2 * found[0].cuts[-2].parts, rel=0.02)
    # Neither depends on how many workers there are.
    few, many = (spread(found[0], Team(n, False), H100) for n in (2, 64))
    assert (few.sent, few.returned) == (many.sent, many.returned)


def test_what_is_unknown_stays_unknown(task: MakeTask) -> None:
    text = '[metrics.mean]\nview = "base"\ndata = "web"\nsites = ["embed"]\n'
    found = cost(plan(task(text, "models.base.hidden=true")))
    there = spread(found, Team(2, False), H100)
    assert (there.seconds, there.stages[-1].seconds) == (None, None)
    assert there.stages[-1].parts == 1


# ── What a run keeps ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_reply_is_as_large_as_the_states_that_a_run_keeps(tmp_path: Path) -> None:
    """Metrics with histograms and vectors, and statistics of each latent."""
    from safetensors import safe_open

    task = harness.load("drift", data={"web": {"at_most": 8}, "conversations": {"at_most": 8}})
    planned = harness.plan(task)
    harness.run(planned, tmp_path, cache=False)
    (work,) = planned.passes
    jobs = sorted(work.jobs, key=lambda job: repr(job.identity(task)))
    seen = 0
    for number, which in enumerate(in_order(work, jobs)):
        file = tmp_path / "work" / "passes" / f"activations-1-{number}.0"
        with safe_open(file, "np") as states:
            kept = sum(NUMBER * math.prod(states.get_slice(k).get_shape()) for k in states.keys())  # noqa: SIM118
        mine = [job for job in jobs if which in map(rendering, job.reads.streams)]
        seen += len(mine)
        assert reply_bytes(task, mine, 128) == pytest.approx(kept, rel=0.03)
    assert seen > 20
    (cut,) = [one for one in cost(planned).cuts if one.parts > 0 and one.reply > 20e6]
    assert cut.stage == "activations, pass 1 of 1"


def in_order(work: Pass, jobs: Sequence[Job]) -> list[Rendering]:
    """Renderings in the order in which a run reads them."""
    return list(replace(work, jobs=tuple(jobs)).renderings())


def test_a_metric_that_tells_nothing_keeps_a_few_numbers(task: MakeTask) -> None:
    found = task('[metrics.mean]\nview = "base"\ndata = "web"\nsites = ["embed"]\n')
    (job,) = (job for work in plan(found).passes for job in work.jobs)
    assert isinstance(job, MetricJob)
    assert reply_bytes(found, [job], 6) == (GROUPS + 1) * 4 * NUMBER


# ── The command ──────────────────────────────────────────────────────────────────────────────────

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.slow
@pytest.mark.usefixtures("wide")
def test_the_command_says_what_workers_change(said: Said) -> None:
    code, out, err = said("plan", GEMMA, "--executor", "ray", "--workers", "32", "--device", "H100")
    assert code == 0, err
    for expected in (
        "taking in what comes back, about 73 s: LONGER than workers on H100 compute. Larger shards",
        "On 32 workers of ray", "activations, pass 1 of 1    334", "H100  about 17 min",
        "about 39 s",
        "about 15 GB for each worker; 14 GB at the head, which has the models, too",
        "traffic: about 89 MB to the workers and 22 GB from them", "of a network of 10 Gbit/s",
        "at the head alone, and not planned: writing prompts",
    ):  # fmt: skip
        assert expected in out, out
    words = ("--workers", "8", "--device", "H100", "--set", "batch.shard=131072")
    code, out, _ = said("plan", GEMMA, *words)
    assert "taking in what comes back" in out
    assert "LONGER" not in out
    code, out, _ = said("plan", GEMMA, "--device", "H100")
    assert "workers" not in out
    code, out, _ = said("plan", GEMMA, "--executor", "ray", "--device", "H100")
    assert (code, "only ray can tell how many there will be" in out) == (0, True)
    code, _, err = said("plan", GEMMA, "--executor", "rai", "--workers", "8")
    assert code == 2
    assert "--executor: executor.method: unknown executor 'rai'" in err


def shown(found: Cost, team: Team, machine: Machine) -> str:
    out = io.StringIO()
    show_spread({CPU: found}, team, "local", machine, Console(file=out, width=200))
    return out.getvalue()


def test_what_a_machine_has_not_is_said(costs: dict[str, Cost]) -> None:
    found = costs["refusal"]
    two = 2 * found.memory.total
    text = shown(found, Team(2, True), Machine(2, two - 1))
    assert "for all of them, which is MORE than the" in text
    assert "processor: 1 thread for each worker, of this machine's 2;" in text
    text = shown(found, Team(2, True), Machine(8, two))
    assert "MORE" not in text
    assert "processor: 4 threads for each worker, of this machine's 8;" in text
    assert "MORE" not in shown(found, Team(2, True), Machine(1, None))
    assert "processor" not in shown(found, Team(2, False), Machine(1, 1))


def test_this_machine_tells() -> None:
    found = this_machine()
    assert found.threads >= 1
    assert found.memory is None or found.memory > 2**26
