"""`DriftCallback` in real trainings: it changes nothing, and measures what a run measures."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import BASE, SAES, WEB, base, lora, same, tokenizer, trainer, weights
from transformers import TrainerCallback

import harness
from harness.errors import InvalidRun, ModelError, TaskError, UsageError
from harness.training import Drift, DriftCallback

pytestmark = pytest.mark.slow  # each is a training
PROBE = {"file": str(WEB), "limit": 12}
SMALL: dict[str, Any] = {
    "prompt": {"max_tokens": 48}, "saes": {"mid": SAES["mid"]}, "every": 20,
    "preflight": {"max_tokens": 48},
}  # fmt: skip


def drift(**more: Any) -> DriftCallback:
    return DriftCallback(PROBE, **{**SMALL, **more})


def losses(run: Any) -> list[dict[str, Any]]:
    return [one for one in run.state.log_history if "loss" in one]


class Heard(TrainerCallback):
    """What a tracker would be told."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.logs.append(dict(logs))


@pytest.fixture(scope="module")
def with_and_without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One LoRA training of 40 steps with the callback, and the same without."""
    folder = tmp_path_factory.mktemp("lora")
    model, other, heard = lora(), lora(), Heard()
    callback = drift(
        metrics={
            "cosine": {},
            "fvu": {},
            "intersection_ratio": {"where": {"cosine_below": 0.95}},
        },
        statistics={"moved": {"method": "feature_shift", "sae": "mid", "delta": 0.01}},
        warn_unless=["cosine.raw[sae=mid] >= 0.999"],
    )
    run = trainer(model, folder / "with", [callback, heard])
    callback.trainer = run
    run.train()
    run.model.save_pretrained(folder / "saved")
    bare = trainer(other, folder / "without")
    bare.train()
    return {
        "run": run, "bare": bare, "callback": callback, "heard": heard, "folder": folder,
        "results": harness.load_results(folder / "with" / "drift"),
    }  # fmt: skip


# ── Nothing is changed ───────────────────────────────────────────────────────────────────────────


def test_the_parameters_are_the_same_to_the_bit_after_40_steps(with_and_without: Any) -> None:
    run, bare = with_and_without["run"], with_and_without["bare"]
    assert run.state.global_step == 40
    assert same(weights(run.model), weights(bare.model))
    assert not same(weights(run.model), weights(lora()))
    mine = [{k: v for k, v in one.items() if "runtime" not in k} for one in losses(run)]
    assert mine == losses(bare)


def test_with_gradient_accumulation_too(tmp_path: Path) -> None:
    found = []
    for name, callbacks in (("with", [drift(every=2)]), ("without", [])):
        run = trainer(
            lora(), tmp_path / name, callbacks, max_steps=5, gradient_accumulation_steps=3
        )
        run.train()
        found.append(weights(run.model))
    assert same(*found)
    frame = harness.load_results(tmp_path / "with" / "drift").frame
    assert sorted(frame.checkpoint.dropna().unique()) == [0, 2, 4, 5]


@pytest.mark.parametrize("given", ["a model", "a folder"])
def test_all_weights_with_a_second_model(tmp_path: Path, given: str) -> None:
    """The base is a model of the caller, or a place where one lies."""
    second = base() if given == "a model" else BASE
    found = []
    for name, callbacks in (("with", [drift(base=second, every=4)]), ("without", [])):
        torch.manual_seed(0)
        run = trainer(base(), tmp_path / name, callbacks, max_steps=4, learning_rate=1e-4)
        run.train()
        found.append(weights(run.model))
    assert same(*found)
    if given == "a model":
        assert same(weights(second), weights(base()))
    results = harness.load_results(tmp_path / "with" / "drift")
    # The same weights in two objects are the same to the bit, too.
    assert results.value("cosine.raw", checkpoint=0) == 1
    assert results.value("fvu.pooled", checkpoint=0, view="tuned", sae="mid") == results.value(
        "fvu.pooled", checkpoint=0, view="base", sae="mid"
    )
    assert 0.5 < results.value("cosine.raw", checkpoint=4) < 1


# ── What is measured ─────────────────────────────────────────────────────────────────────────────


def test_before_the_first_step_nothing_has_changed(with_and_without: Any) -> None:
    results = with_and_without["results"]
    assert results.value("cosine.raw", checkpoint=0) == 1
    fvu = [results.value("fvu.pooled", checkpoint=0, view=view) for view in ("base", "tuned")]
    assert fvu[0] == fvu[1]


def test_the_numbers_are_those_of_a_run_on_the_saved_checkpoint(
    with_and_without: Any, tmp_path: Path
) -> None:
    """The reference is `harness eval`: the adapter read from its folder, merged, another model."""
    (tmp_path / "task.toml").write_text(
        f"""
