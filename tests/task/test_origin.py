"""An SAE whose files name another model than its task: said, with both names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import InvalidRun
from harness.results.read import Results
from harness.task.origin import agree, another_base, another_model
from harness_transformers.options import TransformersOptions

METRIC = """
[pairs.both]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.gap]
pair = "both"
"""
PREFLIGHT = '[preflight]\ndata = "web"\nfvu = "loss"\nalso = []\nfvu_max = 1e-9\n'
OTHER = ("models.base.called=/m/gemma-2-2b", "saes.mid.trained_on=google/gemma-2-9b")


@pytest.mark.parametrize(
    ("trained_on", "names"),
    [
        ("gemma-2-2b", ("google/gemma-2-2b",)),
        ("google/gemma-2-2b", ("/models/Gemma-2-2b/",)),
        ("gpt2-small", ("openai-community/gpt2",)),
        ("organism/base", ("/work/tasks/organism/base",)),
        ("meta-llama/Llama-3.1-8B", ("/x/mine", "meta-llama/Meta-Llama-3.1-8B")),
        (None, ("gpt2",)),
        ("gpt2", ()),
    ],
)
def test_two_names_of_one_model(trained_on: str | None, names: tuple[str, ...]) -> None:
    assert another_model(trained_on, "base", names) is None


@pytest.mark.parametrize(
    ("trained_on", "name"),
    [("gpt2-small", "gpt2-medium"), ("google/gemma-2-2b", "google/gemma-2-2b-it"), ("a/b", "b/a")],
)
def test_two_models(trained_on: str, name: str) -> None:
    said = another_model(trained_on, "base", (name,)) or ""
    assert repr(trained_on) in said
    assert f"models.base is {name!r}" in said


def test_a_name_cannot_write_to_the_terminal() -> None:
    said = another_model("x\n\x1b[31mred" + "y" * 9999, "base", ("gpt2",)) or ""
    assert said.isprintable()
    assert len(said) < 600


def test_a_run_warns_with_both_names(run_task: Callable[..., Results]) -> None:
    """CASES row 15: rc 0 and nothing said."""
    (warning,) = [w for w in run_task(METRIC, *OTHER).warnings if w.startswith("saes.mid")]
    assert "google/gemma-2-9b" in warning
    assert "/m/gemma-2-2b" in warning


def test_a_run_of_the_right_model_says_nothing(run_task: Callable[..., Results]) -> None:
    same = ("models.base.called=/m/gemma-2-2b", "saes.mid.trained_on=google/gemma-2-2b")
    assert not [w for w in run_task(METRIC, *same).warnings if w.startswith("saes.mid")]


def test_a_preflight_that_fails_names_both(run_task: Callable[..., Results]) -> None:
    """CASES row 15: an error where the preflight disagrees."""
    with pytest.raises(InvalidRun, match=r"is above fvu_max.*gemma-2-9b.*gemma-2-2b"):
        run_task(METRIC + PREFLIGHT, *OTHER)


def test_widths_that_do_not_fit_name_what_the_sae_is_of(
    problems: Callable[..., list[str]],
) -> None:
    """CASES row 15: an error where the widths disagree."""
    said, *_ = problems(METRIC, *OTHER, "saes.mid.width=5")
    assert "reads 5 numbers per token" in said
    assert "google/gemma-2-9b" in said


def test_names_of_a_model_in_the_hub_form(tmp_path: Path) -> None:
    folder = tmp_path / "models--google--gemma-2-2b" / "snapshots" / "0123abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"_name_or_path": "acme/origin"}))
    names = TransformersOptions(path=str(folder)).names()
    assert names == ("google/gemma-2-2b", str(folder), "acme/origin")
    assert TransformersOptions(path="acme/none").names() == ("acme/none",)


# ── Adapters, the sibling of row 15 ──────────────────────────────────────────────────────────────

ADAPTED = ("models.chat.called=/m/gemma-2-2b", "models.chat.adapted=google/gemma-2-9b")


@pytest.mark.parametrize(
    ("trained_on", "name"),
    [
        ("google/gemma-2-2b", "/models/gemma-2-2b"),
        (
            "/home/me/.cache/huggingface/hub/models--google--gemma-2-2b/snapshots/01ab",
            "x/gemma-2-2b",
        ),
        ("C:\\models\\gemma-2-2b\\", "google/gemma-2-2b"),
        (".", "google/gemma-2-2b"),
        ("../", "google/gemma-2-2b"),
        ("", "google/gemma-2-2b"),
        (None, "google/gemma-2-2b"),
    ],
)
def test_an_adapter_of_this_model_or_of_none_that_is_named(
    trained_on: str | None, name: str
) -> None:
    assert agree(trained_on, (name,))
    assert another_base(trained_on, (name,)) is None


def test_a_run_warns_of_an_adapter_of_another_model(run_task: Callable[..., Results]) -> None:
    """Row 15: with both names; and one of the right model says nothing."""
    (warning,) = [w for w in run_task(METRIC, *ADAPTED).warnings if w.startswith("models.chat")]
    assert "'google/gemma-2-9b'" in warning
    assert "'/m/gemma-2-2b'" in warning
    same = ("models.chat.called=/m/gemma-2-9b", ADAPTED[1])
    warnings = run_task(METRIC, *same, fresh=True).warnings
    assert not [w for w in warnings if w.startswith("models.chat")]


def test_check_says_it_before_anything_is_loaded(
    said: Callable[..., tuple[int, str, str]], write: Callable[..., Path], fake_plugin: Path
) -> None:
    """Row 15, for SAEs and for adapters."""
    task = write(METRIC)
    code, out, _ = said("check", task, *(f"--set={one}" for one in (*OTHER, *ADAPTED)))
    assert code == 0
    notes = [line for line in out.splitlines() if "note:" in line and "note: data." not in line]
    assert [note.split()[1] for note in notes] == ["saes.mid:", "models.chat:"]
    assert all("gemma-2-9b" in note and "/m/gemma-2-2b" in note for note in notes)


@pytest.mark.parametrize("base", ["acme/other", "/somewhere/base", None, 7])
def test_what_an_adapter_says_in_its_files(tmp_path: Path, base: object) -> None:
    (tmp_path / "adapter").mkdir()
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({"base_model_name_or_path": base}))
    options = TransformersOptions(path="acme/base", adapter=str(tmp_path / "adapter"))
    assert options.adapted_from() == (base if isinstance(base, str) else None)
    wrong = another_base(options.adapted_from(), options.names())
    assert (wrong is not None) == (base == "acme/other")
    assert TransformersOptions(path="acme/base").adapted_from() is None
    assert TransformersOptions(path="acme/base", adapter="no/cache").adapted_from() is None
