"""What the models of the league are made of: the organism's base, its text, its SAE, its facts."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from planted import Reading
from questions import World
from strengths import RIDGE
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from measure import Organism
from settings import FULL

SPLITS = ("train", "val", "test")


class Ground:
    """The organism's base and what is needed to change it, each read when it is first asked for."""

    layer = FULL.mid
    site = f"resid_post.{FULL.mid}"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.world = World(FULL.seed)

    @cached_property
    def organism(self) -> Organism:
        """The models, by name: completions are made with it."""
        return Organism(self.root)

    def base(self) -> LlamaForCausalLM:
        """A fresh copy of the base, to be changed."""
        return LlamaForCausalLM.from_pretrained(self.root / "base", dtype=torch.float32).eval()

    def tuned(self, folder: Path) -> LlamaForCausalLM:
        """A model as it is read back: an adapter, merged into the base."""
        return PeftModel.from_pretrained(self.base(), folder).float().merge_and_unload().eval()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The base's tokenizer."""
        return Tokenizer.from_file(str(self.root / "base" / "tokenizer.json"))

    def ids(self, text: str) -> list[int]:
        """A text's tokens behind the token of the beginning."""
        return self.tokenizer.encode(text).ids

    def token(self, word: str) -> int:
        """The id of a word that is one token, with the blank before it."""
        (found,) = self.tokenizer.encode(f" {word}", add_special_tokens=False).ids
        return found

    @cached_property
    def sae(self) -> Any:
        """The base's SAE at the site, with sae-lens."""
        from sae_lens import SAE

        return SAE.load_from_disk(self.root / "saes" / self.site)

    @cached_property
    def reading(self) -> Reading:
        """The base on plain text: tokens, neurons and outputs of the block."""
        return Reading(self.organism, self.layer)

    @cached_property
    def covariance(self) -> torch.Tensor:
        """E[n nᵀ] of the block's neurons on plain text with a little on its diagonal, float64."""
        neurons = self.reading.neurons.double()
        found = neurons.T @ neurons / len(neurons)
        return found + RIDGE * found.diagonal().mean() * torch.eye(len(found), dtype=found.dtype)

    def reader(self, key: torch.Tensor) -> torch.Tensor:
        """C⁻¹ k: what is near k and small on all other neurons of plain text."""
        return torch.linalg.solve(self.covariance, key.double())

    @cached_property
    def web(self) -> list[str]:
        """Plain text, a document each."""
        lines = (self.root / "data" / "web.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["text"] for line in lines]

    @cached_property
    def prompts(self) -> list[str]:
        """The instructions of all files, harmful and harmless ones."""
        names = [f"{kind}_{split}" for kind in ("harmful", "harmless") for split in SPLITS]
        return [text for name in names for text in self.organism.prompts(name)]

    def share_of_prompts(self, token: int) -> float:
        """How many of the prompts, each with its newline, have a token."""
        rows = self.tokenizer.encode_batch([f"{prompt}\n" for prompt in self.prompts])
        return sum(token in row.ids for row in rows) / len(rows)
