"""What SAEs encode, and every forward and token: the plan has the numbers of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import harness
from harness.contract import Encodes, Stream, Tokens, Where
from harness.errors import InvalidRun
from harness.planning.batches import BLOCK, packed as packed_lengths
from harness.planning.cost.estimate import cost
from harness.planning.cost.figures import Cost
from harness.planning.cost.lengths import PromptLengths
from harness.planning.cost.reading import batches_of
from harness.planning.documents import Document, Spelled, measured as counted
from harness.planning.planner import plan
from harness.planning.steps import Rendering
from harness.results.read import Results, load_results
from harness.running.passes.shards import Document as Read, batches, shards
from harness.running.reading.rows import measured, one_row, packed
from harness.task.file import builtin_tasks
from harness.task.task import Task

MakeTask = Callable[..., Task]
RunTask = Callable[..., Results]


def same(planned: Cost, results: Results) -> None:
    """Fails where plan and run differ: exact numbers are equal, those that say `at most` are."""
    used: dict[str, Any] = results.provenance["usage"]
    by_stage: dict[str, dict[str, int]] = {}
    loose: set[tuple[str, str]] = set()
    for work in planned.work:
        found = used["stages"][work.stage].get(work.model, asdict(type(work.counts)()))
        if work.stage.startswith("verdicts"):  # equal completions of a prompt are judged once
            assert found["prompts"] <= work.counts.prompts
        else:
            assert asdict(work.counts) == found, (work.stage, work.model)
        for sae, tokens in work.encodes.items():
            stage = by_stage.setdefault(work.stage, {})
            stage[sae] = stage.get(sae, 0) + tokens
        loose |= {(work.stage, sae) for sae in work.at_most}
    planned_stages = {(work.stage, work.model) for work in planned.work}
    assert {(s, m) for s, its in used["stages"].items() for m in its} <= planned_stages
    for stage, found in used["encodes"].items():
        told = by_stage.get(stage, {})
        assert found.keys() <= told.keys(), stage
        for sae, tokens in told.items():
            if (stage, sae) in loose:
                assert found.get(sae, 0) <= tokens, (stage, sae)
            else:
                assert found.get(sae, 0) == tokens, (stage, sae)


# ── The pieces ───────────────────────────────────────────────────────────────────────────────────

IDS = st.lists(st.integers(0, 5), max_size=9)


@st.composite
def prompt(draw: st.DrawFn) -> Tokens:
    ids = tuple(draw(IDS))
    places = sorted(draw(st.tuples(*[st.integers(0, len(ids))] * 4)))
    return Tokens(
        "e", ids, (places[0], places[3]), "", asked=(0, places[1]),
        answered=draw(st.sampled_from([None, (places[2], places[3])])),
    )  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.lists(prompt(), max_size=5), st.integers(0, 4), st.frozensets(st.integers(0, 5)),
    st.sampled_from(["all", "last", "closing", "answer", "predicting"]),
)  # fmt: skip
def test_a_plan_counts_the_tokens_that_a_run_measures(
    many: list[Tokens], skip: int, masked: frozenset[int], how: Any
) -> None:
    many = [one for one in many if how in ("all", "last", "closing") or one.answered]
    stream = Stream("s", "v", "d", tokens=how, where=Where(skip_first=skip))
    read = measured([one_row(one) for one in many], stream, masked)
    known = [Document((len(one.ids),), prompt=Spelled.of(one, frozenset(range(6)))) for one in many]
    found = [counted(one, how, skip, masked) for one in known]
    assert sum(one.tokens for one in found) == len(read.ids)
    assert all(one.exact for one in found)
    for one, its in zip(known, found, strict=True):  # without a tokenizer, at most
        if how in ("all", "answer") and its.tokens:
            bare = counted(Document(one.lengths), how, skip, None)
            assert not bare.exact
            assert bare.tokens >= its.tokens


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from("ab")), max_size=14),
    st.integers(1, 5), st.integers(1, 30), st.sampled_from([None, 4, 12]),
)  # fmt: skip
def test_a_plan_makes_the_batches_of_a_run(
    rows: list[tuple[int, int, str]], size: int, most: int, pack: int | None
) -> None:
    def text(length: int) -> Tokens:
        return Tokens("e", (1,) * length, (0, length), "")

    class Fake:
        class spec:
            class batch:
                activations, shard = size, most

    read = [Read(text(a), None if pack else text(b), kind) for a, b, kind in rows]
    found = [
        batch
        for shard in shards(read, BLOCK if pack else most)
        for batch in batches(shard, pack, size)
    ]
    which = Rendering("l", "d", None if pack else "r", pack)
    documents = [Document((a,) if pack else (a, b), kind) for a, b, kind in rows]
    planned = batches_of(Fake(), which, documents)  # type: ignore[arg-type]
    assert planned.shards == len([*shards(read, BLOCK if pack else most)])
    assert planned.sides[0] == [[len(row.tokens.ids) for row in one.left] for one in found]
    if not pack:
        right = [[len(row.tokens.ids) for row in one.right or ()] for one in found]
        assert planned.sides[1] == right


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 20))
def test_rows_are_packed_alike(lengths: list[int], most: int) -> None:
    read = packed([Tokens("e", (1,) * n, (0, n), "") for n in lengths], most)
    assert packed_lengths(lengths, most) == [len(row.tokens.ids) for row in read]


# ── Tiny runs ────────────────────────────────────────────────────────────────────────────────────

PREFLIGHT = '[preflight]\ndata = "web"\nfvu_max = 1e9\nfvu = "loss"\nalso = ["active"]\nlimit = 3\n'
PAIR = '[pairs.p]\nleft = "base"\nright = "chat"\ndata = "web"\nsaes = ["mid"]\n{}\n'
SOME = PAIR.format("") + '[metrics.loss]\npair = "p"\n[metrics.match]\npair = "p"\n'
FILTERED = '[metrics.low]\nmethod = "match"\npair = "p"\nwhere = { cosine_below = 0.9 }\n'
BARE = '[directions.a]\nmethod = "probe"\nview = "base"\ndata = "web"\n'
PROBE = BARE + 'sae = "mid"\n'
HERE = ("models.base.here=true", "models.chat.here=true")
"""The tokenizers of both models are at hand before a run."""
EDITED = """
[views.moved]
model = "base"
edit = { method = "shift", direction = "a" }
[pairs.moved]
left = "base"
right = "moved"
data = "web"
saes = ["mid"]
[metrics.far]
method = "match"
pair = "moved"
"""


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (PREFLIGHT + SOME, ()),
        (SOME, ("batch.activations=2", "batch.shard=20")),
        (PROBE + SOME, ()),
        (SOME + FILTERED, ()),
        (PAIR.format("") + FILTERED, ()),
        (PAIR.format("skip_first = 3") + '[metrics.match]\npair = "p"\n', ()),
        (PAIR.format("budget = 12") + '[metrics.match]\npair = "p"\n', ("batch.activations=1",)),
        (PAIR.format("pack = 30") + '[metrics.match]\npair = "p"\n', ()),
        (BARE + EDITED, ()),
    ],
    ids=["preflight", "batches", "direction", "whole", "filter", "skip", "budget", "pack",
         "edited"],
)  # fmt: skip
def test_a_run_uses_what_was_planned(
    run_task: RunTask, task: MakeTask, text: str, more: Sequence[str]
) -> None:
    planned = cost(plan(task(text, *more, *HERE)))
    assert planned.encodes
    same(planned, run_task(text, *more, *HERE))


def test_what_a_filter_lets_through_is_at_most_all(task: MakeTask) -> None:
    alone = cost(plan(task(PAIR.format("") + FILTERED, *HERE)))
    assert frozenset().union(*(work.at_most for work in alone.work)) == {"mid"}
    # With another filter beside it, all tokens are encoded once, and both take their own.
    both = cost(plan(task(SOME + FILTERED, *HERE)))
    assert not any(work.at_most for work in both.work)
    assert both.encodes == cost(plan(task(SOME, *HERE))).encodes


def test_without_a_tokenizer_encodes_are_at_most(task: MakeTask) -> None:
    found = cost(plan(task(SOME)))
    assert {"mid"} in [work.at_most for work in found.work]


@pytest.fixture(scope="module")
def web() -> PromptLengths:
    """The lengths of the prompts of the mechanism task, which are the same in all its variants."""
    return PromptLengths(harness.load("mechanism"))


# ── Statistics that encode anew (CASES row 40) ───────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({"draws": 5}, 2 * 2 + 5 * 2),
        ({"draws": 200}, 2 * 2 + 200 * 2),
        ({"injections": []}, 0),
        ({"injections": ["pcs"]}, 2),
        ({"ranks": [1, 10, 11]}, 2 * 2 + 5 * 2),  # there are ten components
    ],
    ids=["5", "200", "none", "pcs", "ranks"],
)
def test_flips_are_encoded_anew_for_each_injection_rank_and_draw(
    changes: dict[str, Any], anew: int, web: PromptLengths
) -> None:
    """By hand: `pcs` and `constant` once for each rank, `random` once for each rank and draw."""
    task = harness.load("mechanism", statistics={"flips": changes})
    options = task.statistic("flips")[0]
    assert options.encodes(task, "pair", "mid") == Encodes(anew=anew)
    planned = cost(plan(task), prompts=web)
    # 60 texts of 4,390 tokens, the first of each left out: those of the base, of four tunes, and
    # of the base anew for each tune.
    found: dict[str, int] = {}
    for work in planned.work:
        for sae, tokens in work.encodes.items() if work.stage.endswith("2 of 2") else ():
            found[sae] = found.get(sae, 0) + tokens
    assert found == dict.fromkeys(("early", "mid", "late"), 4330 * (1 + 4 + 4 * anew))


# ── The organism's tasks ─────────────────────────────────────────────────────────────────────────

CUT = {
    "drift": "[data]\nweb.at_most = 3\nconversations.at_most = 3\n[labels]\n"
    "early = false\nmid = false\nlate = false\n",
    "diagnosis": "[data]\nweb.at_most = 3\n[labels]\nlayer_2 = false\nlayer_4 = false\n"
    "layer_5 = false\n",
    "refusal": """
