"""The STS tasks really execute: on tiny random models of their architectures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, LlamaConfig, Qwen2Config

import harness
from fakes import published
from harness.cli.main import main
from harness.results.read import Results

TASKS = Path(__file__).parents[2] / "tasks"
PAPERS = TASKS / "papers" / "sts"
QUESTIONS = TASKS / "organism" / "data" / "questions"
DOMAINS = sorted(file.name.removesuffix("_test.jsonl") for file in QUESTIONS.glob("*_test.jsonl"))
WIDTH = 32
CONFIGS: dict[str, Any] = {"qwen": Qwen2Config, "llama": LlamaConfig, "gemma": Gemma2Config}


def tiny(kind: str, folder: Path, layers: int, seed: int = 0) -> None:
    """A model of the family, with the organism's chat tokenizer."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(TASKS / "organism" / "chat")
    config = CONFIGS[kind](
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, intermediate_size=64,
        max_position_embeddings=2048, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed" not in name:
                parameter.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rotated(folder: Path, layer: int, threshold: float = 0.01) -> None:
    """A JumpReLU SAE in SAELens' form: both directions of every axis of a random rotation."""
    folder.mkdir(parents=True)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    both = torch.cat([rotation, -rotation], dim=1)
    weights = {
        "W_enc": both.contiguous(), "W_dec": both.T.contiguous(),
        "b_enc": torch.zeros(2 * WIDTH), "b_dec": torch.zeros(WIDTH),
        "threshold": torch.full((2 * WIDTH,), threshold),
    }  # fmt: skip
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu", "d_in": WIDTH, "d_sae": 2 * WIDTH, "dtype": "float32",
        "device": "cpu", "apply_b_dec_to_input": False, "normalize_activations": "none",
        "reshape_activations": "none", "metadata": {"hook_name": f"blocks.{layer}.hook_resid_post"},
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))


def write_data(folder: Path) -> None:
    """LIMO and MMLU-Pro as their repositories hold them, with the organism's questions."""

    def rows(split: str, each: int) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for domain in DOMAINS
            for line in (QUESTIONS / f"{domain}_{split}.jsonl").read_text().splitlines()[:each]
        ]

    published.limo(folder / "LIMO", rows("test", 3))
    published.mmlu_pro(folder / "MMLU-Pro", rows("test", 4), rows("validation", 5))
    web = (TASKS / "organism" / "data" / "web.jsonl").read_text().splitlines()[:8]
    published.pile_10k(folder / "pile-10k", [json.loads(line)["text"] for line in web])


DATA = """
[data]
limo_examples = {{ hub = "{folder}/LIMO" }}
limo = {{ hub = "{folder}/LIMO", limit = 24 }}
mmlu_pro_examples = {{ hub = "{folder}/MMLU-Pro" }}
mmlu_pro = {{ hub = "{folder}/MMLU-Pro", limit = {questions} }}
web = {{ hub = "{folder}/pile-10k", limit = 8 }}
[preflight]
fvu_max = 0.9
[analyses.forecast]
ranks = [0, 10]
[analyses.notebook]
ranks = [0, 10]
[analyses.smaller_shifts]
ranks = [10, 20]
[analyses.window]
dimensions = 10
sweep = {{ first = [0, 10, 20] }}
"""


def run(folder: Path, paper: str, saes: dict[str, int], more: str = "") -> Results:
    """The paper's task with everything that would be downloaded replaced by what is tiny."""
    write_data(folder)
    for name, layer in saes.items():
        rotated(folder / name, layer)
    models = [name for name in ("base", "tuned") if (folder / name).exists()]
    without = f'extends = "{PAPERS / paper}.toml"\nmodels = false\nsaes = false\n'
    (folder / "without.toml").write_text(without)
    lines = ['extends = "without.toml"']
    lines += [f'[models.{name}]\npath = "{name}"' for name in models]
    lines += [
        f'[saes.{name}]\nformat = "saelens"\npath = "{name}"\nmodel = "base"\n'
        f'site = "resid_post.{layer}"'
        for name, layer in saes.items()
    ]
    data = DATA.format(folder=folder, questions=4 * len(DOMAINS))
    (folder / "task.toml").write_text("\n".join(lines) + data + more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "prepared")
        assert main(["eval", str(folder / "task.toml"), "--out", str(folder / "run")]) == 0
    return harness.load_results(folder / "run")


