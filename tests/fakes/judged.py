"""An intervention and an evaluator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from fakes.lab import LAB
from harness.contract import (
    Answer,
    Arm,
    BenchmarkOptions,
    Check,
    Direction,
    Edit,
    EvaluatorOptions,
    Example,
    Found,
    InterventionOptions,
    Model,
    ModelFacts,
    ModelRef,
    Outcome,
    Prompt,
    Record,
    Sae,
    SaeRef,
    Sampling,
    Score,
    ServerUrl,
    Tools,
    Undefined,
    Verdict,
)
from harness.errors import ModelError


class ShiftOptions(InterventionOptions):
    """Options of `shift`."""

    strength: int = 1
    """What the direction is multiplied with."""
    silent: bool = False
    """Whether it does nothing although it should."""
    gated: bool = False
    """Whether it may do nothing."""
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
        idle, gated = self.options.strength == 0, self.options.gated
        return Arm(name, (edit,), checks, idle=idle, gated=gated)


def _add(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return x + parameters["add"][:, None]


def _one(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return torch.ones(x.shape[:2])


class ListenOptions(InterventionOptions):
    """Options of `listen`."""

    on_sae: ClassVar[bool] = True

    sae: SaeRef = "mid"
    """The SAE that it runs."""

    def own_sae(self) -> str | None:
        return self.sae


class Listen:
    """Adds the direction where the SAE's first latent is active."""

    def __init__(self, options: ListenOptions) -> None:
        self.options = options

    def arm(
        self, name: str, direction: Direction, facts: ModelFacts, dtype: str, sae: Sae | None
    ) -> Arm:
        assert sae is not None
        vector = torch.tensor(direction.vectors[0], dtype=torch.float32)
        edit = Edit(direction.site, _AddWhere(sae), {"add": vector})
        return Arm(name, (edit,), gated=True)


@dataclass(frozen=True)
class _AddWhere:
    sae: Sae

    def __call__(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        first = self.sae.encode(x.reshape(-1, x.shape[-1])).dense()[:, 0].reshape(x.shape[:2])
        return torch.where(first[..., None] > 0, _add(x, parameters), x)


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


class PanelOptions(EvaluatorOptions):
    """Options of `panel`."""

    model: ModelRef | None = None
    """The model that judges."""
    server: ServerUrl | None = None
    """Or where there is one."""
    strict: int = 1
    """How strict it is."""
    peeks: bool = False
    """Whether a verdict depends on the answers beside, which no judge may do."""


class Panel:
    """A judge that is a model: how much it likes a completion, and whether at all."""

    scores = (Score("liked", "panel.liked@1", "points"), Score("any", "panel.any@1"))

    def __init__(self, options: PanelOptions) -> None:
        self.options = options

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        if len(LAB.chunks) + 1 == LAB.crash_at_chunk:
            raise LAB.crash
        LAB.chunks.append(len(answers))
        LAB.judged += [answer.completion.text for answer in answers]
        crowd = len(answers) if self.options.peeks else 0
        return [self._verdict(answer, crowd) for answer in answers]

    def _verdict(self, answer: Answer, crowd: int) -> Verdict:
        points = len(answer.completion.text) / (3 + self.options.strict) + crowd
        return Verdict({"liked": points, "any": points > 2}, f"<b>\u202e {points}")


class QuizOptions(BenchmarkOptions):
    """Options of `quiz`."""

    prompts: int = 3
    """How many it asks."""
    told: bool = True
    """Whether it says how many beforehand."""
    wrong: bool = False
    """Whether it gives a direction, which it may not."""
    bit_by_bit: bool = False
    """Whether it keeps each answer as it comes, and says so."""

    def forwards(self) -> int | None:
        return self.prompts if self.told else None


class Quiz:
    """Asks the model by itself, and keeps what it said."""

    def __init__(self, options: QuizOptions) -> None:
        self.options = options

    def run(self, model: Model, folder: Path, tools: Tools) -> Outcome:
        kept = folder / f"answers-{self.options.prompts}.json"
        if not kept.exists():
            examples = [Example(f"q{n}", "why? " * n) for n in range(1, self.options.prompts + 1)]
            answers = []
            for tokens in model.render(examples, Prompt()):  # one at a time, so it can be killed
                bit = folder / f"{tokens.example}.txt"
                if not bit.exists():
                    text = model.generate([tokens], Sampling())[0].text
                    if self.options.bit_by_bit:
                        bit.write_text(text)
                        tools.kept()
                answers.append(bit.read_text() if bit.exists() else text)
                tools.tick(1)
            kept.write_text(json.dumps(answers))
        answers = json.loads(kept.read_text())
        refused = sum(answer.startswith("No") for answer in answers)
        value = refused / len(answers) if answers else None
        why = None if answers else "nothing was asked"
        record = Record("quiz.refused@1", value, len(answers), "prompts", "share", undefined=why)
        rows = [{"question": n, "answer": answer} for n, answer in enumerate(answers)]
        found = (Found(Undefined("no")),) if self.options.wrong else ()
        return Outcome((record,), {"answers": rows}, found)
