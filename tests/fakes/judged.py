"""An intervention and an evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness.contract import (
    Answer,
    Arm,
    Check,
    Direction,
    Edit,
    EvaluatorOptions,
    InterventionOptions,
    ModelFacts,
    Score,
    Tools,
    Verdict,
)
from harness.errors import ModelError


class ShiftOptions(InterventionOptions):
    """Options of `shift`."""

    strength: int = 1
    """What the direction is multiplied with."""
    silent: bool = False
    """Whether it does nothing although it should."""
    promise: float | None = None
    """The most that `drift`, which is 1, may measure."""


class Shift:
    """Adds the direction."""

    def __init__(self, options: ShiftOptions) -> None:
        self.options = options

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        if direction.vectors.shape[1] != facts.d_model:
            raise ModelError(f"{name}: the direction has another width.")
        vector = torch.tensor(direction.vectors[0] * self.options.strength, dtype=torch.float32)
        edit = Edit(direction.site, _add, {"add": vector * (not self.options.silent)})
        checks = (Check("drift", direction.site, _one, {}, self.options.promise),)
        return Arm(name, (edit,), checks, idle=self.options.strength == 0)


def _add(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return x + parameters["add"][:, None]


def _one(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return torch.ones(x.shape[:2])


class PoliteOptions(EvaluatorOptions):
    """Options of `polite`."""

    shrug: str = "∅"
    """It cannot judge completions that contain this."""
    verdicts: int | None = None
    """How many verdicts it gives, right or wrong."""


class Polite:
    """Whether a completion says no, and how long it is."""

    scores = (Score("refused", "polite.refused@1"), Score("length", "polite.length@1", "chars"))

    def __init__(self, options: PoliteOptions) -> None:
        self.options = options

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        given = [self._verdict(answer.completion.text) for answer in answers]
        count = len(given) if self.options.verdicts is None else self.options.verdicts
        return (given * 3)[:count]

    def _verdict(self, text: str) -> Verdict:
        if self.options.shrug in text:
            return Verdict({"refused": None, "length": None}, "no idea")
        return Verdict({"refused": text.startswith("No"), "length": float(len(text))})
