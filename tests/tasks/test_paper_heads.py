"""What the heads of the paper tasks say is so: deviations, pinned data, memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

import harness
from harness.planning.cost.estimate import cost
from harness.planning.planner import plan
from harness.task.task import Task

PAPERS = Path(__file__).parents[2] / "tasks" / "papers"
FILES = sorted(PAPERS.glob("*/*.toml"))
REFUSAL = PAPERS / "feature_drift" / "refusal_gemma-2-2b.toml"


def config(kind: type[PretrainedConfig], *sizes: int, **more: Any) -> PretrainedConfig:
    """A configuration of these sizes, in the order of `names`."""
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
             "intermediate_size", "vocab_size")  # fmt: skip
    return kind(**dict(zip(names, sizes, strict=True)), **more)


GEMMA = {"head_dim": 256, "tie_word_embeddings": True}
UNTIED, TIED = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}
GEMMA_2B = config(Gemma2Config, 2304, 26, 8, 4, 9216, 256000, **GEMMA)
GEMMA_9B = config(Gemma2Config, 3584, 42, 16, 8, 14336, 256000, **GEMMA)
GEMMA_3 = config(Gemma3TextConfig, 1152, 26, 4, 1, 6912, 262144, **GEMMA)
LLAMA_8B = config(LlamaConfig, 4096, 32, 32, 8, 14336, 128256, **UNTIED)
LLAMA_3B = config(LlamaConfig, 3072, 28, 24, 8, 8192, 128256, head_dim=128, **TIED)
QWEN_3B = config(Qwen2Config, 2048, 36, 16, 2, 11008, 151936, **TIED)
QWEN_7B = config(Qwen2Config, 3584, 28, 28, 4, 18944, 152064, **UNTIED)
QWEN3_8B = config(Qwen3Config, 4096, 36, 32, 8, 12288, 151936, head_dim=128, **UNTIED)
LLAMA_13B = config(LlamaConfig, 5120, 40, 40, 40, 13824, 32000, **UNTIED)
MISTRAL = config(MistralConfig, 4096, 32, 32, 8, 14336, 32000, **UNTIED)
CONFIGS = {
    "google/gemma-2-2b": GEMMA_2B,
    "google/gemma-2-2b-it": GEMMA_2B,
    "google/gemma-2-9b": GEMMA_9B,
    "google/gemma-2-9b-it": GEMMA_9B,
    "google/gemma-3-1b-it": GEMMA_3,
    "meta-llama/Llama-3.1-8B": LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_8B,
    "meta-llama/Meta-Llama-3-8B": LLAMA_8B,
    "meta-llama/Meta-Llama-3-8B-Instruct": LLAMA_8B,
    "meta-llama/Llama-3.2-3B": LLAMA_3B,
    "meta-llama/Llama-3.2-3B-Instruct": LLAMA_3B,
    "Qwen/Qwen2.5-3B": QWEN_3B,
    "Qwen/Qwen2.5-3B-Instruct": QWEN_3B,
    "Qwen/Qwen2.5-7B": QWEN_7B,
    "Qwen/Qwen2.5-7B-Instruct": QWEN_7B,
    "your-name/Qwen2.5-7B-Instruct-LIMO": QWEN_7B,
    "your-name/Qwen2.5-7B-Instruct-coding-problems": QWEN_7B,
    "your-name/Qwen2.5-7B-Instruct-mens-mental-health": QWEN_7B,
    "your-name/Qwen2.5-7B-Instruct-GRPO": QWEN_7B,
    "your-name/Meta-Llama-3-8B-Instruct-LIMO": LLAMA_8B,
    "your-name/gemma-2-9b-it-LIMO": GEMMA_9B,
    "Qwen/Qwen3-8B-Base": QWEN3_8B,
    "Qwen/Qwen3-8B": QWEN3_8B,
    "cais/HarmBench-Llama-2-13b-cls": LLAMA_13B,
    "cais/HarmBench-Mistral-7b-val-cls": MISTRAL,
}
"""The sizes of the published models, as their config.json has them."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub, where the models' configurations are and nothing else."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cached(hub: Path, file: Path, task: Task, **changes: Any) -> Task:
    """The same task, whose models' configurations are in the cache."""
    for model in task.spec.models.values():
        own = model.model_extra or {}
        repository = hub / f"models--{own['path'].replace('/', '--')}"
        CONFIGS[own["path"]].save_pretrained(
            repository / "snapshots" / (own.get("revision") or "main")
        )
    return harness.load(file, **changes)


def comments(file: Path) -> str:
    """The comment at the head of a file, as one line."""
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    return " ".join(line.lstrip("# ") for line in kept)


