"""Every drift metric from end to end, against float64 and nothing but transformers and numpy.

Tiny random models of eight families, a TopK SAE, documents of different lengths. The reference
reads one document at a time, with `output_hidden_states`, and follows the definitions token by
token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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
    Gemma3TextConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
)

import harness
from harness.cli.main import main
from harness.results.read import Results

TASKS = Path(__file__).parents[2] / "tasks"
SITE, WIDTH, LATENTS, K, TOP = "resid_post.0", 16, 64, 6, 4
COMMON: dict[str, Any] = {
    "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32,
}  # fmt: skip
GROUPED = {**COMMON, "num_key_value_heads": 1}
CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (LlamaConfig, GROUPED),
    "gemma2": (Gemma2Config, {**GROUPED, "head_dim": 8, "sliding_window": 8}),
    "gemma3": (Gemma3TextConfig, {**GROUPED, "head_dim": 8, "sliding_window": 8}),
    "qwen2.5": (Qwen2Config, GROUPED),
    "qwen3": (Qwen3Config, {**GROUPED, "head_dim": 8}),
    "mistral": (MistralConfig, {**GROUPED, "sliding_window": 8}),
    "phi": (PhiConfig, COMMON),
    "gpt_neox": (GPTNeoXConfig, COMMON),
}
TASK = """
name = "reference"
[models]
base.path = "base"
tuned.path = "tuned"
[views]
base.model = "base"
tuned.model = "tuned"
[saes.one]
format = "saelens"
path = "sae"
model = "base"
site = "resid_post.0"
[data.text]
file = "text.json"
[pairs.p]
left = "base"
right = "tuned"
data = "text"
saes = ["one"]
[metrics]
l0.pair = "p"
l1_divergence.pair = "p"
kl = {{ pair = "p", variants = ["next_token", "next_token_reverse", "jensen_shannon"] }}
latent_overlap = {{ pair = "p", k = {top} }}
fvu = {{ pair = "p", variants = ["pooled", "batch_mean"] }}
cosine = {{ pair = "p", below = {below} }}
explained_ratio = {{ pair = "p", where = {{ cosine_below = {below} }} }}
intersection_ratio = {{ pair = "p", where = {{ cosine_below = {below} }} }}
[batch]
activations = 4
"""
ROUGH = {"cosine.quantile": 0.0035, "explained_ratio.median": 0.03}
"""Histograms: as far off as the metrics say of themselves, with a few hundred tokens."""


@dataclass(frozen=True)
class Reference:
    """All measured tokens of both sides, in float64."""

    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    """Log-probabilities of the next token, left; `q`: right."""
    q: np.ndarray
    document: np.ndarray
    sae: Mapping[str, np.ndarray]

    def encode(self, x: np.ndarray) -> np.ndarray:
        a = np.maximum((x - self.sae["b_dec"]) @ self.sae["W_enc"] + self.sae["b_enc"], 0)
        for row in a:
            row[np.argsort(-row)[K:]] = 0
        return a

    def decode(self, z: np.ndarray) -> np.ndarray:
        return z @ self.sae["W_dec"] + self.sae["b_dec"]

    @cached_property
    def z(self) -> tuple[np.ndarray, np.ndarray]:
        return self.encode(self.x), self.encode(self.y)

    @cached_property
    def cosine(self) -> np.ndarray:
        return cosines(self.x, self.y)

    def threshold(self) -> float:
        """In the widest gap of the middle, so that no rounding moves a token across."""
        middle = np.sort(self.cosine)[len(self.cosine) // 4 : 3 * len(self.cosine) // 4]
        at = int(np.argmax(np.diff(middle)))
        return float((middle[at] + middle[at + 1]) / 2)

    def numbers(self, below: float) -> dict[str, float]:
        z, w = self.z
        chosen = self.cosine < below
        found = {
            "cosine.raw": self.cosine.mean(),
            "cosine.latent": cosines(z, w).mean(),
            "cosine.recon": cosines(self.decode(z), self.decode(w)).mean(),
            "cosine.share_below": chosen.mean(),
            "filtered_share": chosen.mean(),
            "l1_divergence.normalized": abs(z - w).sum() / (z.sum() + w.sum()),
            "l1_divergence.raw": abs(z - w).sum(1).mean(),
            "latent_overlap.topk": np.mean([jaccard(*pair) for pair in zip(z, w, strict=True)]),
            "latent_overlap.topk_dataset": jaccard(z.mean(0), w.mean(0)),
            "kl.next_token": self.kl(self.p, self.q),
            "kl.next_token_reverse": self.kl(self.q, self.p),
            "kl.jensen_shannon": self.shannon(),
        }
        for percent in (5, 25, 50, 75, 95):
            found[f"cosine.quantile_{percent:02}"] = np.quantile(self.cosine, percent / 100)
        found |= self.explained(chosen) | shared(z[chosen] > 0, w[chosen] > 0)
        for view, x, latents in (("base", self.x, z), ("tuned", self.y, w)):
            found[f"l0 {view}"] = (latents > 0).sum(1).mean()
            error = np.square(x - self.decode(latents)).sum()
            found[f"fvu.pooled {view}"] = error / np.square(x - x.mean(0)).sum()
            apart = self.grouped()
            error = np.square(x - self.decode(latents))[apart].sum()
            found[f"fvu.batch_mean {view}"] = error / self.within_groups(x)
        return {name: float(value) for name, value in found.items()}

    def kl(self, p: np.ndarray, q: np.ndarray) -> float:
        return float((np.exp(p) * (p - q)).sum(1).mean())

    def shannon(self) -> float:
        middle = np.log((np.exp(self.p) + np.exp(self.q)) / 2)
        return (self.kl(self.p, middle) + self.kl(self.q, middle)) / 2

    def explained(self, chosen: np.ndarray) -> dict[str, float]:
        s, t = (np.sqrt(np.square(one).sum(1).mean()) for one in (self.x, self.y))
        error = np.square((self.y - self.decode(self.z[1])) / t).sum(1)[chosen]
        change = np.square(self.y / t - self.x / s).sum(1)[chosen]
        name = "explained_ratio"
        return {
            f"{name}.ratio_of_means": error.sum() / change.sum(),
            f"{name}.mean_of_ratios": (error / change).mean(),
            f"{name}.median": np.median(error / change),
            f"{name}.scale_ratio": t / s,
        }

    def grouped(self) -> np.ndarray:
        """Which tokens are not alone in their group: the last of 32k + 1 is."""
        sizes = {one: int((self.document == one).sum()) for one in np.unique(self.document)}
        place = np.array([(self.document[:i] == one).sum() for i, one in enumerate(self.document)])
        last = np.array([sizes[one] - 1 for one in self.document])
        return ~((place == last) & (place % 32 == 0))

    def within_groups(self, x: np.ndarray) -> float:
        """Squared distances from the mean of each group of 32 tokens of a document."""
        total = 0.0
        for document in np.unique(self.document):
            mine = x[self.document == document]
            for start in range(0, len(mine), 32):
                group = mine[start : start + 32]
                total += np.square(group - group.mean(0)).sum()
        return total


def cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)


def jaccard(z: np.ndarray, w: np.ndarray) -> float:
    one, two = (set(np.argsort(-row)[:TOP][np.sort(row)[::-1][:TOP] > 0]) for row in (z, w))
    return len(one & two) / len(one | two)


def shared(f: np.ndarray, g: np.ndarray) -> dict[str, float]:
    both, either = (f & g).sum(1), (f | g).sum(1)
    chance = (f.sum(0) * g.sum(0)).sum() / len(f)
    name = "intersection_ratio"
    return {
        f"{name}.per_token": (both / either).mean(),
        f"{name}.micro": both.sum() / either.sum(),
        f"{name}.chance": chance / (f.sum() + g.sum() - chance),
    }


# ── What both read ───────────────────────────────────────────────────────────────────────────────


def write(folder: Path, kind: str) -> None:
    """Two models that differ a little, a random TopK SAE, and short texts."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(TASKS / "organism" / "chat")
    config, options = CONFIGS[kind]
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")}
    ids["pad_token_id"] = tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(config(vocab_size=len(tokenizer), **ids, **options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        model.save_pretrained(folder / "base")
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.08)
        model.save_pretrained(folder / "tuned")
    for name in ("base", "tuned"):
        tokenizer.save_pretrained(folder / name)
    encoder = torch.nn.functional.normalize(torch.randn(WIDTH, LATENTS), dim=0)
    sae = {
        "W_enc": encoder.contiguous(), "W_dec": encoder.T.contiguous(),
        "b_enc": torch.randn(LATENTS) * 0.1, "b_dec": torch.randn(WIDTH) * 0.1,
    }  # fmt: skip
    (folder / "sae").mkdir()
    save_file(sae, folder / "sae" / "sae_weights.safetensors")
    description = {
        "architecture": "topk", "d_in": WIDTH, "d_sae": LATENTS, "k": K, "dtype": "float32",
        "device": "cpu", "apply_b_dec_to_input": True, "normalize_activations": "none",
        "reshape_activations": "none", "rescale_acts_by_decoder_norm": False,
        "metadata": {"hook_name": "blocks.0.hook_resid_post"},
    }  # fmt: skip
    (folder / "sae" / "cfg.json").write_text(json.dumps(description))
    lines = (TASKS / "organism" / "data" / "web.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"][: 40 + 37 * n] for n, line in enumerate(lines[:10])]
    (folder / "text.json").write_text(json.dumps([{"text": text} for text in texts]))


