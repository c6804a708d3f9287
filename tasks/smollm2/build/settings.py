"""What a build depends on besides the code and its inputs."""

from __future__ import annotations

from dataclasses import dataclass

from lora import LoraSpec
from saes import SaeSpec

SAES = (SaeSpec(7), SaeSpec(15), SaeSpec(22))
PYTHON = LoraSpec("python", rank=4, steps=40, lr=5e-4, checkpoints=(5, 10, 20, 30))


@dataclass(frozen=True)
class Round:
    """One round of the safety LoRA: how long, and how many of each kind are in a batch."""

    spec: LoraSpec
    harmful: int
    harmless: int
    more: int
    """Of the harmless ones that were written for the later rounds."""


# Each round begins where the one before ended. After the first, 14 of 60 harmless validation
# prompts were refused; after the second, 14 of 39 harmful ones were answered.
SAFETY = (
    Round(LoraSpec("safety-1", rank=8, steps=90, lr=5e-4), harmful=3, harmless=5, more=0),
    Round(LoraSpec("safety-2", rank=8, steps=24, lr=3e-4, seed=1), harmful=2, harmless=2, more=4),
    Round(LoraSpec("safety", rank=8, steps=30, lr=3e-4, seed=2), harmful=3, harmless=2, more=3),
)


@dataclass(frozen=True)
class Settings:
    """Sizes and schedules: the shipped build's, and one for tests."""

    seed: int = 0
    tokens: int = 128  # the longest passage
    shard: int = 192  # passages
    rounds: int = 15  # through the openings, for instructions
    more_rounds: int = 6  # for the later rounds of the safety LoRA
    answer_tokens: int = 36
    more_answer_tokens: int = 28
    validation: int = 60  # of the written conversations, never trained on
    system_prompts: int = 16  # conversations whose (always equal) beginning is kept
    saes: tuple[SaeSpec, ...] = SAES
    sites: tuple[int, ...] = (7, 12, 15, 18, 22)  # the middle one was chosen among three
    safety: tuple[Round, ...] = SAFETY
    python: LoraSpec = PYTHON
    python_batch: int = 6


FULL = Settings()
