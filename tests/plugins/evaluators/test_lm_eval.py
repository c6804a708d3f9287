"""lm-eval on the organism: its own numbers, under edits, and nothing asked twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.contract import Arm, Direction, Outcome, Receipt, Tools
from harness.contract.sites import parse_site
from harness.errors import ModelError
from harness.results.intervals import wilson
from harness_evaluators.lm_eval.benchmark import LmEval
from harness_evaluators.lm_eval.model import own_generation
from harness_evaluators.lm_eval.options import LmEvalOptions as Given
from harness_interventions import options as interventions
from harness_interventions.ablation import Ablation
from harness_interventions.addition import Addition
from harness_transformers.backend import TransformersBackend
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

ORGANISM = Path(__file__).parents[3] / "tasks" / "organism"
QUESTIONS = ORGANISM / "data" / "questions"
DOMAINS = ["law", "math"]
pytestmark = pytest.mark.slow
BASE: dict[str, Any] = {
    "tasks": [f"organism_{domain}" for domain in DOMAINS],
    "include_path": str(QUESTIONS),
    "apply_chat_template": False,
    "num_fewshot": 2,
    "limit": 3,
    "batch_size": 2,
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares each run the second in which lm-eval asks pip and git of the machine."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


@pytest.fixture(scope="module")
def base() -> TransformersModel:
    return TransformersBackend(TransformersOptions(path=str(ORGANISM / "base"))).load()


def given(**more: Any) -> Given:
    return Given.model_validate({**BASE, **more})


def ask(model: Any, folder: Path, **more: Any) -> Outcome:
    return LmEval(given(**more)).run(model, folder, Tools(seed=5))


def value(outcome: Outcome, id: str, **axes: str) -> float | None:
    (record,) = [r for r in outcome.records if r.id == f"{id}@1" and r.axes == axes]
    return record.value


def answers(outcome: Outcome) -> dict[tuple[str, int], str]:
    return {(row["domain"], row["question"]): row["response"] for row in outcome.tables["samples"]}


@contextmanager
def counted(model: TransformersModel) -> Iterator[list[int]]:
    """The number of forwards of the whole model."""
    seen: list[int] = []
    handle = model.hf.register_forward_hook(lambda *_: seen.append(1))
    try:
        yield seen
    finally:
        handle.remove()


def direction(model: TransformersModel, site: str = "resid_post.4") -> Direction:
    vector = np.random.default_rng(0).normal(size=(1, model.facts.d_model or 0))
    return Direction(parse_site(site), vector)


def added(model: TransformersModel, coefficient: float) -> Arm:
    addition = Addition(interventions.AdditionOptions(coefficient=coefficient))
    return addition.arm("added", direction(model), model.facts, model.dtype)


def ablated(model: TransformersModel) -> Arm:
    ablation = Ablation(interventions.AblationOptions())
    return ablation.arm("ablated", direction(model), model.facts, model.dtype)


# ── Its own numbers ──────────────────────────────────────────────────────────────────────────────


def test_numbers_are_those_of_its_own_command_line(base: TransformersModel, tmp_path: Path) -> None:
    outcome = ask(base, tmp_path / "ours", tasks=["organism"], num_fewshot=None, limit=2)
    samples: dict[str, list[int]] = {}
    for row in outcome.tables["samples"]:
        samples.setdefault(f"organism_{row['domain']}", []).append(row["question"])
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--tasks", "organism",
        "--model_args", f"pretrained={ORGANISM / 'base'},dtype=float32", "--device", "cpu",
        "--include_path", str(QUESTIONS), "--batch_size", "1", "--samples", json.dumps(samples),
        "--output_path", str(tmp_path / "theirs"), "--log_samples",
    ]  # fmt: skip
    # By itself it takes relative files from where it was started.
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=_offline(), cwd=QUESTIONS
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = (tmp_path / "theirs").rglob("results_*.json")
    theirs = json.loads(file.read_text())
    for domain in [name.removeprefix("organism_") for name in samples]:
        found = theirs["results"][f"organism_{domain}"]
        assert value(outcome, "accuracy", task="organism", domain=domain) == pytest.approx(
            found["exact_match,custom-extract"], abs=0
        )
        (row,) = [r for r in outcome.tables["scores"] if r["domain"] == domain]
        assert row["standard_error"] == found["exact_match_stderr,custom-extract"]
    whole = theirs["groups"]["organism"]["exact_match,custom-extract"]
    assert value(outcome, "accuracy", task="organism") == pytest.approx(whole, abs=1e-12)
    said = {}
    for file in (tmp_path / "theirs").rglob("samples_*.jsonl"):
        for line in file.read_text().splitlines():
            sample = json.loads(line)
            said[sample["doc"]["category"], sample["doc_id"]] = sample["resps"][0][0]
    assert answers(outcome) == said
    ours = json.loads((tmp_path / "ours" / "results.json").read_text())
    assert ours["results"] == theirs["results"]


def _offline() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def test_records_and_tables(base: TransformersModel, tmp_path: Path) -> None:
    done: list[int] = []
    outcome = LmEval(given(tasks=["organism"], limit=1)).run(
        base, tmp_path, Tools(seed=5, tick=done.append)
    )
    assert sum(done) == 9
    rows = outcome.tables["samples"]
    right = sum(row["right"] for row in rows)
    (whole,) = [r for r in outcome.records if r.id == "accuracy@1" and "domain" not in r.axes]
    assert (whole.value, whole.n, whole.axes) == (right / 9, 9, {"task": "organism"})
    assert whole.ci == wilson(right, 9)
    assert whole.options["num_fewshot"] == 2
    assert whole.options["metric"] == "exact_match"
    assert {r.axes.get("domain") for r in outcome.records} == {
        None, "biology", "business", "chemistry", "economics", "health", "history", "law", "math",
        "physics",
    }  # fmt: skip
    assert {row["domain"]: row["version"] for row in outcome.tables["tasks"]}["law"] == "1.0"
    assert (tmp_path / "samples_organism_law.jsonl").read_text().count("\n") == 1
    assert json.loads((tmp_path / "results.json").read_text())["n-samples"]["organism_law"] == {
        "original": 40, "effective": 1,
    }  # fmt: skip


def test_questions_are_drawn_by_the_seed(base: TransformersModel, tmp_path: Path) -> None:
    drawn = {seed: ask(base, tmp_path / str(seed), seed=seed) for seed in (1, 2)}
    again = ask(base, tmp_path / "again", seed=1)
    asked = {seed: list(answers(outcome)) for seed, outcome in drawn.items()}
    assert asked[1] == list(answers(again))
    assert asked[1] != asked[2]
    law = [question for domain, question in asked[1] if domain == "law"]
    assert law == sorted(law) != [0, 1, 2]
    # lm-eval's numbers of questions are rows of the data, whatever was drawn.
    rows = (QUESTIONS / "law_test.jsonl").read_text().splitlines()
    for row in drawn[1].tables["samples"]:
        if row["domain"] == "law":
            document = json.loads(rows[row["question"]])
            assert row["target"] == document["options"][document["answer_index"]]


# ── Under edits ──────────────────────────────────────────────────────────────────────────────────


def test_strength_zero_is_no_edit(base: TransformersModel, tmp_path: Path) -> None:
    plain = ask(base, tmp_path / "plain")
    with base.edited([added(base, 0.0)]) as receipts:
        zero = ask(base, tmp_path / "zero")
    assert receipts[0].fired > 0
    assert receipts[0].changed == 0
    assert zero.records == plain.records
    assert zero.tables["samples"] == plain.tables["samples"]


@pytest.mark.parametrize("make", [lambda model: added(model, 5.0), ablated])
def test_every_forward_is_edited(base: TransformersModel, tmp_path: Path, make: Any) -> None:
    plain = ask(base, tmp_path / "plain")
    arm = make(base)
    with counted(base) as forwards, base.edited([arm]) as receipts:
        edited = ask(base, tmp_path / "edited")
    assert receipts[0].fired == len(forwards) * len(arm.edits)
    assert receipts[0].changed > 0
    assert not receipts[0].broken
    # One direction in 128 is not missed; five times its length is.
    assert (answers(edited) != answers(plain)) == (arm.name == "added")


def test_edits_that_differ_per_row_are_refused(base: TransformersModel, tmp_path: Path) -> None:
    arms = [Arm("none"), added(base, 1.0)]
    with base.edited(arms), pytest.raises(ModelError, match="several arms are active"):
        ask(base, tmp_path)
    assert ask(base, tmp_path).records  # and all hooks are gone


# ── Nothing is asked twice ───────────────────────────────────────────────────────────────────────


def test_finished_tasks_are_not_asked_again(base: TransformersModel, tmp_path: Path) -> None:
    first = ask(base, tmp_path)
    with counted(base) as forwards:
        again = ask(base, tmp_path)
    assert not forwards
    assert (again.records, again.tables) == (first.records, first.tables)
    law = tmp_path / "answers" / "organism_law.generate_until.json"
    math = tmp_path / "answers" / "organism_math.generate_until.json"
    kept = math.read_bytes()
    for torn in (b"", law.read_bytes()[:-20], b'{"key": 1}'):
        law.write_bytes(torn)
        with counted(base) as forwards:
            assert ask(base, tmp_path).records == first.records
        assert forwards
        assert math.read_bytes() == kept


@pytest.mark.parametrize(
    "change", [{"max_new_tokens": 3}, {"num_fewshot": 1}, {"seed": 7}, {"limit": 4}]
)
def test_other_requests_are_asked(
    base: TransformersModel, tmp_path: Path, change: dict[str, int]
) -> None:
    ask(base, tmp_path, tasks=["organism_law"])
    with counted(base) as forwards:
        ask(base, tmp_path, tasks=["organism_law"], **change)
    assert forwards


def test_another_model_is_asked(base: TransformersModel, tmp_path: Path) -> None:
    ask(base, tmp_path, tasks=["organism_law"])

    class Tuned:
        native = base.native
        dtype = base.dtype
        fingerprint = "of other weights"

    with counted(base) as forwards:
        ask(Tuned(), tmp_path, tasks=["organism_law"])
    assert forwards


def test_what_the_edits_did_is_kept_with_every_task(
    base: TransformersModel, tmp_path: Path
) -> None:
    """Each time that answers are written, the receipt so far is whole, and changes no sum."""
    seen: list[tuple[int, Receipt]] = []
    answers = tmp_path / "answers"
    with base.edited([added(base, 5.0)]) as receipts:
        tools = Tools(seed=5, kept=lambda: seen.append((len([*answers.iterdir()]), receipts[0])))
        LmEval(given()).run(base, tmp_path, tools)
    assert [count for count, _ in seen] == [1, 2]
    with base.edited([added(base, 5.0)]) as alone:
        ask(base, tmp_path / "law", tasks=["organism_law"])
    with base.edited([added(base, 5.0)]) as never_read:
        ask(base, tmp_path / "both")
    assert seen[0][1] == alone[0]
    assert seen[1][1] == receipts[0] == never_read[0]
    assert alone[0].fired < receipts[0].fired


def test_a_crash_keeps_the_finished_tasks(base: TransformersModel, tmp_path: Path) -> None:
    seen: list[int] = []

    def tick(done: int) -> None:
        seen.append(done)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LmEval(given()).run(base, tmp_path, Tools(seed=5, tick=tick))
    assert [f.name for f in (tmp_path / "answers").iterdir()] == [
        "organism_law.generate_until.json"
    ]
    resumed, fresh = ask(base, tmp_path), ask(base, tmp_path / "fresh")
    assert resumed.records == fresh.records


# ── What surrounds it ────────────────────────────────────────────────────────────────────────────


def test_nothing_is_said(
    base: TransformersModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ask(base, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_said_outside_of_a_repository(
    base: TransformersModel,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Git said "fatal: not a git repository" in the middle of a run, below Python's stderr."""
    monkeypatch.undo()  # lm-eval asks of the machine what it asks
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    ask(base, tmp_path / "run", tasks=["organism_law"], limit=1)
    assert capfd.readouterr() == ("", "")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["git_hash"] is None


