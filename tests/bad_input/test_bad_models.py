"""Models and SAEs whose files are damaged or do not fit the task, and models that do not behave."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import fakes
from harness.results.read import load_results
from harness.task.file import task_folders

from .conftest import EXPERIMENT, Said, Write, clear

ORGANISM = task_folders()[0] / "organism"
REAL = """\
name = "real"
[models.base]
path = "base"
[views.base]
model = "base"
[saes.mid]
path = "sae"
model = "base"
site = "resid_post.4"
[data.web]
file = "web.jsonl"
limit = 3
[metrics.l0]
view = "base"
data = "web"
saes = ["mid"]
"""


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A task on copies of the organism's base model and an SAE of it."""
    for name, source in (("base", "base"), ("sae", "saes/resid_post.4")):
        shutil.copytree(ORGANISM / source, tmp_path / name)
    shutil.copyfile(ORGANISM / "data" / "web.jsonl", tmp_path / "web.jsonl")
    (tmp_path / "real.toml").write_text(REAL)
    return tmp_path / "real.toml"


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def not_finite(file: Path) -> None:
    tensors = load_file(file)
    name = max(tensors, key=lambda one: tensors[one].numel())
    tensors[name].view(-1)[5] = torch.nan
    save_file(tensors, file, {"format": "pt"})


def garbage(file: Path) -> None:
    file.write_bytes(b"\xff" * 100)


@pytest.mark.parametrize(
    ("damaged", "damage", "parts"),
    [
        ("sae/sae_weights.safetensors", cut_off, [r"saes\.mid|SAE", "sae_weights"]),
        ("sae/sae_weights.safetensors", garbage, [r"saes\.mid|SAE", "sae_weights"]),
        ("sae/sae_weights.safetensors", not_finite, ["W_", "finite|NaN"]),
        ("base/model.safetensors", cut_off, ["model.safetensors"]),
        ("base/model.safetensors", garbage, ["model.safetensors"]),
        ("base/model.safetensors", not_finite, [r"base.*finite|NaN"]),
        ("base/config.json", garbage, ["config.json"]),
        ("base/tokenizer.json", garbage, ["token"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_damaged_files_are_named(
    said: Said, real: Path, tmp_path: Path, damaged: str, damage: Callable[[Path], None],
    parts: list[str],
) -> None:  # fmt: skip
    damage(tmp_path / damaged)
    code, _, err = said("eval", real, "--out", tmp_path / "run")
    assert code == 2, err
    clear(err, *parts)
    assert not (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["saes.mid.site=resid_post.6", "saes.mid.check_site=false"],
         [r"saes\.mid\.site: resid_post\.6 is deeper than base, which has 6 blocks"]),
        (["metrics.l0.saes=[]"], [r"metrics\.l0: .*l0 measures an SAE, and there is none"]),
        (["views.base.prompt={style='chat'}"], [r"views\.base\.prompt: .*no chat template.*plain"]),
        (["data.solved.file=web.jsonl", "data.solved.limit=40",
          "views.base.prompt={demonstrations={data='solved', count=40, answer='text'}}"],
         [r"views\.base\.prompt: example .*tokens, \d+ of them before the query, with its 40 ex"
          r"amples\. Allowed: \d+, the context of",
          r"Show fewer \(prompt\.demonstrations\.count\)"]),
        (["views.base.prompt={demonstrations={data='web', count=4, answer='text'}}"],
         [r"data\.web: has 3 rows, and 4 demonstrations are wanted\. Lower the count"]),
        (["views.base.prompt={template='{quesiton}'}"],
         [r"views\.base\.prompt: .*column 'quesiton' does not exist\. Allowed: .*text"]),
        (["data.web.column=id"], [r"data\.web: row 1 of .* has no column 'id'\. It has: text"]),
        (["models.base.device=cuda:77"], ["device 'cuda:77' cannot be used"]),
        (["models.base.dtype=float8"], [r"models\.base\.dtype: .*bfloat16"]),
        (["saes.mid.path=sae/resid_post.4.width_999"], ["no such file or folder"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_said(
    said: Said, real: Path, tmp_path: Path, overrides: list[str], parts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    flags = [word for one in overrides for word in ("--set", one)]
    code, _, err = said("eval", real, "--out", tmp_path / "run", *flags)
    assert code == 2, err
    clear(err, *parts)
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_module_that_is_not_there_is_named_with_one_that_is(
    said: Said, real: Path, tmp_path: Path
) -> None:
    """A path that looks like none of our kinds can only be known to be wrong by the model."""
    pair = '[pairs.p]\nleft = "base"\nright = "base"\ndata = "web"\nsites = ["model.layer.2.mlp"]\n'
    real.write_text(REAL.partition("[metrics")[0] + pair + '[metrics.cosine]\npair = "p"\n')
    code, _, err = said("eval", real, "--out", tmp_path / "run")
    assert code == 2, err
    clear(err, r"site model\.layer\.2\.mlp: no such module", r"Did you mean model\.layers\.2\.mlp")


def test_a_per_token_injection_is_refused_for_completions(said: Said) -> None:
    """Tokens that no other model has read have no change of their own."""
    task = task_folders()[0] / "mechanism.toml"
    where = "experiments.inject.intervention"
    code, _, err = said("check", task, "--set", f"{where}.tuned=prompt")
    assert code == 2
    clear(err, r"experiments\.inject\.intervention: .*no other view has read",
          "constant variant", r"views\.NAME\.edit")  # fmt: skip


def test_an_adapter_that_changes_nothing_makes_the_run_invalid(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path
) -> None:
    text = EXPERIMENT.replace('saes = ["mid"]', 'saes = ["mid"]\nexpect = "different"')
    code, _, err = said("eval", write(text), "--set", "models.chat.scale=1", "--out", "run")
    assert code == 3
    clear(err, r"pairs\.p: .*are the same")
    assert not fakes.LAB.generated
    assert load_results(Path("run")).status == "invalid"


def test_activations_that_are_not_finite_name_model_layer_and_document(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path
) -> None:
    file = write(EXPERIMENT)
    (tmp_path / "web.jsonl").write_text('{"text": "fine"}\n{"text": "bad ∞ one"}\n')
    code, _, err = said("eval", file, "--out", "run")
    assert code == 2
    clear(err, r"views\.\w+", r"resid_post\.2", "not finite", "bad ∞ one")


@pytest.mark.slow
def test_what_a_model_leaves_out_is_a_warning_of_the_run(
    said: Said, real: Path, tmp_path: Path
) -> None:
    """CASES row 2: an adapter beside the weights."""
    (tmp_path / "base" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    code, _, err = said("eval", real, "--out", tmp_path / "run")
    assert code == 0, err
    warnings = load_results(tmp_path / "run").warnings
    assert any(w.startswith("models.base: ") and "also holds an adapter" in w for w in warnings)
