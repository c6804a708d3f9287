"""Streams under edits: planned, counted, refused where they make no sense, and kept nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.selection import LAYERS, POSITIONS, TASK, World, drawn, saved
from harness.contract import Receipt, StreamEdit
from harness.errors import TaskError
from harness.planning.cost.estimate import cost
from harness.planning.planner import plan
from harness.planning.rehearsal import unwritable
from harness.registry import discover
from harness.running.passes.read import ShardRead
from harness.running.reading.armed import EditsDone, Under
from harness.running.runner import run
from harness.running.spread.wire import pack, unpack
from harness.store.cache import Cache
from harness.task.fit import misfits
from harness.task.stream_edits import unfit_edits, with_stream_edits

SITES = 'sites = ["resid_pre.1", "resid_pre.2"]\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("armed")
    saved(folder / "model", drawn("llama"))
    return World(folder, "llama")


def with_sites(text: str = TASK) -> str:
    return text.replace("positions = 3\n", f"positions = 3\n{SITES}")


def wrong(world: World, text: str, **overrides: Any) -> list[str]:
    with pytest.raises(TaskError) as caught:
        world.task(text, **overrides)
    return [str(one) for one in caught.value.problems]


# ── Planned ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_it_is_planned_after_its_candidates_under_an_edit_for_each(world: World) -> None:
    first, second = plan(world.task()).passes
    (found,), (chosen,) = first.jobs, second.jobs
    assert [str(site) for site in found.reads.sites] == [f"resid_pre.{n}" for n in range(LAYERS)]
    edits = [stream.edit for stream in chosen.reads.streams if stream.edit is not None]
    assert len(edits) == 3 * POSITIONS * LAYERS
    assert chosen.reads.start == ("all",)
    assert len(second.renderings()) == 2  # the prompts of both sets, each once


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 9, 64])
def test_what_is_planned_is_what_is_read(world: World, size: int) -> None:
    text = with_sites()
    session, _ = world.measured(text, batch={"activations": size})
    planned = plan(world.task(text, batch={"activations": size}))
    counts = [one.counts for one in cost(planned).work]
    done = session.usage.take().models["chat"]
    for field in ("forwards", "prompts", "tokens", "positions"):
        assert sum(getattr(one, field) for one in counts) == getattr(done, field), field


# ── Refused ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("positions = 3", "sweep = { positions = [2, 3] }"), "all has no variant"),
        (('candidates = "all"', 'candidates = "nothing"'), "nothing"),
        (('["I", "As"]', "[]"), "refusal_words"),
        (("positions = 3", "positions = 0"), "positions"),
        (("positions = 3", 'positions = 3\nsites = ["resid_pre.9"]'), "resid_pre.9"),
        (('candidates = "all"', 'candidates = "refusal"'), "needs itself"),
    ],
    ids=["swept", "unknown", "no words", "no positions", "too deep", "itself"],
)
def test_what_makes_no_sense_is_refused_by_name(
    world: World, change: tuple[str, str], said: str
) -> None:
    assert any(said in one for one in wrong(world, TASK.replace(*change)))


def test_a_word_of_several_tokens_is_refused_before_the_model_is_loaded(world: World) -> None:
    text = TASK.replace('["I", "As"]', '["I", "w1 w2"]')
    (problem,) = unwritable(plan(world.task(text)))
    assert problem.where.endswith("directions.refusal")
    assert "'w1 w2' is 2 tokens" in problem.what
    assert not [*unwritable(plan(world.task()))]


def test_where_the_tokenizer_is_not_here_the_run_refuses_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TASK.replace('["I", "As"]', '["w1 w2"]')
    with pytest.raises(TaskError, match="'w1 w2' is 2 tokens"):
        world.measured(text)


@pytest.mark.parametrize("lacking", ["edits", "logits"])
def test_a_model_without_edits_or_logits_is_refused(world: World, lacking: Any) -> None:
    task = world.task()
    facts = task.model_facts["chat"]
    without = replace(facts, capabilities=facts.capabilities - {lacking})
    told = [str(one) for one in misfits(replace(task, model_facts={"chat": without}))]
    assert any("directions.refusal" in one and lacking in one for one in told)


def test_a_view_that_is_edited_already_is_refused(world: World) -> None:
    text = TASK + (
        '[views.plain]\nmodel = "chat"\nprompt = { style = "chat" }\n[directions.other]\n'
        'method = "difference_in_means"\nview = "plain"\nsite = "resid_pre.1"\n'
        'positive = "harm"\nnegative = "fine"\n'
    )
    edit = {"edit": {"method": "ablation", "direction": "other"}}
    assert any("is edited already" in one for one in wrong(world, text, views={"chat": edit}))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (StreamEdit("nothing", "all"), "nothing"),
        (StreamEdit("ablation", "all", options=(("mode", "loud"),)), "mode"),
        (StreamEdit("ablation", "all", options=(("loud", 1),)), "loud"),
        (StreamEdit("pc_injection", "all", options=(("tuned", "chat"),)), "another view"),
        (StreamEdit("conditional_addition", "all", options=(("sae", "no"), ("latents", (1,)))),
         "no"),
    ],
    ids=["method", "value", "option", "beside", "sae"],
)  # fmt: skip
def test_an_edit_that_cannot_be_made_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, edit: StreamEdit, said: str
) -> None:
    task = world.task()
    options = type(task.direction("refusal"))
    reads = options.reads

    def other(self: Any, view: Any) -> Any:
        found = reads(self, view)
        (*rest, last) = found.streams
        return replace(
            found, streams=(*rest, replace(last, edit=replace(edit, axes=last.edit.axes)))
        )

    monkeypatch.setattr(options, "reads", other)
    _, (problem,) = with_stream_edits(task, discover())
    assert "directions.refusal" in problem.where
    assert said in problem.what


def test_paths_of_gradients_through_edited_streams_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = world.task()
    (instance,) = task.directions["refusal"]
    assert not [*unfit_edits(task, instance)]
    options = type(instance.options)
    reads = options.reads
    monkeypatch.setattr(options, "reads", lambda *of: replace(reads(*of), paths=("a path",)))
    (problem,) = unfit_edits(task, instance)
    assert "follows paths of gradients" in problem.what


# ── Kept nowhere, and told ───────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_run_tells_what_the_edits_did_and_again_with_the_cache(
    world: World, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache", 2**30)
    planned, registry = plan(world.task(with_sites())), discover()
    first, again = (run(planned, registry, tmp_path / name, cache=cache) for name in ("one", "two"))
    for results in (first, again):
        told = [one for one in results.records if one.id == "edit.relative@1"]
        names = {str(one.options["intervention"]).rpartition("/")[2]: one for one in told}
        assert sorted(names) == ["ablation", "addition"]
        assert all(one.value is not None and one.value > 0 for one in told)
        rows = results.tables["all.edits"]
        assert len(rows) == 2 * POSITIONS * 2
        assert {row["position"] for row in rows} == set(range(-POSITIONS, 0))
        assert all(row["changed"] for row in rows)
    values = [[one.value for one in results.records] for results in (first, again)]
    np.testing.assert_allclose(*(np.array(one, float) for one in values), rtol=1e-9)


def test_what_edits_did_travels_between_processes() -> None:
    one = Under("chat", StreamEdit("ablation", "all", (("position", -1),), (("mode", "strict"),)))
    receipt = Receipt(str(one), 3, 12, 12, 0.5, {"share": 1e-8})
    read = ShardRead([{"": {"x": np.arange(3.0)}}], {one: EditsDone((receipt,), False, False)})
    back = unpack(pack(read))
    assert back.edits == read.edits
    assert str(one) == "chat under ablation of all[position=-1]"