def test_the_tokenizer_and_the_settings_stay_as_they_were(
    base: TransformersModel, tmp_path: Path
) -> None:
    before = (base.hf.generation_config, base.tokenizer.padding_side, base.tokenizer.pad_token)
    ask(base, tmp_path, tasks=["organism_law"])
    after = (base.hf.generation_config, base.tokenizer.padding_side, base.tokenizer.pad_token)
    assert after == before


def test_the_checkpoints_own_generation_settings_count(tmp_path: Path) -> None:
    folder = shutil.copytree(ORGANISM / "base", tmp_path / "model")
    settings = {"eos_token_id": 2, "repetition_penalty": 1.3}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    model = TransformersBackend(TransformersOptions(path=str(folder))).load()
    with own_generation(model.hf) as special:
        assert model.hf.generation_config.repetition_penalty == 1.3
    assert special["repetition_penalty"] == 1.3
    assert model.hf.generation_config.repetition_penalty != 1.3
    (folder / "generation_config.json").unlink()
    with own_generation(model.hf):
        assert model.hf.generation_config.eos_token_id == model.hf.config.eos_token_id


def test_the_length_that_was_asked_for_counts(base: TransformersModel, tmp_path: Path) -> None:
    """The organism's checkpoint says 48 itself, and transformers lets that overrule lm-eval."""
    short = ask(base, tmp_path, tasks=["organism_law"], max_new_tokens=3)
    for row in short.tables["samples"]:
        assert len(base.encode(row["response"], special=False)) <= 3
    assert "max_new_tokens" not in short.tables["tasks"][0]["checkpoint_generation"]


