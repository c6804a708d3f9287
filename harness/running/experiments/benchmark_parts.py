"""Asks parts of a benchmark in arms, each by whoever is free, and puts the answers together."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract import (
    ANSWERS,
    BenchmarkOptions,
    PartedBenchmark,
    Receipt,
)
from harness.planning.plan import Plan
from harness.running.experiments.arms import matching_arm
from harness.running.experiments.benchmark_arm import ArmAsked
from harness.running.experiments.sealed import Sealed
from harness.running.progress import Tick
from harness.running.session import Session
from harness.running.spread.team import Team
from harness.store.files import whole
from harness.store.lines import Lines
from harness.task.task import Entry


@dataclass(frozen=True)
class PartAsked:
    """A part of a benchmark's questions, to be asked in an arm."""

    arm: ArmAsked
    part: int
    questions: int
    """Its length: how much of the stage it is."""

    def __len__(self) -> int:
        return self.questions


@dataclass(frozen=True)
class PartAnswers:
    """The files of answers that a part came to, and what the arm's edits did meanwhile."""

    files: Mapping[str, bytes]
    """By path inside `answers/`."""
    receipt: Receipt | None


@dataclass(frozen=True)
class AskParts:
    """Asks parts of one benchmark in arms of an experiment."""

    experiment: str
    evaluator: str

    def open(self, session: Session, plan: Plan, tick: Tick) -> Callable[[PartAsked], PartAnswers]:
        """Loads the model, and finds out which parts there are."""
        work = next(one for one in plan.generations if one.experiment == self.experiment)
        entry = session.task.evaluators[self.evaluator]
        model = session.view_model(session.task.spec.experiments[self.experiment].view)
        names = parts_of(session, entry)
        tools = session.tools(entry.options, lambda done: None)
        benchmark: PartedBenchmark = session.evaluator(self.evaluator)

        def ask(asked: PartAsked) -> PartAnswers:
            arm = matching_arm(session, work, asked.arm.place, asked.arm.edits)
            folder = _scratch(session, entry) / f"{asked.arm.name}-{asked.part}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            nothing = nullcontext[Sequence[Receipt]](())
            with model.edited([arm.arm]) if arm.edits else nothing as receipts:
                benchmark.ask(names[asked.part], model, folder, tools)
            files = _files(folder / ANSWERS)
            shutil.rmtree(folder)
            tick(len(asked))
            return PartAnswers(files, receipts[0] if receipts else None)

        return ask


def parts_of(session: Session, entry: Entry[Any]) -> Sequence[str]:
    """The parts of a benchmark; none of one that is asked as a whole."""
    benchmark: Any = session.evaluator(entry.name)
    if not isinstance(benchmark, PartedBenchmark):
        return ()
    folder = _scratch(session, entry) / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    return benchmark.parts(folder, session.tools(entry.options, lambda done: None))


def ask_parts(
    session: Session,
    team: Team,
    experiment: str,
    entry: Entry[BenchmarkOptions],
    folder: Path,
    arms: Sequence[ArmAsked],
    tick: Tick,
) -> int:
    """Has every part asked in every arm, so that its answers lie in the folder of the arm; what an
    earlier run has asked is not asked again. Returns how much was told to `tick`."""
    count = len(parts_of(session, entry))
    if count < 2:
        return 0
    asked: list[PartAsked] = []
    told = 0
    for arm in arms:
        with closing(_done(folder, arm)) as lines:
            done = {int(one) for one in lines.values() if isinstance(one, int)}
        for part in range(count):
            questions = arm.forwards // count
            if part in done and (folder / arm.name).is_dir():
                told += questions
                tick(questions)
            else:
                asked.append(PartAsked(arm, part, questions))
    for number, answers in team.map(AskParts(experiment, entry.name), asked, tick):
        one = asked[number]
        take_in(folder / one.arm.name, answers)
        with closing(_done(folder, one.arm)) as lines:
            lines.add(one.part)
        told += len(one)
    return told


def take_in(where: Path, answers: PartAnswers) -> None:
    """Puts the answers of a part into the folder of its arm, with their receipt.

    Where they are there already, so is their receipt: a crash came before the part was noted.
    """
    kept = Sealed(where)
    if all(_holds(where / ANSWERS / name, content) for name, content in answers.files.items()):
        return
    for name, content in answers.files.items():
        with whole(where / ANSWERS / name) as partial:
            partial.write_bytes(content)
    kept.add(answers.receipt or Receipt(""))


def _holds(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def _done(folder: Path, arm: ArmAsked) -> Lines:
    """The numbers of the parts that were asked in an arm."""
    folder.mkdir(parents=True, exist_ok=True)
    return Lines(folder / f"{arm.name}.parts.jsonl")


def _files(folder: Path) -> dict[str, bytes]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def _scratch(session: Session, entry: Entry[Any]) -> Path:
    """A folder of this process, which needs not outlive it."""
    return session.replies.parent / "parts" / entry.name
