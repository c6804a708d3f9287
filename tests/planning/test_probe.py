"""How long work takes: by the speed of this machine, and by the arithmetic of the docs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.planning.cost.devices import DEVICES, between
from harness.planning.cost.estimate import cost
from harness.planning.cost.figures import Cost, Load, Work
from harness.planning.cost.lengths import PromptLengths
from harness.planning.counts import Counts
from harness.planning.probe import ask as asking
from harness.planning.probe.ask import ask, this_machine
from harness.planning.probe.speed import (
    AROUND_A_BLOCK,
    ASKING,
    FINISH,
    PASSES,
    STEP,
    UPDATE,
    BlockSpeed,
    ProbedMachine,
    Shape,
    Speed,
    as_plain,
    from_plain,
    shape_of,
)
from harness.planning.probe.trials import GPU, Block, probe
from harness.task.file import builtin_tasks

SHAPE = Shape(width=64, attention=64, kept=64, hidden=96, matrices=3, vocabulary=50)
SPEED = Speed({SHAPE: BlockSpeed(1.0, 10.0, 100.0, 1000.0, 1e4)}, 2.0, 3.0, 1e-3, 5.0)
MACHINE = ProbedMachine(SPEED, {"m": SHAPE, "elsewhere": None})
PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")


def work(**given: Any) -> Work:
    """Work of the model m, of nothing but what is given."""
    base: dict[str, Any] = {"stage": "s", "model": "m", "counts": Counts(), "flops": 0.0}
    return Work(**{**base, "moved": 0.0, "blocks": 0, **given})


# ── Arithmetic, from a given speed ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"blocks": 2}, 2 * (1 + AROUND_A_BLOCK * 1e-3)),
        ({"load": Load(positions=3)}, 30),
        ({"load": Load(pairs=3)}, 300),
        ({"load": Load(kept=3)}, 3000),
        ({"load": Load(ends=3)}, 3e4),
        ({"load": Load(steps=3)}, 3 * STEP * 1e-3),
        ({"encoding": 7.0}, 14),
        ({"latents": 7.0}, 21),
        ({"updates": 7}, 7 * UPDATE * 1e-3),
        ({"jobs": 7}, 7 * FINISH * 1e-3),
        ({"asked": 7}, 7 * ASKING * 1e-3),
        ({"values": 7.0}, 7 * PASSES * 5),
        ({"model": "elsewhere", "blocks": 9, "encoding": 1.0}, 2),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_time_is_each_piece_as_often_as_it_is_counted(
    given: dict[str, Any], seconds: float
) -> None:
    one = work(**given)
    assert MACHINE.seconds_of(one) == pytest.approx(seconds)
    assert MACHINE.seconds_of(one + one) == pytest.approx(2 * seconds)  # it adds up


def test_a_speed_travels_as_plain_values() -> None:
    assert from_plain(as_plain(SPEED)) == SPEED


def test_a_range_of_time_in_words() -> None:
    assert between(20, 45) == "20 to 45 s"
    assert between(60, 135) == "60 s to 2.2 min"


# ── The probe ────────────────────────────────────────────────────────────────────────────────────


def test_a_probe_times_every_piece() -> None:
    """With a clock that counts its readings: whatever the machine, each piece takes some time."""
    ticks = iter(range(10**9))
    found = probe([SHAPE], (16, 32), lambda: next(ticks) * 1e-3, budget=0.01)
    its = found.blocks[SHAPE]
    assert its.call > 0
    assert its.end > 0
    assert min(found.product, found.latent, found.operation, found.value) > 0
    assert min(its.position, its.pair, its.kept) >= 0


def test_a_block_of_the_probe_has_the_weights_of_the_model() -> None:
    """Of the organism: as many as a block of it, but for its norms, however heads are grouped."""
    task = harness.load("diagnosis")
    net = cost(harness.plan(task)).networks["base"]
    shape = shape_of(net)
    assert shape is not None
    block = Block(shape)
    weights = (block.q, block.o, block.kv, *block.up, block.down)
    assert sum(one.numel() for one in weights) == pytest.approx(net.block, rel=0.01)


@pytest.mark.slow
def test_this_machine_is_probed_in_a_process_of_its_own() -> None:
    found = ask([SHAPE], (16, 32), "processor")
    if found == GPU:
        pytest.skip("this machine has a GPU, which is not probed")
    assert isinstance(found, Speed), found
    assert found.blocks.keys() == {SHAPE}
    assert 0 < found.operation < 1e-2  # of a tiny sum: nobody waits so long for it


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit('no torch here')", "the probe failed (no torch here)"),
        ("print('hm')", "the probe gave no speed"),
        ("print('{}')", "the probe gave no speed"),
        ("""print('{"why": "it has a GPU"}')""", "it has a GPU"),
        ("import time; time.sleep(60)", "the probe was given up after 0 s"),
    ],
    ids=["fails", "babbles", "tells nothing", "a GPU", "hangs"],
)
def test_without_a_probe_a_plan_says_why(
    monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(asking, "TRIALS", [sys.executable, "-c", code])
    if "sleep" in code:
        monkeypatch.setattr(asking, "LONGEST", 0.2)
    assert ask([SHAPE], None) == said


@pytest.mark.slow
def test_whoever_plans_imports_no_torch() -> None:
    code = "import harness.planning.probe.ask, sys; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["probed", "not here"])
def test_the_plan_shows_this_machine_with_how_sure_it_is(
    said: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    task = harness.load("diagnosis")
    shapes = {name: shape_of(net) for name, net in cost(harness.plan(task)).networks.items()}
    speed = Speed({}, 0.0, 0.0, 2e-5, 0.0)  # jobs alone take time: (updates·150 + jobs·2500)·2e-5
    machine = ProbedMachine(speed, shapes) if answer == "probed" else answer
    monkeypatch.setattr(asking, "this_machine", lambda *_: machine)
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = said("plan", "diagnosis")
    assert code == 0, err
    (line,) = (line for line in out.split("\n") if line.startswith("this machine"))
    if answer == "probed":
        assert re.search(r"about \d+ s  \d+ to \d+ s, as probed just now", line), line
    else:
        assert "unknown" in line
        assert "not here" in line
    assert max(map(len, out.split("\n"))) <= 80


# ── Machines of the table ────────────────────────────────────────────────────────────────────────


def test_products_of_saes_are_float32_on_every_device() -> None:
    """CASES row 41: on an H100 they were priced at the peak of bfloat16, 15 times too fast."""
    h100 = DEVICES["H100"]
    forwards, encoders = work(flops=1e15, number_bytes=2), work(encoding=1e15, number_bytes=2)
    assert h100.seconds_of(forwards) == pytest.approx(1e15 / (0.35 * 989e12))
    assert h100.seconds_of(encoders) == pytest.approx(1e15 / (0.35 * 67e12))
    both = work(flops=1e15, encoding=1e15, number_bytes=2)
    alone = h100.seconds_of(forwards) + h100.seconds_of(encoders)
    assert h100.seconds_of(both) == pytest.approx(alone)
    for device in DEVICES.values():
        half, single = (device.seconds_of(work(encoding=1e15, number_bytes=n)) for n in (2, 4))
        assert half == single


def test_the_worked_example_of_the_docs_is_what_a_plan_says() -> None:
    planned = cost(harness.plan(harness.load("papers/feature_drift/drift_gemma-2-2b")), "H100")
    (found,) = [w for w in planned.work if w.stage.startswith("activations") and w.model == "base"]
    net = planned.networks["base"]
    blocks = found.blocks // found.counts.forwards
    pairs = found.load.pairs / blocks
    tokens = sum(found.encodes.values())
    weights = 2 * net.block * blocks * found.counts.positions
    attention = 4 * net.attention * blocks * pairs
    encoders = 2 * 2304 * 65536 * tokens
    assert weights + attention == pytest.approx(found.flops)
    assert encoders == pytest.approx(found.encoding)
    (_, _, page) = PAGE.partition("### A plan by hand")
    page = " ".join(page.partition("### The table")[0].split())
    for said in (
        f"each model reads {found.counts.tokens:,} tokens up to block {blocks} of {net.layers}",
        f"each of {found.counts.prompts:,} texts",
        f"2 · {net.block:,.0f} parameters of a block · {blocks} blocks · "
        f"{found.counts.positions:,} positions = {weights:.2e} operations".replace("e+", "e"),
        f"4 · {net.attention:,} · {blocks} blocks · {pairs:,.0f} pairs of positions = "
        f"{attention:.2e}".replace("e+", "e"),
        f"2 · 2,304 · 65,536 · {tokens:,} tokens = {encoders:.2e} operations".replace("e+", "e"),
        f"{found.counts.forwards:,} batches · {blocks} blocks · {2 * net.block:,.0f} bytes",
        f"{found.moved:.1e} bytes".replace("e+", "e"),
        f"{found.blocks:,} runs of a block",
    ):
        assert said in page, said
    columns = {"H100": (989e12, 67e12), "A100": (312e12, 19.5e12)}
    rows: dict[str, list[float]] = {"forwards, bfloat16": [], "encoders, float32": []}
    for half, single in columns.values():
        rows["forwards, bfloat16"].append((weights + attention) / (0.35 * half))
        rows["encoders, float32"].append(encoders / (0.35 * single))
    both = [sum(column) for column in zip(*rows.values(), strict=True)]
    for name, seconds in {**rows, "the model, together": both}.items():
        (line,) = re.findall(rf"\| {name} \|[^|]*\| (\d+) s \| (\d+) s \|", page)
        assert [int(one) for one in line] == [round(one) for one in seconds]
    for name, seconds in zip(columns, both, strict=True):
        assert DEVICES[name].seconds_of(found) == pytest.approx(seconds)


# ── What was assumed (CASES rows 42 and 43) ──────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def sts() -> Cost:
    return cost(harness.plan(harness.load("papers/sts/qwen2.5-7b-instruct-measured")), "H100")


@pytest.mark.slow
def test_rows_of_the_sts_tasks_are_as_long_as_they_expect(sts: Cost) -> None:
    """A question of MMLU-Pro behind five of 350 tokens, one of LIMO behind two of 3,000."""
    task = harness.load("papers/sts/qwen2.5-7b-instruct-measured")
    prompts = PromptLengths(task)
    for view, data, tokens in (
        ("domain", "mmlu_pro", 200), ("domain_in_context", "mmlu_pro", 200 + 5 * 350),
        ("training", "limo", 100), ("training_in_context", "limo", 100 + 2 * 3000),
    ):  # fmt: skip
        found = prompts.of(view, data)
        assert found is not None
        assert set(found.tokens) == {tokens + 12}
        assert not found.note
    assert not [note for note in sts.notes if "limo" in note or note.startswith("data.mmlu")]


@pytest.mark.slow
def test_the_prompts_of_a_benchmark_are_counted(sts: Cost) -> None:
    """Those that the task expects; of the organism's, those in its files."""
    assert not sts.unknown
    (before,) = [one for one in sts.work if one.stage == "benchmark, before, mmlu_pro"]
    assert before.counts.prompts == 12032
    assert before.counts.tokens == 12032 * 2000
    own = cost(harness.plan(harness.load("transfer")))
    folder = builtin_tasks()["transfer"].parent / "organism/data/questions"
    questions = sum(len(f.read_text().splitlines()) for f in folder.glob("*_test.jsonl"))
    found = {work.stage: work for work in own.work if work.stage.startswith("benchmark")}
    for stage, arms in (("before", 1), ("after", 1), ("zeroing", 5)):
        counts = found[f"benchmark, {stage}, questions"].counts
        assert counts.prompts == arms * questions
        assert counts.completion_tokens == 48 * counts.prompts
    # Without features of an SAE nothing is encoded; with them, each position under an edit.
    assert not found["benchmark, before, questions"].encodes
    zeroing = found["benchmark, zeroing, questions"]
    assert zeroing.encodes == {"mid": zeroing.counts.positions * 4 // 5}
    assert zeroing.at_most == {"mid"}
    few = cost(harness.plan(harness.load("transfer", evaluators={"questions": {"at_most": 3}})))
    (asked,) = [w for w in few.work if w.stage == "benchmark, before, questions"]
    assert asked.counts.prompts == 9 * 3


@pytest.mark.slow
def test_an_earlier_run_is_named_only_where_there_is_one(
    said: Callable[..., tuple[int, str, str]],
) -> None:
    """CASES row 43."""
    for name, told in (
        ("drift", None),
        (
            "refusal",
            "bypass, induce: completions are taken to be as long as the task's expect says",
        ),
        ("mechanism", "inject: completions are taken to reach max_new_tokens"),
    ):
        code, out, _ = said("plan", name, "--device", "CPU")
        assert code == 0
        assert "the earlier run" not in out
        text = " ".join(out.split())
        if told is None:
            assert "completions are taken" not in text
        else:
            assert told in text


@pytest.mark.slow
def test_this_machine_is_asked_for_the_shapes_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def noted(shapes: Any, sae: Any, clock: str) -> Speed:
        seen.update(shapes=shapes, sae=sae, clock=clock)
        return SPEED

    monkeypatch.setattr(asking, "ask", noted)
    task = harness.load("refusal")
    machine = this_machine(task, cost(harness.plan(task)), "processor")
    assert isinstance(machine, ProbedMachine)
    assert seen["sae"] == (128, 2048)
    assert {one.width for one in seen["shapes"]} == {128, 64}  # the judge is smaller
    assert machine.shapes.keys() == {"base", "chat", "judge"}
