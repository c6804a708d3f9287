"""A folder of checkpoints as pairs: what it becomes, what names it, and what is wrong with one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import TaskError
from harness.task.task import Task, task_hash, written_hash

ROOT = Path(__file__).parents[2]
ORGANISM = ROOT / "tasks/organism"
HEAD = f"""
name = "ck"
models.base = {{ path = "{ORGANISM}/base", dtype = "float32" }}
views.base = {{ model = "base", prompt = {{ max_tokens = 32 }} }}
saes.mid = {{ path = "{ORGANISM}/saes/resid_post.4", model = "base" }}
data.web = {{ file = "{ORGANISM}/data/web.jsonl", limit = 6 }}
"""
PAIR = """
[pairs.ckpt]
from = "run/checkpoint-*"
left = "base"
data = "web"
saes = ["mid"]
"""
HAND = """
[pairs."ckpt.{step}"]
left = "base"
right = "ckpt.{step}"
data = "web"
saes = ["mid"]
axes = {{ checkpoint = {step} }}
[models."ckpt.{step}"]
path = "{base}"
dtype = "float32"
adapter = "run/checkpoint-{step}"
[views."ckpt.{step}"]
model = "ckpt.{step}"
prompt = {{ max_tokens = 32 }}
"""
MEASURED = """
[metrics.cosine]
pair = "ckpt"
[directions.pcs]
method = "principal_components"
site = "resid_post.4"
components = 2
pair = "ckpt"
[statistics.steps]
method = "flip_rate"
site = "resid_post.4"
saes = ["mid"]
sweep = { pair = ["ckpt"] }
[analyses.overlap]
method = "flip_overlap"
statistics = ["steps"]
pairs = ["ckpt"]
[analyses.trajectory]
pairs = ["ckpt"]
"""


def saved(folder: Path, step: int, name: str = "", state: int | None = None) -> Path:
    """A checkpoint as peft and a trainer save one; its adapter is one of the organism's."""
    source = sorted((ORGANISM / "tunes/topics").glob("checkpoint-*"))[step % 4]
    place = folder / "run" / (name or f"checkpoint-{step}")
    shutil.copytree(source, place)
    if state is not None:
        (place / "trainer_state.json").write_text(json.dumps({"global_step": state}))
    return place


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Task]:
    def load(text: str = PAIR, head: str = HEAD) -> Task:
        (tmp_path / "task.toml").write_text(head + text, encoding="utf-8")
        return harness.load(tmp_path / "task.toml")

    return load


@pytest.fixture
def wrong(load: Callable[..., Task]) -> Callable[..., str]:
    def wrong(text: str = PAIR, head: str = HEAD) -> str:
        with pytest.raises(TaskError) as caught:
            load(text, head)
        return str(caught.value)

    return wrong


# ── What it becomes ──────────────────────────────────────────────────────────────────────────────


def test_a_pair_for_each_checkpoint_in_the_order_of_their_steps(
    load: Callable[..., Task], tmp_path: Path
) -> None:
    for step in (100, 20, 9):
        saved(tmp_path, step)
    (tmp_path / "run" / "checkpoint-note.txt").write_text("a file is no checkpoint")
    task = load(PAIR + MEASURED)
    names = ["ckpt.9", "ckpt.20", "ckpt.100"]
    assert list(task.spec.pairs) == names
    assert [*task.spec.models][1:] == [*task.spec.views][1:] == names
    assert [task.axes_of(name)["checkpoint"] for name in names] == [9, 20, 100]
    assert task.spec.views["ckpt.20"].prompt.max_tokens == 32
    assert task.models["ckpt.20"].options.adapter == str(tmp_path / "run/checkpoint-20")  # type: ignore[attr-defined]
    assert task.models["ckpt.20"].options.dtype == "float32"  # type: ignore[attr-defined]
    assert list(task.metrics) == ["cosine.9", "cosine.20", "cosine.100"]
    assert [one.axes for one in task.directions["pcs"]] == [{"pair": name} for name in names]
    assert [one.axes for one in task.statistics["steps"]] == [{"pair": name} for name in names]
    assert list(task.analyses["trajectory"][0].options.pairs) == names  # type: ignore[attr-defined]


