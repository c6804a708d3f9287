"""Task files of the papers really execute: on a tiny random model of their architecture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config

import harness
from fakes import published
from harness.cli.main import main

TASKS = Path(__file__).parents[2] / "tasks"
PAPER = TASKS / "papers" / "feature_drift" / "refusal_gemma-2-2b.toml"
WIDTH = 32
# `datasets` leaves a CSV file open of which the first rows are read.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file.*behaviors.csv:ResourceWarning")


def tiny_gemma2(folder: Path, seed: int) -> None:
    """Gemma-2 in small: post-norms, alternating windows and all, with the organism's tokenizer."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(TASKS / "organism" / "chat")
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=17,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        sliding_window=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed" not in name:
                parameter.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rotated_jumprelu(folder: Path) -> None:
    """A JumpReLU SAE in SAELens' form: both directions of every axis of a random rotation."""
    folder.mkdir(parents=True)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    both = torch.cat([rotation, -rotation], dim=1)
    weights = {
        "W_enc": both.contiguous(),
        "W_dec": both.T.contiguous(),
        "b_enc": torch.zeros(2 * WIDTH),
        "b_dec": torch.zeros(WIDTH),
        "threshold": torch.full((2 * WIDTH,), 0.01),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu",
        "d_in": WIDTH,
        "d_sae": 2 * WIDTH,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"hook_name": "blocks.15.hook_resid_post", "model_name": "gemma-2-2b"},
    }
    (folder / "cfg.json").write_text(json.dumps(config))


def write_data(folder: Path) -> None:
    """The paper's data as their repositories hold them, with the organism's prompts."""

    def prompts(name: str) -> list[str]:
        lines = (TASKS / "organism" / "data" / f"{name}.jsonl").read_text().splitlines()
        return [json.loads(line)["instruction"] for line in lines]

    harmless = prompts("harmless_train")
    rows = [{"instruction": text, "category": None} for text in prompts("harmful_train")]
    (folder / "harmful_train.json").write_text(json.dumps(rows))
    published.alpaca(folder / "alpaca", harmless)
    published.jailbreakbench(folder / "JBB-Behaviors", prompts("harmful_test"))
    published.pile_10k(folder / "pile-10k", harmless)


# What cannot be had offline is taken out by the first file and put back by the second.
WITHOUT = 'extends = "{paper}"\nsaes = false\ndata.harmful_train = false\n'
WITH = """
extends = "without.toml"
models.base = {{ path = "base", dtype = "float32", expect = false }}
models.chat = {{ path = "chat", dtype = "float32", expect = false }}
models.judge = {{ path = "{judge}", expect = false }}
[saes.mid]
format = "saelens"
path = "sae"
site = "resid_post.15"
model = "base"
[data]
web = {{ hub = "{folder}/pile-10k" }}
harmful_train = {{ file = "harmful_train.json", column = "instruction", shuffle = 42, limit = 128 }}
jailbreakbench = {{ hub = "{folder}/JBB-Behaviors", limit = 4 }}
harmless_train = {{ hub = "{folder}/alpaca" }}
alpaca = {{ hub = "{folder}/alpaca", limit = 4 }}
[experiments.bypass.generation]
max_new_tokens = 4
[experiments.induce.generation]
max_new_tokens = 4
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> harness.results.read.Results:
    folder = tmp_path_factory.mktemp("gemma")
    tiny_gemma2(folder / "base", seed=0)
    tiny_gemma2(folder / "chat", seed=1)
    rotated_jumprelu(folder / "sae")
    write_data(folder)
    (folder / "without.toml").write_text(WITHOUT.format(paper=PAPER))
    judge = TASKS / "organism" / "judge"
    (folder / "task.toml").write_text(WITH.format(judge=judge, folder=folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "prepared")
        assert main(["eval", str(folder / "task.toml"), "--out", str(folder / "run")]) == 0
    return harness.load_results(folder / "run")


@pytest.mark.slow
def test_every_arm_of_the_paper_ran_on_a_tiny_gemma_2(
    results: harness.results.read.Results,
) -> None:
    scores = [r for r in results.records if r.id == "refusal_score@1"]
    arms = {(r.axes["experiment"], r.axes["direction"], r.axes.get("k")) for r in scores}
    for experiment in ("bypass", "induce"):
        assert (experiment, "none", None) in arms
        assert (experiment, "refusal", None) in arms
        for k in (1, 2, 4, 8, 16, 32, 64):
            assert (experiment, "chat_features", k) in arms
            assert (experiment, "base_features", k) in arms


@pytest.mark.slow
def test_the_safety_score_is_the_classifiers(results: harness.results.read.Results) -> None:
    """Issue 14, part 5: appendix C.3 scores completions of harmful prompts with HarmBench's."""
    scores = [r for r in results.records if r.id == "safety_score@1"]
    assert {r.axes["experiment"] for r in scores} == {"bypass"}
    assert {"none", "refusal", "chat_features", "base_features", "random"} == {
        r.axes["direction"] for r in scores
    }
    [record] = [r for r in scores if r.axes["direction"] == "none"]
    assert record.value is not None
    assert (record.n, record.options["template_sha256"][:8]) == (4, "788f4f6a")


@pytest.mark.slow
def test_more_features_than_are_positive_is_an_undefined_arm(
    results: harness.results.read.Results,
) -> None:
    positive = results.value("positive_latents@1", direction="chat_features")
    assert positive is not None
    assert positive < 64
    [record] = [
        r
        for r in results.records
        if r.id == "refusal_score@1"
        and r.axes["experiment"] == "bypass"
        and r.axes["direction"] == "chat_features"
        and r.axes.get("k") == 64
    ]
    assert record.value is None
    assert record.undefined


@pytest.mark.slow
def test_strict_ablation_holds_behind_the_post_norms(results: harness.results.read.Results) -> None:
    left = [
        r.value
        for r in results.records
        if r.id == "edit.check@1" and r.axes["experiment"] == "bypass"
    ]
    assert left
    assert max(value for value in left if value is not None) < 1e-4


def test_the_published_task_is_understood_offline() -> None:
    assert main(["check", str(PAPER)]) == 0