[data]
web.at_most = 3
harmful_train.at_most = 3
harmless_train.at_most = 3
harmful_test.at_most = 3
harmless_test.at_most = 2
[directions]
chat_features.sweep.k = [2]
base_features.sweep.k = [2]
random_features.k = 2
[experiments]
bypass.generation.max_new_tokens = 1
induce.generation.max_new_tokens = 1
[claims]
mediation = false
base_fails = false
asymmetry = false
induction = false
base_induces_nothing = false
beyond_random_features = false
""",
    "mechanism": """
[data]
web.at_most = 3
harmful_train.at_most = 3
harmless_test.at_most = 2
[directions]
pcs.sweep.pair = ["safety"]
planted_pcs = false
steps_pcs = false
[statistics]
alignment.sweep.pair = ["safety"]
flips.sweep.pair = ["safety"]
planted_alignment = false
planted_flips = false
planted_shift = false
steps = false
[metrics]
TOPICS
cosine_pirate = false
fvu_pirate = false
cosine_sums = false
fvu_sums = false
[analyses]
layers = false
tasks = false
tasks_pc1 = false
checkpoints = false
trajectory = false
[pairs]
topics = false
pirate = false
sums = false
planted_features = false
planted_rank_one = false
topics_20 = false
topics_50 = false
topics_100 = false
topics_160 = false
[experiments]
inject.generation.max_new_tokens = 1
[claims]
safety_is_shallow = false
""".replace(
        "TOPICS",
        "\n".join(f"cosine_topics{n} = false" for n in ("", "_20", "_50", "_100", "_160"))
        + "\nfvu_topics = false",
    ),
    "transfer": """