def test_it_is_the_task_that_was_written_by_hand(load: Callable[..., Task], tmp_path: Path) -> None:
    """The reference names each checkpoint: both resolve to the same, so the numbers are equal."""
    for step in (20, 100):
        saved(tmp_path, step)
    mine = load(PAIR + MEASURED)
    hand = "".join(HAND.format(step=step, base=ORGANISM / "base") for step in (20, 100))
    listed = MEASURED.replace('["ckpt"]', '["ckpt.20", "ckpt.100"]').replace(
        'components = 2\npair = "ckpt"', 'components = 2\nsweep.pair = ["ckpt.20", "ckpt.100"]'
    )
    metrics = "".join(
        f'[metrics."cosine.{step}"]\nmethod = "cosine"\npair = "ckpt.{step}"\n'
        for step in (20, 100)
    )
    theirs = load(hand + listed.replace('[metrics.cosine]\npair = "ckpt"\n', metrics))
    assert mine.resolved == theirs.resolved
    assert written_hash(mine) == task_hash(theirs)


def test_names_of_single_checkpoints_and_lists_with_others(
    load: Callable[..., Task], tmp_path: Path
) -> None:
    for step in (20, 100):
        saved(tmp_path, step)
    more = """
[pairs.last]
left = "base"
right = "ckpt.100"
data = "web"
sites = ["resid_post.1"]
axes = { checkpoint = 240 }
[statistics.one]
method = "feature_shift"
pair = "ckpt.20"
sae = "mid"
[analyses.trajectory]
pairs = ["ckpt", "last"]
[gates.near]
assert = "cosine.raw[pair=ckpt.100] >= -1"
[metrics.cosine]
pair = "ckpt"
"""
    task = load(PAIR + more)
    assert task.analyses["trajectory"][0].options.pairs == ("ckpt.20", "ckpt.100", "last")  # type: ignore[attr-defined]
    assert [one.options.pair for one in task.statistics["one"]] == ["ckpt.20"]  # type: ignore[attr-defined]


def test_whole_models_and_their_tokenizer(load: Callable[..., Task], tmp_path: Path) -> None:
    for step, spoken in ((5, True), (10, False)):
        place = tmp_path / "run" / f"checkpoint-{step}"
        shutil.copytree(ORGANISM / "tunes/sums", place)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if spoken:
                shutil.copy(ORGANISM / "base" / name, place / name)
            else:
                (place / name).unlink(missing_ok=True)
    task = load()
    options: list[Any] = [task.models[f"ckpt.{step}"].options for step in (5, 10)]
    assert [one.path for one in options] == [
        str(tmp_path / "run" / f"checkpoint-{step}") for step in (5, 10)
    ]
    assert [one.adapter for one in options] == [None, None]
    assert [one.tokenizer for one in options] == [None, str(ORGANISM / "base")]
    assert [one.dtype for one in options] == ["float32", "float32"]
    assert task.model_facts["ckpt.10"].layers == 6


def test_the_step_is_what_the_trainer_wrote_down(load: Callable[..., Task], tmp_path: Path) -> None:
    saved(tmp_path, 1, "checkpoint-best", state=7)
    saved(tmp_path, 2, "checkpoint-3", state=30)
    assert list(load().spec.pairs) == ["ckpt.7", "ckpt.30"]


def test_every_takes_fewer(load: Callable[..., Task], tmp_path: Path) -> None:
    for step in (50, 100, 150, 200):
        saved(tmp_path, step)
    assert list(load(PAIR + "every = 100\n").spec.pairs) == ["ckpt.100", "ckpt.200"]


def test_a_view_of_its_own_and_an_extended_task(load: Callable[..., Task], tmp_path: Path) -> None:
    saved(tmp_path, 20)
    task = load(PAIR + 'prompt = { template = "{text}\\n" }\n')
    assert task.spec.views["ckpt.20"].prompt.template == "{text}\n"
    assert task.spec.views["ckpt.20"].prompt.max_tokens is None
    (tmp_path / "other").mkdir()
    (tmp_path / "other/more.toml").write_text('extends = "../task.toml"\nseed = 3\n')
    # Where the pattern was written is where it looks.
    assert list(harness.load(tmp_path / "other/more.toml").spec.pairs) == ["ckpt.20"]