def gigabytes(task: Task) -> float:
    return cost(plan(task), "A100").memory.total / 1e9


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_head_lists_what_differs_from_the_paper(file: Path) -> None:
    """Issue 14, part 5."""
    lines = file.read_text(encoding="utf-8").splitlines()
    heads = [f"# What differs from the {what}, and why:" for what in ("paper", "article")]
    (start,) = (lines.index(head) for head in heads if head in lines)
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    assert start < end - 2
    assert all(line.startswith(("# - ", "#   ")) for line in lines[start + 1 : end])
    assert max(map(len, lines[:end])) <= 100


def test_the_page_of_papers_has_every_file() -> None:
    page = (PAPERS.parents[1] / "docs" / "papers.md").read_text("utf-8")
    linked = {(PAPERS.parents[1] / "docs" / place).resolve() for place in
              re.findall(r"\]\((\S+\.toml)\)", page)}  # fmt: skip
    assert linked >= {file.resolve() for file in FILES} - {
        PAPERS / "sts" / f"{name}-instruct.toml" for name in ("llama-3-8b", "gemma-2-9b")
    }, "the others are forecasts that the measured ones hold, too"
    assert all(file.exists() for file in linked)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_task_fits_the_memory_that_its_head_names(file: Path, hub: Path) -> None:
    """Issue 14, part 5: the head of refusal_gemma-2-2b said 24 GB, and the task needed 29."""
    found = re.search(r"GPU with (\d+) GB \(`harness plan`: about (\d+) GB", comments(file))
    assert found is not None
    named, about = int(found[1]), int(found[2])
    # What is not known before the first download is taken to need more.
    task = harness.load(file)
    assert gigabytes(task) < 0.95 * named
    needed = gigabytes(cached(hub, file, task))
    assert needed == pytest.approx(about, abs=1)
    assert needed < 0.95 * named


SMALLER = {
    "models": {
        "judge": {
            "path": "cais/HarmBench-Mistral-7b-val-cls",
            "revision": "51182c7cdaf9b2e5f05b745b81b047b67e7384a1",
            "expect": {"layers": 32, "d_model": 4096, "parameters": 7241732096},
        }
    },
    "evaluators": {"harmbench": {"template": "mistral"}},
}
SERVED = {
    "models": {"judge": False},
    "evaluators": {
        "harmbench": False,
        "served": {
            "method": "harmbench",
            "server": "http://localhost:8000",
            "server_model": "cais/HarmBench-Llama-2-13b-cls",
            "tokenizer": "cais/HarmBench-Llama-2-13b-cls",
        },
    },
    "experiments": {"bypass": {"evaluators": ["served", "substrings"]}},
    "analyses": {"agreement": {"right": {"evaluator": "served"}}},
}


@pytest.mark.parametrize(("changes", "judge"), [(SMALLER, "smaller"), (SERVED, "server")])
def test_a_smaller_judge_or_a_server_needs_the_memory_that_the_head_names(
    changes: dict[str, Any], judge: str, hub: Path
) -> None:
    found = re.search(rf"{judge}.*?a GPU with (\d+) GB \((\d+) GB\)", comments(REFUSAL))
    assert found is not None
    task = harness.load(REFUSAL, **changes)
    assert gigabytes(task) < 0.95 * int(found[1])
    needed = gigabytes(cached(hub, REFUSAL, task, **changes))
    assert needed == pytest.approx(int(found[2]), abs=1)


@pytest.mark.parametrize(
    "file", sorted((PAPERS / "feature_drift").glob("*.toml")), ids=lambda file: file.stem
)
def test_data_are_pinned(file: Path) -> None:
    """Issue 14, part 5: SlimPajama is gone from where it was; what stands in is one commit."""
    for data in harness.load(file).spec.data.values():
        assert data.sha256 or re.fullmatch("[0-9a-f]{40}", data.revision or "")


def test_a_pair_for_anybody_needs_nothing_that_is_gated() -> None:
    task = harness.load(PAPERS / "feature_drift" / "drift_qwen3-8b.toml")
    places = [
        one.model_extra or {} for one in (*task.spec.models.values(), *task.spec.saes.values())
    ]
    owners = {place["path"].partition("/")[0] for place in places}
    assert owners == {"Qwen"}
    assert {data.hub for data in task.spec.data.values()} == {
        "DKYoon/SlimPajama-6B",
        "allenai/WildChat-1M",
    }
    for sae in task.spec.saes.values():
        assert sae.format == "qwen_scope"
        assert sae.expect.d_sae == 65536
        assert (sae.model_extra or {})["path"].endswith("-L0_100")
