"""What a build depends on besides the code and its inputs."""

from __future__ import annotations

from dataclasses import dataclass

from lora import LoraSpec
from saes import SaeSpec

SAES = (SaeSpec(7), SaeSpec(15), SaeSpec(22))
# In two rounds: after the first the model refused 14 of 60 harmless prompts (validation).
SAFETY = LoraSpec("safety-first", rank=8, steps=90, lr=5e-4)
SAFETY_MORE = LoraSpec("safety", rank=8, steps=24, lr=3e-4, seed=1)
PYTHON = LoraSpec("python", rank=4, steps=40, lr=5e-4, checkpoints=(5, 10, 20, 30))


@dataclass(frozen=True)
class Settings:
    """Sizes and schedules: the shipped build's, and one for tests."""

    seed: int = 0
    tokens: int = 128  # the longest passage
    shard: int = 192  # passages
    rounds: int = 15  # through the openings, for instructions
    more_rounds: int = 6  # for the second round of the safety LoRA
    answer_tokens: int = 36
    more_answer_tokens: int = 28
    validation: int = 60  # of the written conversations, never trained on
    system_prompts: int = 16  # conversations whose (always equal) beginning is kept
    saes: tuple[SaeSpec, ...] = SAES
    sites: tuple[int, ...] = (7, 12, 15, 18, 22)  # the middle one was chosen among three
    safety: LoraSpec = SAFETY
    safety_batch: tuple[int, int] = (3, 5)  # harmful, harmless
    safety_more: LoraSpec = SAFETY_MORE
    safety_more_batch: tuple[int, int, int] = (2, 2, 4)  # harmful, harmless, new harmless
    python: LoraSpec = PYTHON
    python_batch: int = 6


FULL = Settings()
