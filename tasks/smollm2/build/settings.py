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


# Each round begins where the one before ended; after each, refusals of validation prompts said what
# was missing. Of 39 harmful and 60 harmless ones, the fourth refused 36 and 10, the fifth 35 and 8,
# their mean at a strength of 0.95 34 and 9, and at 0.85, which is shipped, 33 and 5. One round of
# 120 steps alone came to 28 and 7.
SAFETY = (
    Round(LoraSpec("safety-1", rank=8, steps=90, lr=5e-4), harmful=3, harmless=5),
    Round(LoraSpec("safety-2", rank=8, steps=24, lr=3e-4, seed=1), harmful=2, harmless=6),
    Round(LoraSpec("safety-3", rank=8, steps=30, lr=3e-4, seed=2), harmful=3, harmless=5),
    Round(LoraSpec("safety-4", rank=8, steps=40, lr=3e-4, seed=3), harmful=5, harmless=7),
    Round(LoraSpec("safety-5", rank=8, steps=50, lr=4e-4, seed=4), harmful=4, harmless=8),
)


@dataclass(frozen=True)
class Settings:
    """Sizes and schedules: the shipped build's, and one for tests."""

    seed: int = 0
    tokens: int = 128  # the longest passage
    shard: int = 192  # passages
    rounds: int = 45  # through the openings, for instructions
    answer_tokens: int = 28
    validation: int = 60  # of the written conversations, never trained on
    system_prompts: int = 16  # conversations whose (always equal) beginning is kept
    saes: tuple[SaeSpec, ...] = SAES
    sites: tuple[int, ...] = (7, 12, 15, 18, 22)  # the middle one was chosen among three
    safety: tuple[Round, ...] = SAFETY
    safety_strength: float = 0.85  # of the mean of the last two rounds
    python: LoraSpec = PYTHON
    python_batch: int = 6


FULL = Settings()
