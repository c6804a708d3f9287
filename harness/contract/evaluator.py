"""Evaluators: what judges the completions of an experiment, or runs a benchmark on each arm.

An `Evaluator` is given all completions and sees no model under edits; a `Benchmark` is given the
edited model and asks it by itself. The class of the options says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from harness.contract.capabilities import USUAL, Capability
from harness.contract.options import Options, reached_elsewhere

if TYPE_CHECKING:
    from harness.contract.backend import Model
    from harness.contract.values import Completion, Example, Outcome


@dataclass(frozen=True)
class Answer:
    """One completion to judge, with what it answers. All its text is hostile."""

    example: Example
    """The row of data that was asked."""
    prompt: str
    """The prompt as text, as the model read it."""
    completion: Completion
    """What the model wrote. Its `text` is the answer; what a reasoning model thought before is
    apart. Where the thought never ended there is no answer, and nothing is judged."""


@dataclass(frozen=True)
class Score:
    """A score that an evaluator gives to every completion. Its mean over an arm is a record."""

    name: str
    """The key in `Verdict.scores`."""
    id: str
    """The id of the record: `name.variant@version`."""
    unit: str = "share"
    """The unit of the record."""
    partial: bool = False
    """Whether it is only there for some completions, such as the quality of those that are no
    refusals: None then also says that there is nothing to score, and counts as no invalid
    verdict."""


@dataclass(frozen=True)
class Verdict:
    """What an evaluator says about one completion."""

    scores: Mapping[str, bool | float | None]
    """By name, a value for each of `Evaluator.scores`: yes or no, or a finite number; None where
    it could not be told, which the record `invalid_verdicts` counts, or is not there (see
    `Score.partial`)."""
    note: str = ""
    """A remark for people who read the samples, such as what a judge answered."""


@dataclass(frozen=True)
class Tools:
    """What the core lends to evaluators, benchmarks, analyses and sources of labels."""

    models: Mapping[str, Model] = field(default_factory=dict)
    """The models that its options name (fields of type `ModelRef`), loaded, by name."""
    cache: Path | None = None
    """A folder for what should not be asked twice, such as a judge's answers. A run that goes on
    after it was cut off finds it again. It may not exist yet; None where there is none."""
    seed: int = 0
    """The seed of the task, for all that is drawn."""
    tick: Callable[[int], None] = lambda done: None
    """For the progress bar: call it with the number of answers that were judged just now, or of
    questions of a benchmark that were answered."""
    kept: Callable[[], None] = lambda: None
    """For benchmarks: call it each time that answers were written into the folder. What the edits
    did for them is then kept, too; else a run that is cut off loses it."""


class EvaluatorOptions(Options):
    """Base of an evaluator's options. A judge that is a model of the task is a `ModelRef`."""

    batch: ClassVar[int] = 32
    """How many completions a judging model reads at once; `harness plan` estimates with it."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Packages that have a part in its numbers, beside numpy, torch and transformers, such as
    `("lm-eval",)`: with another version of one of them, nothing of an earlier run is used."""

    def around(self) -> str | None:
        """The text that a judging model reads beside a prompt and its completion.

        `harness plan` counts its tokens; None where that varies.
        """
        return None

    def writes(self) -> int:
        """The most tokens that a judging model writes for one verdict; `harness plan` estimates
        with it."""
        return 1

    def runs_remote_code(self) -> bool:
        """Whether it runs code that came with its files; the command line must allow it, too."""
        return False

    def asks_elsewhere(self) -> bool:
        """Whether a part of what it finds is decided outside of this machine: by a server, or by
        data that are looked up by name. What stands there under a name may be another thing
        tomorrow, so that no other run is given what this one found. By default, where the task
        writes a field that is marked `Transport`."""
        return reached_elsewhere(self)


@dataclass(frozen=True)
class Asked:
    """What a benchmark asks in one arm, as far as local files tell."""

    prompts: int
    """How many prompts the model reads: for a question with options, one for each of them."""
    text: str
    """A prompt of usual length, with its solved examples: a plan counts its tokens."""
    writes: int = 0
    """The most tokens that the model writes for each; 0 where it only says how likely they are."""
    batch: int = 8
    """Prompts that are read together."""


class BenchmarkOptions(EvaluatorOptions):
    """Base of a benchmark's options."""

    subject_needs: ClassVar[frozenset[Capability]] = USUAL - {"edits"}
    """What the model that is asked must offer. By default all of it, as it may ask for anything."""

    def forwards(self) -> int | None:
        """How many prompts the benchmark reads in each arm; None where that is not known.

        `harness plan` estimates with it, and the progress bar counts to it.
        """
        return None

    def asked(self) -> Asked | None:
        """What is asked in each arm, so that `harness plan` counts tokens; None where no local file
        tells. The task may say it instead (`expect`). Raises nothing."""
        return None


@runtime_checkable
class Evaluator(Protocol):
    """Judges completions. Built as `Class(options)` from `EvaluatorOptions`."""

    scores: tuple[Score, ...]
    """The scores that every verdict has."""

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        """One verdict for each answer, in order. Called with some of an experiment's answers at a
        time: those of any arms, and of equal ones one.

        The verdict on an answer does not depend on the others, on their order, or on what was
        judged before. No text makes it raise; MachineError where a judge cannot be reached.
        """


@runtime_checkable
class Benchmark(Protocol):
    """An evaluator that asks the model. Built as `Class(options)` from `BenchmarkOptions`."""

    def run(self, model: Model, folder: Path, tools: Tools) -> Outcome:
        """The records and tables of one arm. Called once for each arm, inside `Model.edited`.

        All that it asks the model, the arm's edits act on. `folder` belongs to this arm, model and
        direction alone; a run that goes on after it was cut off finds there what was written.
        """


ANSWERS = "answers"
"""The folder, inside that of an arm, in which a `PartedBenchmark` keeps answers."""


@runtime_checkable
class PartedBenchmark(Benchmark, Protocol):
    """A benchmark whose questions several workers can ask, each of them a part.

    The files that `ask` leaves in `answers/` of its folder are put into `answers/` of the arm's.
    Once those of all parts are there, `run` finds them and asks the model nothing.
    """

    def parts(self, folder: Path, tools: Tools) -> Sequence[str]:
        """The names of the parts; no two have a question in common. `folder` is empty, for whatever
        is needed to find out, and stays as long as this object. Called outside of `Model.edited`.
        """

    def ask(self, part: str, model: Model, folder: Path, tools: Tools) -> None:
        """Asks the questions of one part, inside `Model.edited`. Called after `parts`; `folder` is
        empty."""