def test_a_checkpoint_that_overrules_the_task_is_loud(
    base: TransformersModel, tmp_path: Path
) -> None:
    tasks = tmp_path / "tasks"
    shutil.copytree(QUESTIONS, tasks)
    template = tasks / "_default_template_yaml"
    template.write_text(template.read_text().replace("max_gen_toks: 48", "max_gen_toks: 64"))
    more = {"tasks": ["organism_law"], "include_path": str(tasks)}
    (warning,) = ask(base, tmp_path / "own", **more).tables["warnings"]
    assert "max_new_tokens = 48, which in lm-eval overrules the task's 64" in warning["warning"]
    assert "warnings" not in ask(base, tmp_path / "ours", **more, max_new_tokens=64).tables


def test_a_backend_without_transformers_is_refused(tmp_path: Path) -> None:
    class Other:
        native = None

    with pytest.raises(ModelError, match="has no transformers model to give"):
        ask(Other(), tmp_path)


def test_a_chat_template_that_is_not_there(base: TransformersModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer has no chat template\. Set apply"):
        ask(base, tmp_path, apply_chat_template=True)


def test_chat_and_turns_reach_the_prompt(tmp_path: Path) -> None:
    chat = TransformersBackend(TransformersOptions(path=str(ORGANISM / "chat"))).load()
    prompts = {}
    for turns in (True, False):
        ask(
            chat, tmp_path / str(turns), tasks=["organism_law"], limit=1, max_new_tokens=2,
            apply_chat_template=True, fewshot_as_multiturn=turns,
        )  # fmt: skip
        file = tmp_path / str(turns) / "samples_organism_law.jsonl"
        prompts[turns] = json.loads(file.read_text())["arguments"][0][0]
    assert prompts[True].count("<|assistant|>") == 3  # two solved examples, and the question
    assert prompts[False].count("<|assistant|>") == 1


def test_native_gives_transformers_own(base: TransformersModel) -> None:
    assert base.native.model is base.hf
    assert base.native.tokenizer is base.tokenizer


# ── Likelihoods ──────────────────────────────────────────────────────────────────────────────────


def test_likelihoods_pick_the_likeliest_option(base: TransformersModel, tmp_path: Path) -> None:
    documents = [
        {"q": "The capital of Tuha is", "options": ["Pave", "Moze", "Rebi"], "right": i % 3}
        for i in range(4)
    ]
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    rows = "".join(json.dumps(document) + "\n" for document in documents)
    (tasks / "rows.jsonl").write_text(rows)
    (tasks / "pick.yaml").write_text(
        json.dumps(
            {
                "task": "pick",
                "dataset_path": "json",
                "output_type": "multiple_choice",
                "dataset_kwargs": {"data_files": {"test": str(tasks / "rows.jsonl")}},
                "test_split": "test",
                "doc_to_text": "{{q}}",
                "doc_to_choice": "{{options}}",
                "doc_to_target": "{{right}}",
                "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            }
        )
    )
    done: list[int] = []
    more = {"tasks": ["pick"], "include_path": str(tasks), "limit": None, "num_fewshot": 0}
    outcome = LmEval(given(**more)).run(base, tmp_path / "run", Tools(seed=5, tick=done.append))
    assert done == [1] * 4  # questions, of three requests each
    scores = []
    for option in documents[0]["options"]:
        context = base.encode(documents[0]["q"])
        whole = base.encode(f"{documents[0]['q']} {option}")
        assert whole[: len(context)] == context
        with torch.no_grad():
            logits = base.hf(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        places = range(len(context) - 1, len(whole) - 1)
        scores.append(sum(float(logits[i, whole[i + 1]]) for i in places))
    best = int(np.argmax(scores))
    right = [document["right"] == best for document in documents]
    assert [row["right"] for row in outcome.tables["samples"]] == right
    invalid = [r for r in outcome.records if r.id == "invalid_answers@1"]
    assert invalid[0].undefined == "pick extracts no answer by a pattern"
    assert {r.axes["domain"] for r in outcome.records} == {"pick"}
    with counted(base) as forwards:
        again = ask(
            base, tmp_path / "run", tasks=["pick"], include_path=str(tasks), limit=None,
            num_fewshot=0,
        )  # fmt: skip
    assert not forwards
    assert again.records == outcome.records


@pytest.mark.parametrize("edited", [False, True])
def test_asked_in_parts_nothing_is_asked_again_and_all_is_the_same(
    base: TransformersModel, tmp_path: Path, edited: bool
) -> None:
    def edits() -> AbstractContextManager[Any]:
        return base.edited([ablated(base)]) if edited else nullcontext()

    benchmark, tools = LmEval(given()), Tools(seed=5)
    with edits():
        whole = benchmark.run(base, tmp_path / "whole", tools)
    parted = LmEval(given())
    names = parted.parts(tmp_path / "parts", tools)
    assert names == [f"organism_{domain}" for domain in DOMAINS]
    for name in reversed(names):
        with edits():
            parted.ask(name, base, tmp_path / name, tools)
        answers = tmp_path / name / "answers"
        shutil.copytree(answers, tmp_path / "arm" / "answers", dirs_exist_ok=True)
    with counted(base) as forwards, edits():
        found = parted.run(base, tmp_path / "arm", tools)
    assert not forwards
    assert (found.records, found.tables) == (whole.records, whole.tables)