@torch.no_grad()
def reference(folder: Path) -> Reference:
    """One document at a time: after the first token, all but special ones."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    models = [
        AutoModelForCausalLM.from_pretrained(
            folder / name, dtype=torch.float64, attn_implementation="eager"
        ).eval()
        for name in ("base", "tuned")
    ]
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    parts: list[list[np.ndarray]] = [[], [], [], [], []]
    for number, row in enumerate(json.loads((folder / "text.json").read_text())):
        ids = tokenizer(row["text"])["input_ids"]
        keep = [n for n, one in enumerate(ids) if n and one not in special]
        for side, model in enumerate(models):
            out = model(torch.tensor([ids]), output_hidden_states=True)
            parts[side].append(out.hidden_states[1][0, keep].numpy())
            parts[2 + side].append(out.logits[0, keep].log_softmax(-1).numpy())
        parts[4].append(np.full(len(keep), number))
    from safetensors.numpy import load_file

    sae = load_file(folder / "sae" / "sae_weights.safetensors")
    wide = {name: array.astype("float64") for name, array in sae.items()}
    return Reference(*map(np.concatenate, parts), wide)


def found(results: Results) -> dict[str, float]:
    """The records by id, and by view where a side is measured."""
    values = {}
    for record in results.records:
        name = record.id.partition("@")[0]
        if not name.endswith("_excluded"):
            assert record.value is not None, record
            values[f"{name} {record.axes['view']}" if "view" in record.axes else name] = (
                record.value
            )
    return values


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_every_metric_equals_its_float64_reference(kind: str, tmp_path: Path) -> None:
    write(tmp_path, kind)
    expected = reference(tmp_path)
    below = expected.threshold()
    (tmp_path / "task.toml").write_text(TASK.format(top=TOP, below=below))
    assert main(["eval", str(tmp_path / "task.toml"), "--out", str(tmp_path / "run")]) == 0
    results = harness.load_results(tmp_path / "run")
    numbers, ours = expected.numbers(below), found(results)
    assert ours.keys() == numbers.keys()
    assert results.records[0].n in (len(expected.x), int((expected.cosine < below).sum()))
    wrong = {
        name: (ours[name], value)
        for name, value in numbers.items()
        if ours[name] != pytest.approx(value, rel=_tolerance(name), abs=_tolerance(name))
    }
    assert not wrong
    assert numbers["cosine.raw"] < 0.999
    assert 0.02 < numbers["intersection_ratio.per_token"] < 0.98


def _tolerance(name: str) -> float:
    return next((rough for start, rough in ROUGH.items() if name.startswith(start)), 1e-4)
