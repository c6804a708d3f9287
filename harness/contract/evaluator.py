"""Evaluators: what judges completions, or runs a benchmark on an edited model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from harness.contract.backend import Model
from harness.contract.options import Options
from harness.contract.values import Completion, Example, Outcome


@dataclass(frozen=True)
class Answer:
    """A completion with the prompt and example it answers."""

    example: Example
    prompt: str
    completion: Completion


@dataclass(frozen=True)
class Score:
    """One score that an evaluator gives each completion: the identity card of its record."""

    name: str
    id: str
    unit: str = "share"


@dataclass(frozen=True)
class Verdict:
    """Scores of one completion by name; None where the evaluator could not tell."""

    scores: Mapping[str, bool | float | None]
    note: str = ""


@dataclass(frozen=True)
class Tools:
    """What an evaluator is given beside the completions."""

    models: Mapping[str, Model] = field(default_factory=dict)
    """The models of the task that its options name, loaded."""
    cache: Path | None = None
    """A folder of the run that outlives it: verdicts kept there are not asked for again."""
    seed: int = 0
    tick: Callable[[int], None] = lambda done: None
    """To be called, by evaluators that take their time, with the number of answers just judged."""


class EvaluatorOptions(Options):
    """Options of an evaluator of completions. The models that it names are given to `judge`."""

    batch: ClassVar[int] = 32
    """How many completions a model that it names reads together, for `harness plan`."""

    def around(self) -> str | None:
        """What such a model reads around a prompt and its completion; None where it varies."""
        return None


class BenchmarkOptions(EvaluatorOptions):
    """Options of an evaluator that runs a benchmark on an edited model (see `Benchmark`)."""

    def forwards(self) -> int | None:
        """How many prompts it reads in each arm, for `harness plan`; None where nothing tells."""
        return None


@runtime_checkable
class Evaluator(Protocol):
    """Judges completions, built as `Class(options)`; never sees a hook."""

    scores: tuple[Score, ...]

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        """One verdict per answer, in order; answers do not influence each other."""


@runtime_checkable
class Benchmark(Protocol):
    """An evaluator that asks a model itself, built as `Class(options)` of `BenchmarkOptions`."""

    def run(self, model: Model, folder: Path, tools: Tools) -> Outcome:
        """Records and tables of one arm; the model is edited already, every row alike.

        `folder` is the arm's own and outlives the run: what is there need not be asked again.
        """
