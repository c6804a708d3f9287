"""What a task will cost: by hand on tiny configurations, by its laws, and against a real run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import harness
from harness.contract import ModelFacts, Needs
from harness.contract.sites import parse_site
from harness.errors import UsageError
from harness.planning.cost.devices import CPU, DEVICES, Device, duration, find_device, time_class
from harness.planning.cost.earlier import Written, earlier_completions
from harness.planning.cost.estimate import cost, grouped
from harness.planning.cost.figures import Cost, Work
from harness.planning.cost.gated import terms
from harness.planning.cost.lengths import PromptLengths
from harness.planning.cost.network import Network, network
from harness.planning.cost.writing import longest_of
from harness.planning.planner import plan
from harness.task.file import builtin_tasks
from harness.task.task import Task
from pace import slower

MakeTask = Callable[..., Task]
REFUSAL = str(builtin_tasks()["refusal"])
GEMMA = str(builtin_tasks()["papers/feature_drift/refusal_gemma-2-2b"])
HARNESS = [sys.executable, "-m", "harness.cli.main"]

# Two blocks of 100, an embedding of 10·4 that is looked up, and an output of 10·4.
TINY = Network(
    parameters=280, layers=2, block=100, head=40, width=4, attention=6, kept=16, widest=8,
    vocabulary=10, number_bytes=4,
)  # fmt: skip


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────


def test_flops_by_hand() -> None:
    # Three tokens look at 1 + 2 + 3 of each other: 2·100·2·3 + 4·6·2·6 + 2·40·1.
    assert TINY.flops(3, 6, 2, 1) == 1200 + 288 + 80
    assert TINY.flops(3, 6, 1) == 600 + 144
    assert TINY.flops(0, 0, 2) == 0


def test_a_whole_forward_is_twice_its_parameters_for_each_token() -> None:
    facts = ModelFacts(layers=2, d_model=4, vocabulary=10, parameters=240)
    notes: list[str] = []
    tied = network("models.x", facts, Needs(looked_up=0), 4, notes)
    assert isinstance(tied, Network)
    assert tied.flops(7, 0, tied.layers, ends=7) == 2 * 240 * 7


@pytest.mark.parametrize(
    ("sites", "depth"),
    [
        (["embed"], 0), (["resid_pre.1"], 1), (["attn_out.1"], 2), (["resid_post.0"], 1),
        (["resid_post.0", "resid_pre.0"], 1), (["resid_post@0.9"], 2), (["model.norm"], 2), ([], 0),
    ],
)  # fmt: skip
def test_a_forward_stops_at_the_deepest_site(sites: Sequence[str], depth: int) -> None:
    assert TINY.depth(map(parse_site, sites)) == depth


def test_memory_by_hand() -> None:
    assert TINY.weights == 280 * 4
    assert TINY.forward_bytes(5) == 5 * (2 * 4 + 3 * 8) * 4
    # Keys and values of 3 rows of 5 + 7 tokens, twice; the forward over 15; logits, twice.
    expected = 2 * 3 * 12 * 16 * 4 + 15 * 32 * 4 + 3 * 10 * 8
    assert TINY.generation_bytes(3, 5, 7) == expected


def test_what_is_assumed_of_a_model_is_stated() -> None:
    facts = ModelFacts(layers=2, d_model=4, vocabulary=10, parameters=240)
    notes: list[str] = []
    found = network("models.x", facts, Needs(), 2, notes)
    assert isinstance(found, Network)
    assert (found.kept, found.widest, found.number_bytes) == (2 * 4 * 2, 16, 2)
    assert len(notes) == 4
    assert all(note.startswith("models.x: ") for note in notes)
    stated = Needs(number_bytes=2, looked_up=0, kept=16, widest=16)
    notes = []
    assert network("models.x", facts, stated, 4, notes) == found
    assert notes == []


@pytest.mark.parametrize(
    ("known", "missing"),
    [
        ({}, "layers, d_model and parameters"),
        ({"layers": 2, "d_model": 4}, "parameters is"),
        ({"d_model": 4, "parameters": 5}, "layers is"),
    ],
)
def test_what_is_unknown_of_a_model_is_named(known: dict[str, int], missing: str) -> None:
    found = network("models.x", ModelFacts(**known), Needs(), 4, [])
    assert isinstance(found, str)
    assert missing in found
    assert "expect" in found


def test_the_longest_of_a_batch() -> None:
    lengths = [1, 1, 1, 9]
    assert longest_of(lengths, 1) == 3  # the mean
    assert longest_of(lengths, 1000) == 9
    assert longest_of([5], 3) == 5


def test_equal_notes_are_one() -> None:
    assert grouped(["a: x.", "b: x.", "a: y.", "a: x."]) == ("a, b: x.", "a: y.")


def test_times() -> None:
    device = Device("d", half=1e3, single=1e2, bandwidth=1e3, memory=1)
    assert device.seconds(3500, 0, 0, 2) == pytest.approx(10)
    assert device.seconds(350, 0, 0, 4) == pytest.approx(10)
    assert device.seconds(1, 6000, 0, 2) == pytest.approx(10)
    assert device.seconds(1, 1, 10_000, 2) == pytest.approx(10)
    assert [time_class(s) for s in (1, 600, 7200, 1e6)] == ["seconds", "minutes", "hours", "days"]
    assert [duration(s) for s in (0.1, 20, 600, 7200)] == [
        "about 1 s", "about 20 s", "about 10 min", "about 2 h",
    ]  # fmt: skip
    assert find_device("rtx-4090") is DEVICES["RTX 4090"]
    with pytest.raises(UsageError, match="Allowed: A100, CPU"):
        find_device("abacus")


def test_gates() -> None:
    assert terms("google/gemma-2-2b-it") == "Gemma's terms of use"
    assert terms("meta-llama/Llama-3.1-8B") is not None
    assert terms("google/gemma-scope-2b-pt-res") is None
    assert terms("gpt2") is None


# ── Laws, on the fake plugin ─────────────────────────────────────────────────────────────────────

PROBE = '[directions.a]\nmethod = "probe"\nview = "base"\ndata = "web"\n'
ASKED = """
[experiments.ask]
view = "base"
data = "web"
intervention = { method = "shift" }
directions = ["a"]
evaluators = ["polite"]
generation = { max_new_tokens = 10 }
"""
KNOWN = ["models.base.expect.parameters=1000", "models.chat.expect.parameters=1000"]


@pytest.fixture
def costs(task: MakeTask) -> Callable[..., Cost]:
    def costs(text: str, *overrides: str) -> Cost:
        return cost(plan(task(text, *overrides, *KNOWN)))

    return costs


def test_without_an_sae_there_is_no_encoder(costs: Callable[..., Cost]) -> None:
    without, within = costs(PROBE), costs(PROBE + 'sae = "mid"\n')
    assert sum(work.encoding or 0 for work in without.work) == 0
    # The fake's six texts, by characters: every token but the first of each is encoded.
    tokens = within.counts.tokens - 6
    assert [work.encoding for work in within.work] == [2 * 6 * 12 * tokens]
    assert within.flops - without.flops == 2 * 6 * 12 * tokens
    assert not without.memory.saes
    assert within.memory.saes == {"mid": 2 * 6 * 12 * 4}


def test_a_sweep_adds_no_forward(costs: Callable[..., Cost]) -> None:
    one, many = costs(PROBE), costs(PROBE + "sweep = { scale = [1, 2, 3] }\n")
    assert one.counts == many.counts
    assert one.flops == many.flops


def test_a_second_direction_on_the_same_prompts_adds_no_forward(costs: Callable[..., Cost]) -> None:
    both = costs(PROBE + PROBE.replace(".a]", ".b]"))
    assert both.counts == costs(PROBE).counts


def test_twice_the_prompts_are_twice_the_tokens(
    costs: Callable[..., Cost], write: Callable[..., Path]
) -> None:
    once = costs(PROBE + ASKED)
    file = write().parent / "twice.jsonl"
    file.write_text((file.parent / "web.jsonl").read_text() * 2)
    twice = costs(PROBE + ASKED, 'data.web.file="twice.jsonl"'.replace("twice", str(file)[:-6]))
    for name in ("prompts", "tokens", "completions", "completion_tokens"):
        assert getattr(twice.counts, name) == 2 * getattr(once.counts, name) > 0


def test_a_limit_caps(costs: Callable[..., Cost]) -> None:
    found = costs(PROBE + ASKED, "data.web.at_most=2")
    passed, asked = found.work
    assert passed.counts.prompts == 2
    assert (asked.counts.prompts, asked.counts.completions) == (4, 4)  # two arms
    assert asked.counts.completion_tokens == 4 * 10
    # One batch for the arm as it is, one for the rest; ten steps each.
    assert asked.counts.forwards == 20


def test_each_forward_is_counted_with_its_padding(costs: Callable[..., Cost]) -> None:
    found = costs(PROBE, "batch.activations=4").work[0]
    assert found.counts.forwards == 2
    assert found.blocks == 2 * 3  # to resid_post.2
    assert found.counts.positions > found.counts.tokens
    assert costs(PROBE, "batch.activations=1").counts.positions == found.counts.tokens


def test_earlier_lengths_replace_the_bound(task: MakeTask) -> None:
    planned = plan(task(PROBE + ASKED, *KNOWN))
    bound, known = cost(planned), cost(planned, earlier={"ask": Written([4, 4, 4, 4])})
    assert (bound.bound, known.bound) == (True, False)
    assert bound.counts.completion_tokens == 120
    assert known.counts.completion_tokens == 48
    assert known.counts.positions < bound.counts.positions


def test_lengths_of_an_earlier_run_are_read(tmp_path: Path) -> None:
    assert earlier_completions(tmp_path) == {}
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "ask.jsonl").write_text(
        "".join(
            json.dumps({"tokens": n, "example": "e", "completion": str(n)}) + "\n"
            for n in (3, 5, 5)
        )
    )
    (tmp_path / "samples" / "cut.jsonl").write_text('{"tokens": 3}\n{"tok')
    assert earlier_completions(tmp_path) == {"ask": Written([3, 5, 5], 2 / 3)}


def test_what_is_unknown_is_named_and_never_guessed(task: MakeTask) -> None:
    found = cost(plan(task(PROBE + 'sae = "mid"\n', "models.base.hidden=true")))
    assert any("models.base: its layers, d_model and parameters" in what for what in found.unknown)
    assert math.isnan(found.work[0].flops)
    assert found.seconds(DEVICES[CPU]) is None
    assert found.counts.forwards == 1  # what can be known is


def test_an_unknown_number_of_rows_is_named(task: MakeTask) -> None:
    more = '[data.far]\nhub = "someone/something"\n' + PROBE.replace("web", "far")
    found = cost(plan(task(more, *KNOWN)))
    assert found.unknown == ("data.far: its number of rows is unknown offline; state limit.",)
    found = cost(plan(task(more, *KNOWN, "data.far.limit=3")))
    assert found.unknown == ()
    assert found.counts.prompts == 3
    assert any(note.startswith("data.far: not read") for note in found.notes)
    assert [one.name for one in found.downloads] == ["someone/something"]


# ── The real tasks ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_prompts_are_counted_exactly() -> None:
    """By the tokenizer's file alone, as transformers does with everything of its own."""
    from harness.running.session import Session

    task = harness.load(REFUSAL)
    prompts, session = PromptLengths(task), Session(task, Path(), Path())
    for view in ("base", "chat", "base_text", "@base"):
        data = "web" if "text" in view or view == "@base" else "harmful_test"
        found = prompts.of(view, data)
        assert found is not None
        assert found.how == "counted"
        real = sorted(len(prompt.ids) for prompt in session.prompts.rendered(view, data))
        assert list(found.tokens) == real


