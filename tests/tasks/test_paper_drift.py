"""The drift tasks execute: the paper's six pairs and a seventh, on tiny random models and SAEs.

Everything but weights and text is the published task's own: sites, SAE formats, names inside the
repositories, how data are read, filters, metrics. Text has the layout, columns and packing that the
published data have; SlimPajama is jsonl.zst, as under its own name, and parquet, as its stand-in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)

import harness
from fakes import published
from harness.cli.main import main
from harness.contract.sites import parse_site
from harness.results.read import Results

TASKS = Path(__file__).parents[2] / "tasks"
PAPERS = TASKS / "papers" / "feature_drift"
DATA = TASKS / "organism" / "data"
WIDTH = 16
CONFIGS: dict[str, Any] = {
    "drift_gemma-2-2b": Gemma2Config,
    "drift_gemma-2-9b": Gemma2Config,
    "drift_llama-3.1-8b": LlamaConfig,
    "drift_llama-3.2-3b": LlamaConfig,
    "cosine_llama-3.2-3b": LlamaConfig,
    "drift_qwen2.5-3b": Qwen2Config,
    "cosine_qwen2.5-3b": Qwen2Config,
    "drift_qwen2.5-7b": Qwen2Config,
    "drift_qwen3-8b": Qwen3Config,
}
ANYBODY = "drift_qwen3-8b"
CEILING, DIAGNOSIS = "ceiling_gemma-2-9b", "../diagnosis/llama-3-8b"
ARCHITECTURES = {**CONFIGS, CEILING: Gemma2Config, DIAGNOSIS: LlamaConfig}
WITHOUT_SAES = ("cosine_llama-3.2-3b", "cosine_qwen2.5-3b")
ON_SAES = ("explained_ratio", "intersection_ratio", "latent_overlap", "l1_divergence", "fvu", "l0")
LAYERS = {  # Table 2 of the paper; those of Qwen3 8B are those of the other model of 36 blocks
    "gemma-2-2b": (10, 15, 17),
    "gemma-2-9b": (15, 24, 29),
    "llama-3.2-3b": (12, 18, 23),
    "llama-3.1-8b": (11, 18, 24),
    "qwen2.5-3b": (14, 21, 27),
    "qwen2.5-7b": (11, 15, 19),  # 10, 15, 21 have no SAE
    "qwen3-8b": (14, 21, 27),
}
pytestmark = pytest.mark.slow


def model(kind: str, folder: Path, layers: int, tuned: bool = False) -> None:
    """A random model; tuned, the same one with its weights moved a little."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(TASKS / "organism" / "chat")
    config = ARCHITECTURES[kind](
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, intermediate_size=32,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    made = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.dim() > 1 and "embed" not in name:
                parameter.mul_(4)
        for parameter in made.parameters() if tuned else ():
            parameter.add_(torch.randn_like(parameter) * 0.3 * parameter.std())
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# ── SAEs that reconstruct: both directions of every axis of a random rotation ────────────────────


def rotated() -> torch.Tensor:
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    return torch.cat([rotation, -rotation], dim=1)


def gemma_scope(root: Path, rest: dict[str, Any], layer: int) -> None:
    """`params.npz`, a JumpReLU SAE."""
    both, folder = rotated().numpy(), root / rest["id"]
    folder.mkdir(parents=True)
    n = both.shape[1]
    weights = {"W_enc": both, "W_dec": both.T, "threshold": np.full(n, 1e-3)}
    zeros = {"b_enc": np.zeros(n), "b_dec": np.zeros(WIDTH)}
    arrays = {name: array.astype("float32") for name, array in (weights | zeros).items()}
    np.savez(folder / "params.npz", **arrays)


def llama_scope(root: Path, rest: dict[str, Any], layer: int) -> None:
    """`hyperparams.json` and `checkpoints/final.safetensors`, on scaled activations."""
    both, folder, hook = rotated(), root / rest["id"], f"blocks.{layer}.hook_resid_post"
    (folder / "checkpoints").mkdir(parents=True)
    n = both.shape[1]
    weights = {
        "encoder.weight": both.T.contiguous(), "encoder.bias": torch.zeros(n),
        "decoder.weight": both.contiguous(), "decoder.bias": torch.zeros(WIDTH),
    }  # fmt: skip
    save_file(weights, folder / "checkpoints" / "final.safetensors")
    config = {
        "hook_point_in": hook, "hook_point_out": hook, "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False, "expansion_factor": n / WIDTH,
        "d_model": WIDTH, "d_sae": n, "act_fn": "jumprelu", "jump_relu_threshold": 1e-3,
        "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True,
        "dataset_average_activation_norm": {"in": 3.0, "out": 3.0}, "use_glu_encoder": False,
        "dtype": "torch.bfloat16", "top_k": 50,
    }  # fmt: skip
    (folder / "hyperparams.json").write_text(json.dumps(config))


def dictionary_learning(root: Path, rest: dict[str, Any], layer: int) -> None:
    """`config.json` and `ae.pt`, a BatchTopK SAE with its threshold."""
    both, folder = rotated(), root / rest["trainer"]
    folder.mkdir(parents=True)
    n = both.shape[1]
    state = {
        "encoder.weight": both.T.contiguous(), "encoder.bias": torch.zeros(n),
        "decoder.weight": both.contiguous(), "b_dec": torch.zeros(WIDTH),
        "k": torch.tensor(WIDTH, dtype=torch.int), "threshold": torch.tensor(1e-3),
    }  # fmt: skip
    torch.save(state, folder / "ae.pt")
    trainer = {
        "dict_class": "BatchTopKSAE", "activation_dim": WIDTH, "dict_size": n, "k": WIDTH,
        "layer": layer, "lm_name": "chat", "submodule_name": f"resid_post_layer_{layer}",
        "lr": 1e-4, "seed": 0,
    }  # fmt: skip
    (folder / "config.json").write_text(
        json.dumps({"trainer": trainer, "buffer": {"d_submodule": WIDTH, "io": "out"}})
    )


def qwen_scope(root: Path, rest: dict[str, Any], layer: int) -> None:
    """`layer{n}.sae.pt`: TopK with the k of the repository's name, so of at least 100 latents."""
    root.mkdir(parents=True, exist_ok=True)
    copies = 4
    both = torch.cat([rotated() for _ in range(copies)], dim=1)
    state = {
        "W_enc": both.T.contiguous(), "W_dec": both.contiguous() / copies,
        "b_enc": torch.zeros(both.shape[1]), "b_dec": torch.zeros(WIDTH),
    }  # fmt: skip
    torch.save(state, root / f"{rest['id']}.sae.pt")


def sparsify(root: Path, rest: dict[str, Any], layer: int) -> None:
    """`cfg.json` and `sae.safetensors`, TopK, as the library of the paper writes them."""
    both, folder = rotated(), root / rest["hookpoint"]
    folder.mkdir(parents=True)
    n = both.shape[1]
    weights = {
        "encoder.weight": both.T.contiguous(), "encoder.bias": torch.zeros(n),
        "W_dec": both.T.contiguous(), "b_dec": torch.zeros(WIDTH),
    }  # fmt: skip
    save_file(weights, folder / "sae.safetensors")
    config = {
        "activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": n,
        "k": WIDTH, "multi_topk": True, "skip_connection": False, "transcode": False, "d_in": WIDTH,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))


