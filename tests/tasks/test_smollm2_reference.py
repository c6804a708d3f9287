"""A small slice of the tasks of `tasks/smollm2`, against transformers, peft, numpy and scipy alone.

It needs the inputs that `python tasks/smollm2/get` fetches, and is skipped without them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.optimize import nnls

import harness
from harness.results.read import Results

SMOLLM2 = Path(__file__).parents[2] / "tasks" / "smollm2"
INPUTS = SMOLLM2 / "inputs"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PASSAGES, PROMPTS, FEATURES, SINK = 12, 16, 8, 10.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (INPUTS / GGUF).exists(),
        reason="the model is not part of the repository: python tasks/smollm2/get",
    ),
    pytest.mark.filterwarnings("ignore"),  # transformers' and peft's own
]


def rows(name: str, key: str, count: int) -> list[str]:
    """The first rows of an input."""
    lines = (INPUTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line)[key] for line in lines]


@dataclass(frozen=True)
class Sae:
    """A TopK SAE as its paper writes it, in float64 on the shipped half-precision weights."""

    weights: dict[str, np.ndarray]
    k: int

    def encode(self, x: np.ndarray) -> np.ndarray:
        w = self.weights
        a = np.maximum((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 0)
        for row in a:
            row[np.argsort(-row, kind="stable")[self.k :]] = 0
        return a

    def decode(self, z: np.ndarray) -> np.ndarray:
        return z @ self.weights["W_dec"] + self.weights["b_dec"]


def shipped_sae(name: str) -> Sae:
    """An SAE of the repository."""
    folder = SMOLLM2 / "saes" / name
    config = json.loads((folder / "cfg.json").read_text())
    assert config["apply_b_dec_to_input"]
    assert config["normalize_activations"] == "none"
    raw = load_file(folder / "sae_weights.safetensors")
    return Sae({name: value.astype("float64") for name, value in raw.items()}, config["k"])


@pytest.fixture(scope="module")
def models() -> tuple[Any, dict[str, Any]]:
    """The tokenizer, and the base and the tuned model as transformers and peft read them."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def read() -> Any:
        return AutoModelForCausalLM.from_pretrained(
            INPUTS, gguf_file=GGUF, dtype=torch.float32, attn_implementation="eager"
        ).eval()

    tokenizer = AutoTokenizer.from_pretrained(INPUTS, gguf_file=GGUF)
    tuned = PeftModel.from_pretrained(read(), SMOLLM2 / "tunes" / "safety").eval()
    return tokenizer, {"base": read(), "safe": tuned.get_base_model()}


@torch.no_grad()
def outputs(model: Any, ids: Sequence[int], layer: int) -> np.ndarray:
    """A block's outputs on one row of ids, in float64."""
    out = model(torch.tensor([ids]), output_hidden_states=True)
    found: np.ndarray = out.hidden_states[layer + 1][0].double().numpy()
    return found