def test_a_forward_takes_what_torch_counts() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    task = harness.load(REFUSAL)
    sizes = network("base", task.model_facts["base"], task.models["base"].options.needs(), 4, [])
    assert isinstance(sizes, Network)
    entry = task.models["base"]
    # Other kernels than plain products torch does not count on a CPU.
    eager = entry.options.model_copy(update={"attn_implementation": "eager"})
    model = entry.owner.load()(eager).load()
    assert sizes.parameters == sum(p.numel() for p in model.hf.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.hf(input_ids=torch.arange(40)[None], use_cache=False)
    # torch counts every pair of attention, also those that the causal mask leaves out.
    expected = sizes.flops(40, 40 * 40, sizes.layers, ends=40)
    assert expected == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.fixture
def command(
    tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`harness …` in an empty folder, with an empty cache of the hub."""

    def command(*arguments: str, light: bool = True) -> subprocess.CompletedProcess[str]:
        blocked = tmp_path / "blocked"
        blocked.mkdir(exist_ok=True)
        for name in ("torch", "transformers", "sae_lens", "datasets", "numpy"):
            (blocked / f"{name}.py").write_text(f"raise AssertionError('{name} was imported')\n")
        env = {**environment(*([blocked] if light else [])), "HF_HOME": str(tmp_path / "hub")}
        return subprocess.run(
            [*HARNESS, *arguments], env={**env, "COLUMNS": "200"}, cwd=tmp_path, text=True,
            capture_output=True, check=False, timeout=1800,
        )  # fmt: skip

    return command


@pytest.mark.slow
def test_the_gemma_task_is_planned_offline(
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = command("plan", GEMMA)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    for expected in (
        "google/gemma-2-2b-it", "about 5.2 GB", "probably gated: accept Gemma's terms of use",
        "gemma-scope-2b-pt-res-canonical", "about 1.2 GB", "bypass 2,100 × at most 512 tokens",
        "each row is taken to hold 32 tokens", "H100", "taken to share the weights",
    ):  # fmt: skip
        assert expected in text, text
    assert "unknown:" not in text


@pytest.mark.slow
def test_one_machine_is_asked_for(
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = command("plan", GEMMA, "--device", "a100", "--limit", "5")
    assert done.returncode == 0, done.stderr
    assert "bypass 105 × at most 512 tokens" in done.stdout
    assert "A100 hours" in done.stdout
    assert "H100" not in done.stdout
    done = command("plan", GEMMA, "--device", "abacus")
    assert done.returncode == 2
    assert "Allowed: A100, CPU" in done.stderr


@pytest.mark.slow
def test_what_expect_does_not_say_is_unknown(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    file = tmp_path / "task.toml"
    text = Path(GEMMA).read_text(encoding="utf-8")
    file.write_text("\n".join(line for line in text.split("\n") if not line.startswith("expect")))
    done = command("plan", str(file))
    assert done.returncode == 0, done.stderr
    for name in ("base", "chat"):
        assert f"models.{name}" in done.stdout
    assert "layers, d_model and parameters are unknown offline; state them in expect" in done.stdout
    assert "saes.mid: its d_in or d_sae is unknown offline" in done.stdout


@pytest.mark.slow
def test_a_plan_takes_less_than_two_seconds(
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    before = os.times()
    done = command("plan", REFUSAL, "--device", "CPU")  # without the seconds of a probe
    after = os.times()
    assert done.returncode == 0, done.stderr
    used = after.children_user + after.children_system
    assert used - before.children_user - before.children_system < 2 * slower()


@pytest.mark.slow
def test_the_plan_of_the_organism_is_what_its_run_used(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Within 30%, and exactly where completions have no say."""
    limit = 6
    # Every kind of arm, and few of a kind.
    few = {"chat_features": {"sweep": {"k": [2, 32]}}, "base_features": {"sweep": {"k": [2, 32]}},
           "random": {"draws": 2}, "random_features": {"draws": 2}}  # fmt: skip
    sets = [
        f"--set=directions.{name}.{key}={value if key == 'draws' else '{k=[2,32]}'}"
        for name, values in few.items()
        for key, value in values.items()
    ]
    given = ("eval", REFUSAL, "--limit", str(limit), "--out", "run", *sets)
    done = command(*given, light=False)
    # So few prompts may be judged too few for a check; what was used is told all the same.
    assert done.returncode in (0, 3), done.stderr
    used = json.loads((tmp_path / "run/results.json").read_text())["provenance"]["usage"]
    base = harness.load(REFUSAL)
    limits = {name: {"at_most": limit} for name in base.spec.data}
    planned = cost(plan(harness.load(REFUSAL, data=limits, directions=few)))
    for work in planned.work:
        counts = used["stages"][work.stage][work.model]
        if not work.counts.completions:
            assert asdict(work.counts) == counts
    total = dict.fromkeys(asdict(planned.counts), 0)
    found = dict(total)
    for work in planned.work:
        counts = used["stages"][work.stage][work.model]
        for name, number in asdict(work.counts).items():
            total[name] += number
            found[name] += counts[name]
    for name in total:
        assert total[name] == pytest.approx(found[name], rel=0.3), name
    # What the same run holds at its peak was 58 to 99 MB: one of three has to be as planned.
    held = [used["memory_bytes"]["beyond_imports"]]
    while planned.memory.total != pytest.approx(held[-1], rel=0.3) and len(held) < 3:
        again = f"again-{len(held)}"
        command(*given[: -len(sets) - 1], again, *sets, light=False)
        said = json.loads((tmp_path / again / "results.json").read_text())["provenance"]["usage"]
        held.append(said["memory_bytes"]["beyond_imports"])
    assert planned.memory.total == pytest.approx(held[-1], rel=0.3), held


@pytest.mark.slow
def test_a_judging_model_reads_its_template_with_every_completion() -> None:
    base = str(Path(REFUSAL).parent / "organism" / "base")
    task = harness.load(
        REFUSAL,
        models={"judge": {"path": base}},
        evaluators={"judge": {"method": "harmbench", "model": "judge"}},
        experiments={
            "bypass": {"evaluators": ["judge"], "expect": {"tokens": 48, "distinct": 1.0}}
        },
    )
    planned, prompts = plan(task), PromptLengths(task)
    found = {work.stage: work for work in cost(planned, prompts=prompts).work}
    asked, judged = found["completions, bypass"], found["verdicts, bypass, judge"]
    assert judged.counts.prompts == asked.counts.completions
    template = prompts.text("judge", task.evaluators["judge"].options.around() or "")
    assert template > 100
    each = judged.counts.tokens / judged.counts.prompts
    assert each == pytest.approx(template + asked.counts.tokens / 3000 + 48, abs=1)
    half = {"bypass": Written([48, 48], distinct=0.5)}
    again = {work.stage: work for work in cost(planned, earlier=half, prompts=prompts).work}
    assert again["verdicts, bypass, judge"].counts.prompts == 1500


@pytest.mark.slow
def test_a_judge_that_reasons_writes_more_than_a_word() -> None:
    """StrongREJECT's judge ends with its grades, behind up to `max_tokens` of reasons."""
    base = str(Path(REFUSAL).parent / "organism" / "base")

    def verdicts(**judge: object) -> Work:
        task = harness.load(
            REFUSAL,
            models={"judge": {"path": base}},
            evaluators={"judge": {"model": "judge", **judge}},
            experiments={"bypass": {"evaluators": ["judge"]}},
        )
        work = {one.stage: one for one in cost(plan(task), prompts=PromptLengths(task)).work}
        return work["verdicts, bypass, judge"]

    word = verdicts(method="harmbench")
    reasons = verdicts(method="strongreject", max_tokens=64)
    assert word.counts.completion_tokens == word.counts.completions
    assert reasons.counts.completion_tokens == 64 * reasons.counts.completions
    assert reasons.flops > word.flops


def test_weights_of_few_bits_take_less_memory_in_the_blocks_alone() -> None:
    """Issue 20, 4: embeddings and the head stay numbers of `dtype`."""
    facts = ModelFacts(layers=2, d_model=8, vocabulary=100, parameters=2 * 300 + 2 * 800)
    needs = Needs(number_bytes=4, looked_up=800, kept=16, widest=32)
    plain = network("m", facts, needs, 4, [])
    few = network("m", facts, replace(needs, weight_bytes=0.5), 4, [])
    assert isinstance(plain, Network)
    assert isinstance(few, Network)
    assert plain.weights == 4 * 2200
    assert few.weights == 0.5 * 600 + 4 * 1600
    assert few.flops(3, 6, 2, 1) == plain.flops(3, 6, 2, 1)