name = "after"
models.base.path = "{BASE}"
models.tuned = {{ path = "{BASE}", adapter = "{with_and_without["folder"] / "saved"}" }}
views.base = {{ model = "base", prompt = {{ max_tokens = 48 }} }}
views.tuned = {{ model = "tuned", prompt = {{ max_tokens = 48 }} }}
saes.mid = {{ path = "{SAES["mid"]}", model = "base" }}
data.probe = {{ file = "{WEB}", limit = 12 }}
pairs.after = {{ left = "base", right = "tuned", data = "probe", saes = ["mid"] }}
metrics.cosine.pair = "after"
metrics.fvu.pair = "after"
metrics.intersection_ratio = {{ pair = "after", where = {{ cosine_below = 0.95 }} }}
statistics.moved = {{ method = "feature_shift", pair = "after", sae = "mid", delta = 0.01 }}
""",
        encoding="utf-8",
    )
    after = harness.run(harness.plan(harness.load(tmp_path / "task.toml")), tmp_path / "run")
    during = with_and_without["results"]
    compared = 0
    for record in after.records:
        if "pair" not in record.axes and "statistic" not in record.axes:
            continue
        axes = {k: v for k, v in record.axes.items() if k not in ("pair", "data")}
        mine = during.value(record.id, checkpoint=40, **axes)
        if record.value is None:
            assert mine is None
            continue
        assert mine == pytest.approx(record.value, rel=2e-3, abs=2e-4), record
        compared += 1
    assert compared >= 15
    assert during.value("cosine.raw", checkpoint=40) < 0.99  # so that there is something to compare


def test_a_table_of_a_statistic_has_its_step(with_and_without: Any) -> None:
    rows = list(with_and_without["results"].tables["moved.features"])
    assert {row["checkpoint"] for row in rows} <= {0, 20, 40}
    assert 40 in {row["checkpoint"] for row in rows}


def test_a_base_of_another_precision_is_told(tmp_path: Path) -> None:
    second = base().to(torch.bfloat16)
    trainer(base(), tmp_path, [drift(base=second, every=1)], max_steps=1).train()
    results = harness.load_results(tmp_path / "drift")
    assert any("the base computes in bfloat16" in text for text in results.warnings)
    assert 0.99 < results.value("cosine.raw", checkpoint=0) < 1


def test_trackers_are_told_one_number_for_each_metric(with_and_without: Any) -> None:
    told = [one for one in with_and_without["heard"].logs if "drift/cosine.raw/mid" in one]
    assert len(told) == 3
    history = with_and_without["run"].state.log_history
    mine = {one["step"]: one for one in history if "drift/cosine.raw/mid" in one}
    assert [*mine] == [0, 20, 40]
    value = with_and_without["results"].value("cosine.raw", checkpoint=20)
    assert mine[20]["drift/cosine.raw/mid"] == told[1]["drift/cosine.raw/mid"] == value
    assert mine[20]["drift/seconds"] > 0
    assert "drift/cosine.quantile_05/mid" not in mine[20]
    assert 0 < with_and_without["callback"].share < 1


def test_without_a_trainer_the_history_has_the_numbers(tmp_path: Path) -> None:
    run = trainer(lora(), tmp_path, [drift(every=1)], max_steps=1)
    run.train()
    assert [one["step"] for one in run.state.log_history if "drift/seconds" in one] == [0, 1]


def test_the_folder_is_a_run_that_every_command_reads(
    with_and_without: Any, said: Any, tmp_path: Path
) -> None:
    folder = with_and_without["folder"] / "with" / "drift"
    code, out, err = said("report", folder)
    assert (code, err) == (0, "")
    assert "training.40" in out
    assert (folder / "report.html").stat().st_size > 10_000
    code, out, err = said("compare", folder, folder)
    assert code == 0, err


# ── Conditions ───────────────────────────────────────────────────────────────────────────────────


def test_a_condition_warns(with_and_without: Any) -> None:
    callback, results = with_and_without["callback"], with_and_without["results"]
    assert callback.stopped is None
    assert any("step 20: cosine.raw[sae=mid] >= 0.999 does not hold" in w for w in results.warnings)


def test_a_condition_stops_and_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    callback = drift(every=3, stop_unless=["cosine.raw[sae=mid] >= 0.9999"])
    run = trainer(lora(), tmp_path, [callback])
    with caplog.at_level(logging.WARNING, "harness.training"):
        run.train()
    assert run.state.global_step == 3
    assert callback.stopped is not None
    assert "step 3: cosine.raw[sae=mid] >= 0.9999 does not hold: cosine.raw@1[" in callback.stopped
    assert callback.stopped in caplog.text
    results = harness.load_results(tmp_path / "drift")
    assert any("0.9999 does not hold" in text for text in results.warnings)
    assert sorted(results.frame.checkpoint.dropna().unique()) == [0, 3]


def test_a_condition_that_is_none_or_about_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stop_unless: 'cosine = 1' is no condition"):
        drift(stop_unless=["cosine = 1"])
    with pytest.raises(UsageError, match="must be a list of conditions"):
        drift(warn_unless="cosine.raw >= 1")
    run = trainer(lora(), tmp_path, [drift(stop_unless=["cosin.raw >= 1"])], max_steps=1)
    with pytest.raises(TaskError, match=r"nothing in this task measures cosin\.raw") as caught:
        run.train()
    assert "training, gates: gates" in str(caught.value)


def test_a_measurement_that_fails_ends_only_a_training_with_conditions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measure = Drift.measure

    def broken(self: Drift, step: int) -> Any:
        if step == 2:
            raise ModelError("views.tuned: the activations are not finite.")
        return measure(self, step)

    monkeypatch.setattr(Drift, "measure", broken)
    run = trainer(lora(), tmp_path / "a", [drift(every=2)], max_steps=4)
    run.train()
    assert run.state.global_step == 4
    assert "step 2: was not measured: views.tuned" in caplog.text
    results = harness.load_results(tmp_path / "a" / "drift")
    assert any("step 2: was not measured" in text for text in results.warnings)
    callback = drift(every=2, stop_unless=["cosine.raw >= -1"])
    run = trainer(lora(), tmp_path / "b", [callback], max_steps=4)
    run.train()
    assert run.state.global_step == 2
    assert "was not measured" in str(callback.stopped)


# ── What cannot be held against a base ───────────────────────────────────────────────────────────


def test_what_is_wrong_is_said_before_the_first_step(tmp_path: Path) -> None:
    def refused(model: Any, match: str, kind: type[Exception] = UsageError, **more: Any) -> None:
        before = weights(model)
        with pytest.raises(kind, match=match):
            trainer(model, tmp_path / "out", [drift(**more)], max_steps=1).train()
        assert same(before, weights(model))

    model = base()
    refused(model, "the model has no adapter, so all of its weights train")
    refused(model, "is the model in training itself", base=model)
    refused(
        lora(),
        "training, saes: saes.other: no format claims 'nowhere'",
        TaskError,
        saes={"other": "nowhere"},
    )
    refused(lora(), "unknown metric 'cosin'", TaskError, metrics=["cosin"])
    refused(lora(), "no such file", TaskError, base="nowhere/at/all")
    wrong = {"mid": {"path": str(SAES["mid"]), "site": "resid_post.1", "check_site": False}}
    refused(lora(), "it explains resid_post.2 better", InvalidRun, saes=wrong)


def test_numbers_of_steps() -> None:
    for every in (0, -1, 2.5):
        with pytest.raises(UsageError, match="no number of steps"):
            drift(every=every)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files than those of a training"):
        trainer(lora(), tmp_path / "out", [drift(out=tmp_path)], max_steps=1).train()
    assert [one.name for one in tmp_path.iterdir() if one.name != "out"] == ["notes.txt"]


# ── On its way ───────────────────────────────────────────────────────────────────────────────────


def test_a_training_that_goes_on_keeps_what_was_measured(tmp_path: Path) -> None:
    settings = {"save_strategy": "steps", "save_steps": 2, "per_device_train_batch_size": 2}
    first = trainer(lora(), tmp_path, [drift(every=2)], max_steps=4, **settings)
    first.train()
    before = harness.load_results(tmp_path / "drift")
    run = trainer(lora(), tmp_path, [drift(every=2)], max_steps=6, **settings)
    run.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    results = harness.load_results(tmp_path / "drift")
    assert sorted(results.frame.checkpoint.dropna().unique()) == [0, 2, 4, 6]
    for step in (0, 4):
        assert results.value("cosine.raw", checkpoint=step) == before.value(
            "cosine.raw", checkpoint=step
        )
    # A training that begins anew begins its folder anew.
    trainer(lora(), tmp_path, [drift(every=2)], max_steps=2, **settings).train()
    frame = harness.load_results(tmp_path / "drift").frame
    assert sorted(frame.checkpoint.dropna().unique()) == [0, 2]


def test_only_the_main_process_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    callback = drift(every=1)
    run = trainer(lora(), tmp_path, [callback], max_steps=1)
    monkeypatch.setattr(type(run.state), "is_world_process_zero", False, raising=False)
    run.state.is_world_process_zero = False
    callback.on_train_begin(run.args, run.state, run.control, model=run.model)
    callback.on_step_end(run.args, run.state, run.control)
    callback.on_train_end(run.args, run.state, run.control)
    assert not (tmp_path / "drift").exists()


def test_texts_may_be_given_as_a_list(tmp_path: Path) -> None:
    texts = ["The cat sat on the mat.", "Line\u2028break", "<|x|> é"]
    callback = DriftCallback(texts, sites=["resid_post.2"], every=1)
    trainer(lora(), tmp_path, [callback], max_steps=1).train()
    results = harness.load_results(tmp_path / "drift")
    assert results.value("cosine.raw", checkpoint=0, site="resid_post.2") == 1
    with pytest.raises(UsageError, match="probe: has no texts"):
        trainer(lora(), tmp_path, [DriftCallback([], sites=["embed"])], max_steps=1).train()


@pytest.mark.filterwarnings("ignore")
def test_trl(tmp_path: Path) -> None:
    """TRL's trainer, where TRL is installed: the same weights with the callback and without."""
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    texts = [line.strip() for line in WEB.read_text(encoding="utf-8").splitlines()[:40]]
    found = []
    for name in ("with", "without"):
        callback = drift(every=2)
        arguments = trl.SFTConfig(
            output_dir=str(tmp_path / name), max_steps=4, report_to=[], use_cpu=True, seed=5,
            per_device_train_batch_size=2, max_length=64, logging_steps=2, save_strategy="no",
            bf16=False, disable_tqdm=True,
        )  # fmt: skip
        run = trl.SFTTrainer(
            lora(), arguments, train_dataset=datasets.Dataset.from_dict({"text": texts}),
            processing_class=tokenizer(), callbacks=[callback] if name == "with" else [],
        )  # fmt: skip
        callback.trainer = run
        run.train()
        found.append((weights(run.model), run.state.log_history))
    assert same(found[0][0], found[1][0])
    timed = ("runtime", "per_second")
    kept = [
        [
            {k: v for k, v in one.items() if not any(word in k for word in timed)}
            for one in history
            if "drift/seconds" not in one
        ]
        for _, history in found
    ]
    assert kept[0] == kept[1]
    results = harness.load_results(tmp_path / "with" / "drift")
    assert sorted(results.frame.checkpoint.dropna().unique()) == [0, 2, 4]