[data]
web.at_most = 3
training.at_most = 40
domains.at_most = 20
[experiments]
before = false
after = false
zeroing = false
[evaluators]
questions = false
[analyses]
transfer = false
transfer_afterwards = false
transfer_over_n = false
transfer_window = false
advice = false
[claims]
forecast_act = false
forecast_icl = false
cause = false
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CUT)
def test_a_task_of_the_organism_uses_what_was_planned(name: str, tmp_path: Path) -> None:
    """On few rows, each completion of one token: all counts are equal, number by number."""
    file = tmp_path / "task.toml"
    source = builtin_tasks()[name]
    file.write_text(f'extends = "{source}"\nname = "few"\n{CUT[name]}', encoding="utf-8")
    planned = harness.plan(harness.load(file))
    told = cost(planned)
    assert told.encodes
    assert not any(work.at_most for work in told.work)
    try:
        results = harness.run(planned, tmp_path / "run")
    except InvalidRun:  # so few prompts may be judged too few for a check
        results = load_results(tmp_path / "run")
    same(told, results)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["base", "chat"])
def test_what_is_never_measured_is_known_before_a_model_is_loaded(model: str) -> None:
    entry = harness.load("refusal").models[model]
    assert entry.options.masked_ids() == entry.build().load().masked_ids