# ── Whose run it is ──────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_that_comes_later_is_the_same_run(
    load: Callable[..., Task], tmp_path: Path
) -> None:
    saved(tmp_path, 20)
    before = load(PAIR + MEASURED.replace('[analyses.trajectory]\npairs = ["ckpt"]\n', ""))
    saved(tmp_path, 100)
    after = load(PAIR + MEASURED.replace('[analyses.trajectory]\npairs = ["ckpt"]\n', ""))
    assert task_hash(before) == task_hash(after)
    assert written_hash(before) != written_hash(after)
    other = load(PAIR.replace('data = "web"', 'data = "web"\nskip_first = 1') + MEASURED)
    assert task_hash(other) != task_hash(after)
    renamed = load(PAIR.replace("pairs.ckpt", "pairs.steps") + MEASURED.replace("ckpt", "steps"))
    assert task_hash(renamed) != task_hash(after)


@pytest.mark.slow
def test_it_adds_work_for_itself_alone(
    load: Callable[..., Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forwards of each model are counted; the numbers are those of a run that starts afresh."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    text = PAIR + 'expect = "different"\n' + MEASURED + '[preflight]\ndata = "web"\n'
    for step in (20, 50):
        saved(tmp_path, step)

    def run(folder: str) -> Any:
        return harness.run(harness.plan(load(text)), tmp_path / folder)

    def read(results: Any) -> dict[str, int]:
        stages = results.provenance["usage"]["stages"].values()
        models = {name for stage in stages for name in stage}
        return {
            name: sum(stage[name]["forwards"] for stage in stages if name in stage)
            for name in sorted(models)
        }

    first = run("run1")
    assert all(read(first).values())
    again = run("run1")
    assert not any(read(again).values())
    assert again.records == first.records
    saved(tmp_path, 99)
    grown = run("run1")
    counted = read(grown)
    assert counted["ckpt.99"] > 0
    assert counted["base"] > 0
    assert not counted.get("ckpt.20")
    assert not counted.get("ckpt.50")
    assert not [text for text in grown.warnings if "remembered" in text]
    monkeypatch.setenv("HARNESS_CACHE", "")
    fresh = run("run2")
    assert all(read(fresh).values())

    def numbers(results: Any) -> dict[str, Any]:
        return {
            f"{r.id} {dict(r.axes)} {dict(r.options)}": (r.value, r.ci, r.n)
            for r in results.records
        }

    assert numbers(grown) == numbers(fresh)
    assert {r.axes.get("checkpoint") for r in grown.records} >= {20, 50, 99}
    # Other texts are read by all.
    rows = [json.dumps({"text": f"A line {n} of other text."}) for n in range(6)]
    (tmp_path / "other.jsonl").write_text("\n".join(rows))
    changed = text
    file = tmp_path / "web.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"Some text {n}."}) for n in range(6)))
    head = HEAD.replace(f"{ORGANISM}/data/web.jsonl", str(file))
    harness.run(harness.plan(load(changed, head)), tmp_path / "run3")
    file.write_text("\n".join(rows))
    other = harness.run(harness.plan(load(changed, head)), tmp_path / "run3")
    assert all(read(other)[name] for name in ("base", "ckpt.20", "ckpt.50", "ckpt.99"))
    assert any("made with other data" in text for text in other.warnings)


# ── What is wrong ────────────────────────────────────────────────────────────────────────────────


def test_no_folder_fits(wrong: Callable[..., str], tmp_path: Path) -> None:
    told = wrong()
    assert "task.toml:9: pairs.ckpt.from: no folder fits 'run/checkpoint-*'. Allowed: " in told
    assert f"relative to {tmp_path}" in told
    assert told.count("\n") == 0


def test_a_folder_that_is_no_checkpoint(wrong: Callable[..., str], tmp_path: Path) -> None:
    saved(tmp_path, 20)
    (tmp_path / "run/checkpoint-logs").mkdir()
    told = wrong(PAIR + MEASURED)
    assert "run/checkpoint-logs: is no checkpoint: it has neither config.json nor" in told
    assert told.count("\n") == 0


def test_half_written_checkpoints(wrong: Callable[..., str], tmp_path: Path) -> None:
    (saved(tmp_path, 20) / "adapter_model.safetensors").unlink()
    place = tmp_path / "run/checkpoint-30"
    shutil.copytree(ORGANISM / "tunes/sums", place)
    (place / "model.safetensors").unlink()
    cut = tmp_path / "run/checkpoint-40"
    shutil.copytree(ORGANISM / "tunes/sums", cut)
    os.truncate(cut / "model.safetensors", 5000)
    told = wrong()
    assert "checkpoint-20: has no weights (adapter_model.safetensors). Is it still being" in told
    assert "checkpoint-30: has no weights (model.safetensors). Is it still being saved" in told
    assert "checkpoint-40/model.safetensors is no whole safetensors file" in told


def test_weights_in_pieces(wrong: Callable[..., str], tmp_path: Path) -> None:
    place = tmp_path / "run/checkpoint-20"
    (place / "pytorch_model_fsdp_0").mkdir(parents=True)
    shutil.copy(ORGANISM / "base/config.json", place)
    assert "its weights are in pieces, one for each process" in wrong()


def test_two_of_one_step(wrong: Callable[..., str], tmp_path: Path) -> None:
    saved(tmp_path, 20)
    saved(tmp_path, 21, "checkpoint-0020")
    told = wrong()
    assert "checkpoint-0020 and " in told
    assert "are both of step 20. Allowed: the checkpoints of one training." in told


def test_no_step(wrong: Callable[..., str], tmp_path: Path) -> None:
    saved(tmp_path, 20, "checkpoint-last")
    assert "checkpoint-last: nothing says its step. Allowed: " in wrong()


def test_too_many(wrong: Callable[..., str], load: Callable[..., Task], tmp_path: Path) -> None:
    for step in range(10, 70, 10):
        saved(tmp_path, step)
    told = wrong(PAIR + "limit = 3\n")
    assert "6 checkpoints fit, limit allows 3. Raise limit, or take fewer: every = 20 takes" in told
    assert len(load(PAIR + "limit = 3\nevery = 20\n").spec.pairs) == 3
    assert "none of 6 checkpoints is at a multiple of every = 7" in wrong(PAIR + "every = 7\n")


def test_an_adapter_of_another_base_is_told(
    load: Callable[..., Task], tmp_path: Path, said: Callable[..., tuple[int, str, str]]
) -> None:
    file = saved(tmp_path, 20) / "adapter_config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "base_model_name_or_path": "somebody/else-7b"}))
    load()
    code, out, err = said("check", tmp_path / "task.toml")
    assert code == 0
    assert "models.ckpt.20" in out + err
    assert "somebody/else-7b" in out + err


def test_keys_that_do_not_belong(wrong: Callable[..., str], tmp_path: Path) -> None:
    saved(tmp_path, 20)
    assert "unknown key" in (told := wrong(PAIR + "evry = 2\n"))
    assert "Did you mean every?" in told
    assert "leave it out" in wrong(PAIR + 'right = "base"\n')
    assert "the axis checkpoint is the step" in wrong(PAIR + "axes = { checkpoint = 3 }\n")
    assert "pairs.ckpt" in wrong(PAIR.replace('"run/checkpoint-*"', "3"))
    taken = '[models."ckpt.20"]\npath = "x/y"\n'
    assert "comes to be models.ckpt.20, which the task has already" in wrong(PAIR + taken)


def test_what_takes_one_pair_alone(wrong: Callable[..., str], tmp_path: Path) -> None:
    for step in (20, 100):
        saved(tmp_path, step)
    told = wrong(PAIR + f'[saes.both]\npath = "{ORGANISM}/saes/resid_post.4"\npair = "ckpt"\n')
    assert "saes.both.pair: ckpt stands for 2 checkpoints, and this takes one pair" in told
    assert "Name one of them, such as ckpt.100." in told


def test_a_left_side_that_is_wrong_is_told_as_of_any_pair(
    wrong: Callable[..., str], tmp_path: Path
) -> None:
    saved(tmp_path, 20)
    told = wrong(PAIR.replace('left = "base"', 'left = "bse"') + MEASURED)
    assert "unknown view 'bse'" in told
    assert "ckpt" not in told.replace("pairs.ckpt", "")
    assert told.count("\n") <= 1


def test_one_mistake_is_told_once(wrong: Callable[..., str], tmp_path: Path) -> None:
    for step in (20, 50, 100):
        saved(tmp_path, step)
    told = wrong(PAIR.replace('data = "web"', 'data = "wbe"'))
    assert told.count("unknown data set 'wbe'") == 1
