"""Fine-tunes of the base on one question domain each, for forecasts of transfer: small adapters."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from questions import World
from settings import Settings
from tune import train_tune


def train_domain_tunes(
    settings: Settings, world: World, tokenizer: Tokenizer, out: Path
) -> None:
    """Write `tunes/domains/NAME/` for each; one that is there is left, so this can be continued.

    A folder appears whole: it is trained under another name. Delete one to have it trained again.
    """
    for spec in settings.domain_tunes:
        folder = out / "tunes" / "domains" / spec.name
        if folder.exists():
            continue
        print(spec.name, flush=True)
        base = LlamaForCausalLM.from_pretrained(out / "base", dtype=torch.float32).eval()
        unfinished = folder.with_name(f"{spec.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        train_tune(settings, world, spec, tokenizer, base, unfinished)
        unfinished.rename(folder)