def text(models: tuple[Any, dict[str, Any]], layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' activations on held-out passages, without first tokens and sinks."""
    tokenizer, both = models
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for passage in rows("heldout", "text", PASSAGES):
        ids = tokenizer(passage)["input_ids"]
        sides = [outputs(both[name], ids, layer) for name in ("base", "safe")]
        keep = np.arange(len(ids)) > 0
        for side in sides:
            norms = np.linalg.norm(side, axis=1)
            keep &= norms <= SINK * np.median(norms)
        for part, side in zip(parts, sides, strict=True):
            part.append(side[keep])
    return np.concatenate(parts[0]), np.concatenate(parts[1])


def last(models: tuple[Any, dict[str, Any]], view: str, name: str, layer: int) -> np.ndarray:
    """Activations at the last token of prompts in the chat template."""
    tokenizer, both = models
    found = []
    for prompt in rows(name, "instruction", PROMPTS):
        turn = [{"role": "user", "content": prompt}]
        written = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(written, add_special_tokens=False)["input_ids"]
        found.append(outputs(both[view], ids, layer)[-1])
    return np.stack(found)


def run(name: str, folder: Path, data: dict[str, int], **changes: Any) -> Results:
    """A task of the folder on a few rows."""
    rows_of = {key: {"limit": count} for key, count in data.items()}
    task = harness.load(SMOLLM2 / f"{name}.toml", data=rows_of, **changes)
    return harness.run(harness.plan(task), folder)


@pytest.fixture(scope="module")
def slice_of_refusal(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The refusal task without completions to speak of: one goal, one feature count."""
    sweep = {"sweep": {"k": [FEATURES]}}
    return run(
        "refusal",
        tmp_path_factory.mktemp("refusal"),
        {
            "harmful": PROMPTS,
            "harmless": PROMPTS,
            "goals": 1,
            "harmless_test": 1,
            "web": PASSAGES,
        },
        directions={
            "safe_features": sweep,
            "base_features": sweep,
            "random": {"draws": 1},
            "random_features": {"draws": 1, "k": 4},
        },
        experiments={
            "bypass": {"generation": {"max_new_tokens": 1}},
            "induce": {"generation": {"max_new_tokens": 1}},
        },
    )


def layer_of(results: Results) -> int:
    """The block that the refusal direction is taken from."""
    sites = {str(r.axes["site"]) for r in results.records if r.id == "direction.norm@1"}
    return int(sites.pop().rpartition(".")[2])


def test_direction_and_its_rebuilding(
    models: tuple[Any, dict[str, Any]], slice_of_refusal: Results
) -> None:
    """Difference in means, the features that tell the prompts apart, NNLS without an intercept."""
    layer = layer_of(slice_of_refusal)
    sae = shipped_sae(f"resid_post.{layer}")
    sides = {
        view: [last(models, view, f"{kind}_directions", layer) for kind in ("harmful", "harmless")]
        for view in ("safe", "base")
    }
    direction = sides["safe"][0].mean(0) - sides["safe"][1].mean(0)
    norm = slice_of_refusal.value("direction.norm", direction="refusal")
    assert norm == pytest.approx(np.linalg.norm(direction), rel=1e-3)
    for view, name in (("safe", "safe_features"), ("base", "base_features")):
        latents = [sae.encode(x) for x in sides[view]]
        difference = latents[0].mean(0) - latents[1].mean(0)
        chosen = np.argsort(-difference, kind="stable")[:FEATURES]
        assert difference[chosen].min() > 0
        _, error = nnls(sae.weights["W_dec"][chosen].T, direction)
        nmse = slice_of_refusal.value("direction.nmse", direction=name)
        assert nmse == pytest.approx(error**2 / (direction @ direction), rel=5e-3)


def test_cosine_and_fvu_on_text(
    models: tuple[Any, dict[str, Any]], slice_of_refusal: Results
) -> None:
    """On the same tokens: FVU of both sides, and the cosine of activations and latents."""
    layer = layer_of(slice_of_refusal)
    sae = shipped_sae(f"resid_post.{layer}")
    x, y = text(models, layer)
    for view, side in (("base_text", x), ("safe_text", y)):
        error = np.square(side - sae.decode(sae.encode(side))).sum()
        right = error / np.square(side - side.mean(0)).sum()
        found = slice_of_refusal.value("fvu.pooled", view=view)
        assert found == pytest.approx(right, rel=2e-3)
    raw = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert slice_of_refusal.value("cosine.raw") == pytest.approx(raw.mean(), abs=1e-4)


def test_explained_and_intersection_ratio(
    models: tuple[Any, dict[str, Any]], tmp_path: Path
) -> None:
    """Over all tokens of the slice, at every SAE of the drift task."""
    counts = {"web": PASSAGES, "goals": 2, "harmless": 2}
    every = {"intersection_ratio_all": {"variants": ["per_token"]}}
    results = run("drift", tmp_path, counts, metrics=every)
    for layer in {int(s.name.rpartition(".")[2]) for s in (SMOLLM2 / "saes").iterdir()}:
        sae, (x, y) = shipped_sae(f"resid_post.{layer}"), text(models, layer)
        s, t = (np.sqrt(np.square(side).sum(1).mean()) for side in (x, y))
        z, w = sae.encode(x), sae.encode(y)
        error = np.square((y - sae.decode(w)) / t).sum()
        explained = error / np.square(y / t - x / s).sum()
        both, either = ((z > 0) & (w > 0)).sum(1), ((z > 0) | (w > 0)).sum(1)
        site = f"resid_post.{layer}"
        found = unfiltered(results, "explained_ratio.ratio_of_means@1", site)
        assert found == pytest.approx(explained, rel=5e-3)
        found = unfiltered(results, "intersection_ratio.per_token@1", site)
        assert found == pytest.approx((both / either).mean(), abs=3e-3)


def unfiltered(results: Results, id: str, site: str) -> float | None:
    """The value over all tokens of the text: the same id is there for some of them, too."""
    (record,) = (
        record
        for record in results.records
        if record.id == id
        and (record.axes["pair"], record.axes["site"]) == ("web", site)
        and not {"cosine_below", "cosine_quantile"} & record.options.keys()
    )
    return record.value


def test_the_model_is_the_one_that_this_was_made_with() -> None:
    """The hash that the tasks state is the hash of the file."""
    import hashlib

    digest = hashlib.sha256((INPUTS / GGUF).read_bytes()).hexdigest()
    for task in sorted(SMOLLM2.glob("*.toml")):
        assert f'sha256 = "{digest}"' in task.read_text(encoding="utf-8")
