"""What the card tells of a build, measured from the files that are shipped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from activations import counts, layer_tensors
from judged import refused
from lora import BASE
from prompts import conversation, instructions
from written import continued

if TYPE_CHECKING:
    from steps import Build


def pooled_fvu(sae, blocks: Iterable[torch.Tensor]) -> dict[str, float]:
    """FVU over all tokens, Σ‖x − x̂‖² / Σ‖x − mean x‖², active latents a token, and unused latents.

    Sums in float64; the mean is over all the tokens, so the blocks are read twice.
    """
    blocks = list(blocks)
    tokens = sum(len(block) for block in blocks)
    mean = sum(block.double().sum(0) for block in blocks) / tokens
    error = variance = active = 0.0
    used = torch.zeros(sae.cfg.d_sae, dtype=torch.bool)
    with torch.no_grad():
        for block in blocks:
            x = block.float()
            latents = sae.encode(x)
            error += float((x.double() - sae.decode(latents).double()).square().sum())
            variance += float((x.double() - mean).square().sum())
            active += float((latents != 0).sum())
            used |= (latents != 0).any(0)
    return {
        "fvu": error / variance,
        "l0": active / tokens,
        "unused": 1 - float(used.float().mean()),
        "tokens": tokens,
    }


def completions(model, tokenizer, prompts: list[str], new: int = 24) -> list[str]:
    """Greedy completions of prompts in the chat template."""
    found: list[str] = []
    for start in range(0, len(prompts), 32):
        rows = [conversation(tokenizer, prompt) for prompt in prompts[start : start + 32]]
        found += [tokenizer.decode(ids) for ids, _ in continued(model, tokenizer, rows, new)]
    return found


def safety_figures(build: Build) -> dict[str, dict[str, int]]:
    """Refusals of the base and the tuned model on validation prompts, {prompts: {model: count}}."""
    from peft import PeftModel

    prompts = {
        "harmful_val": instructions(build.inputs / "harmful_val.jsonl"),
        "harmless_val": instructions(build.inputs / "harmless_val.jsonl"),
        "written_val": [row["instruction"] for row in build.written_rows()[1]],
    }
    models = {"base": build.base()}
    models["safety"] = PeftModel.from_pretrained(build.base(), build.out / "tunes" / "safety")
    figures: dict[str, dict[str, int]] = {}
    for name, texts in prompts.items():
        figures[name] = {"prompts": len(texts)}
        for which, model in models.items():
            figures[name][which] = refused(completions(model, build.tokenizer, texts))
    return figures


def shipped_bytes(folder: Path) -> dict[str, int]:
    """Bytes of each shipped folder's files."""
    return {
        name: sum(f.stat().st_size for f in (folder / name).rglob("*") if f.is_file())
        for name in ("saes", "tunes")
    }


def measured(build: Build) -> dict[str, object]:
    """Everything that the card tells."""
    from sae_lens import SAE

    folders = build.work / "activations"
    found: dict[str, object] = {"base": BASE, "bytes": shipped_bytes(build.out)}
    found["training"] = {f.name: counts([f]) for f in build.training_folders()}
    found["heldout"] = counts([folders / "heldout"])
    found["saes"] = {
        spec.name: pooled_fvu(
            SAE.load_from_disk(build.out / "saes" / spec.name, dtype="float32"),
            layer_tensors([folders / "heldout"], spec.layer),
        )
        for spec in build.settings.saes
    }
    found["written"] = len(build.written_rows()[0])
    found["refusals"] = safety_figures(build)
    return found