WRITERS: dict[str, Callable[[Path, dict[str, Any], int], None]] = {
    "gemma_scope": gemma_scope,
    "llama_scope": llama_scope,
    "dictionary_learning": dictionary_learning,
    "qwen_scope": qwen_scope,
    "sparsify": sparsify,
}


# ── The tasks ────────────────────────────────────────────────────────────────────────────────────


def write_data(kind: str, folder: Path) -> dict[str, Path]:
    """Text of pretraining and conversations, as the task's hub ids hold them."""
    lines = {name: (DATA / f"{name}.jsonl").read_text().splitlines() for name in ("web", "chat")}
    texts = [json.loads(line)["text"][:160] for line in lines["web"][:20]]
    talks = [json.loads(line)["messages"] for line in lines["chat"][:10]]
    if kind in (ANYBODY, DIAGNOSIS):
        return {
            "web": published.slimpajama_6b(folder / "SlimPajama-6B", texts),
            "conversations": published.wildchat_1m(folder / "WildChat-1M", talks),
        }
    return {
        "web": published.slimpajama(folder / "SlimPajama-627B", texts),
        "conversations": published.lmsys_chat_1m(folder / "lmsys-chat-1m", talks),
    }


def run(kind: str, folder: Path) -> Results:
    """The published task with weights and text replaced."""
    paper = PAPERS / f"{kind}.toml"
    spec = harness.load(paper).spec
    torch.manual_seed(1)
    lines = [f'extends = "{paper}"']
    sites = [site for pair in spec.pairs.values() for site in pair.sites or ()]
    layers = [parse_site(site).layer or 0 for site in sites]
    for name, sae in spec.saes.items():
        assert sae.format is not None
        layer = parse_site(str(sae.site)).layer
        assert layer is not None
        layers.append(layer)
        root = folder / (sae.model_extra or {})["path"]
        WRITERS[sae.format](root, sae.model_extra, layer)
        lines.append(f'[saes.{name}]\npath = "{root}"\nexpect = false')
    for name in spec.models:
        # One block above the last site, so that preflight can look there too.
        model(kind, folder / name, max(layers) + 2, tuned=name != "base")
        lines.append(f'[models.{name}]\npath = "{folder / name}"\nexpect = false')
    limits = {"web": 12, "conversations": 4}
    for name, place in write_data(kind, folder).items():
        if name in spec.data:
            lines.append(f'[data.{name}]\nhub = "{place}"\nlimit = {limits[name]}')
    (folder / "task.toml").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "prepared")
        # It sleeps five seconds behind each shuffled stream of parquet, for threads that end late.
        patch.setattr("datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN", 0, raising=False)
        assert main(["eval", str(folder / "task.toml"), "--out", str(folder / "run")]) == 0
    return harness.load_results(folder / "run")