def domains(results: Results, id: str, analysis: str) -> dict[str, float | None]:
    return {
        str(r.axes["domain"]): r.value
        for r in results.records
        if r.id == id and r.axes.get("analysis") == analysis
    }


@pytest.mark.slow
def test_llama_and_its_one_sae(tmp_path: Path) -> None:
    tiny("llama", tmp_path / "base", 26)
    results = run(tmp_path, "llama-3-8b-instruct", {"sae_25": 25})
    for id in ("sts.act@1", "sts.icl@1"):
        found = domains(results, id, "forecast")
        assert sorted(found) == DOMAINS
        assert all(value is not None and value > 0 for value in found.values())
    shares = domains(results, "mixture.share@1", "mixture")
    assert sum(value or 0 for value in shares.values()) == pytest.approx(1)


@pytest.mark.slow
def test_gemma_and_its_five_sparsities(tmp_path: Path) -> None:
    tiny("gemma", tmp_path / "base", 32)
    saes = {f"l0_{n}": 31 for n in (13, 22, 37, 63, 109)}
    results = run(tmp_path, "gemma-2-9b-instruct", saes)
    swept = {
        (r.axes["sae"], r.axes["domain"])
        for r in results.records
        if r.id == "sts.icl@1" and r.axes.get("analysis") == "forecast"
    }
    assert swept == {(sae, domain) for sae in saes for domain in DOMAINS}


MEASURED = f"""
[analyses.afterwards]
ranks = [0, 10]
[analyses.over_n]
sweep = {{ dimensions = [5, 10, 30] }}
[evaluators.mmlu_pro]
tasks = ["organism"]
include_path = "{QUESTIONS}"
limit = 1
num_fewshot = 1
max_new_tokens = 2
"""


@pytest.mark.slow
def test_qwen_and_what_its_tuning_did(tmp_path: Path) -> None:
    for seed, name in enumerate(("base", "tuned")):
        tiny("qwen", tmp_path / name, 24, seed)
    results = run(tmp_path, "qwen2.5-7b-instruct-measured", {"late": 23}, MEASURED)
    for analysis in ("forecast", "afterwards"):
        assert sorted(domains(results, "sts.act@1", analysis)) == DOMAINS
    overlaps = [r for r in results.records if r.id == "shift.overlap@1"]
    assert {r.axes["space"] for r in overlaps} == {"latents", "raw"}
    curve = {r.axes["dimensions"] for r in overlaps if r.axes["analysis"] == "over_n"}
    assert curve == {5, 10, 30}
    windows = [r for r in results.records if r.axes.get("analysis") == "transfer_window"]
    assert {r.axes["first"] for r in windows if "first" in r.axes} == {0, 10, 20}
    asked = [r for r in results.records if r.id == "accuracy@1" and "domain" in r.axes]
    assert {(r.axes["experiment"], r.axes["domain"]) for r in asked} == {
        (experiment, domain) for experiment in ("before", "after") for domain in DOMAINS
    }
    # Random models know nothing, before and after: there is nothing to correlate with.
    [record] = [
        r
        for r in results.records
        if r.id == "sts.correlation.pearson@1"
        and r.axes["analysis"] == "transfer"
        and (r.axes["forecast"], r.axes["domains"]) == ("sts.act", "all")
    ]
    assert record.undefined == "the measured change is 0 in all 9 domains"


@pytest.mark.slow
def test_gemma_and_what_its_tuning_did(tmp_path: Path) -> None:
    """C.7: the correlation at each sparsity."""
    for seed, name in enumerate(("base", "tuned")):
        tiny("gemma", tmp_path / name, 32, seed)
    saes = {f"l0_{n}": 31 for n in (13, 22, 37, 63, 109)}
    results = run(tmp_path, "gemma-2-9b-instruct-measured", saes, MEASURED)
    told = [r for r in results.records if r.id == "sts.correlation.pearson@1"]
    own = [r for r in told if r.axes["analysis"] == "transfer" and r.axes["forecast"] == "sts.act"]
    assert {r.axes["sae"] for r in own if "sae" in r.axes} == set(saes)


@pytest.mark.parametrize("file", sorted(PAPERS.glob("*.toml")), ids=lambda file: file.stem)
def test_the_published_tasks_are_understood_offline(file: Path) -> None:
    assert main(["check", str(file)]) == 0