def test_every_drift_task_is_here() -> None:
    files = [file.stem for file in PAPERS.glob("*.toml") if not file.stem.startswith("refusal")]
    assert sorted([*CONFIGS, CEILING]) == sorted(files)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_task_is_the_papers(kind: str) -> None:
    """Issue 14, part 5: section 4 and appendix B measure on SlimPajama, at Table 2's layers."""
    spec = harness.load(PAPERS / f"{kind}.toml").spec
    web, talk = spec.pairs["web"], spec.pairs["conversations"]
    sites = [*(sae.site for sae in spec.saes.values()), *web.sites]
    assert sites == [f"resid_post.{n}" for n in LAYERS[kind.partition("_")[2]]]
    assert web.budget == 10_000_000
    assert (talk.left, talk.right, talk.render) == ("base", "chat_turns", "right")
    assert all(pair.max_norm_ratio == 10 for pair in (web, talk))
    if kind in WITHOUT_SAES:
        assert not spec.saes
        return
    for name in ("explained_ratio", "intersection_ratio"):
        metric = spec.metrics[name]
        assert (metric.pair, metric.where.cosine_below) == ("web", 0.9)
    for name in ("latent_overlap", "l1_divergence", "fvu", "cosine"):
        assert spec.metrics[name].pair == "web"
    assert spec.metrics["fvu_conversations"].pair == "conversations"
    assert spec.preflight is not None
    assert (spec.preflight.max_norm_ratio, spec.preflight.skip_first) == (10, web.skip_first)


@pytest.fixture(scope="module")
def results_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Results]:
    return cache(lambda kind: run(kind, tmp_path_factory.mktemp(kind)))


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_task_executes(kind: str, results_of: Callable[[str], Results]) -> None:
    results = results_of(kind)
    spec = harness.load(PAPERS / f"{kind}.toml").spec
    assert (kind in WITHOUT_SAES) == (not spec.saes)
    sites = spec.pairs["web"].sites or [sae.site for sae in spec.saes.values()]
    assert len(sites) == 3
    for pair in ("web", "conversations"):
        for site in sites:
            cosine = results.value("cosine.raw", pair=pair, site=site)
            assert cosine is not None
            assert -1 <= cosine < 0.999
            below = results.value("cosine.share_below", pair=pair, site=site)
            assert below is not None
    measured = {record.id.partition(".")[0].partition("@")[0] for record in results.records}
    if spec.saes:
        assert measured >= set(ON_SAES)
        for site in sites:
            for pair in ("web", "conversations"):
                at = {"pair": pair, "site": site}
                explained = results.value("explained_ratio.ratio_of_means", **at)
                assert explained is not None
                assert 0 <= explained < 0.1, "the rotation reconstructs nearly everything"
                shared = results.value("intersection_ratio.per_token", **at)
                assert shared is not None
                assert 0 < shared < 1
            for view in ("base", "chat_turns"):
                fvu = results.value("fvu.pooled", view=view, **at)
                assert fvu is not None
                assert fvu < 0.1
            for step in ("data", "model", "both"):
                assert results.value("fvu.degradation", step=step, site=site) is not None
    else:
        assert not measured & set(ON_SAES)


def test_first_tokens_are_left_out_where_the_task_says_so(
    results_of: Callable[[str], Results],
) -> None:
    """The Qwen2.5 7B task skips those that its SAEs were not trained on."""
    results = results_of("drift_qwen2.5-7b")
    shares = [r.value for r in results.records if r.id == "dropped_share@1"]
    assert shares
    assert all(value is not None and value > 0 for value in shares)


def test_the_ceiling_is_an_sae_of_the_chat_model_at_the_same_site(tmp_path: Path) -> None:
    results = run(CEILING, tmp_path)
    spec = harness.load(PAPERS / f"{CEILING}.toml").spec
    assert (spec.saes["mid"].site, spec.saes["mid"].model) == ("resid_post.20", "base")
    assert (spec.saes["chat_mid"].site, spec.saes["chat_mid"].model) == ("resid_post.20", "chat")
    at = {"view": "chat_turns", "pair": "conversations"}
    own, best = (results.value("fvu.pooled", sae=sae, **at) for sae in ("mid", "chat_mid"))
    assert own is not None
    assert best is not None
    for step in ("data", "model", "both"):
        assert results.value("fvu.degradation", sae="mid", step=step) is not None
    assert results.value("fvu.degradation", sae="mid", step="ceiling") == pytest.approx(own - best)


def test_the_diagnosis_of_the_article_executes(tmp_path: Path) -> None:
    results = run(DIAGNOSIS, tmp_path)
    for block in (12, 16, 20, 24):
        at = {"sae": f"layer_{block}", "site": f"resid_post.{block}"}
        for id in ("cosine.raw", "cosine.recon", "latent_overlap.topk", "l1_divergence.normalized"):
            assert results.value(id, **at) is not None
        assert results.value("hidden_shift", **at) in (0.0, 1.0)
    shifted = [r for r in results.records if r.id == "feature_shift.shifted@1"]
    assert len(shifted) == 4  # undefined here: 12 short documents are too few to see a feature
