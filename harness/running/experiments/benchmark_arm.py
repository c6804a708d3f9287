"""Asks a benchmark in one arm: what any process of a run does for a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.contract import Benchmark, Model, Outcome, Receipt, Tools
from harness.errors import PluginError
from harness.planning.plan import Plan
from harness.running.experiments.arms import ReadyArm, matching_arm
from harness.running.experiments.arms_kept import Measured
from harness.running.experiments.receipts import merged_receipt
from harness.running.experiments.sealed import Sealed
from harness.running.progress import Tick
from harness.running.session import Session
from harness.store.notes import dropped
from harness.task.task import Entry


@dataclass(frozen=True)
class ArmAsked:
    """An arm in which a benchmark is to be asked. Its length is the number of forwards."""

    place: int
    """The place of the arm in the plan of its experiment."""
    edits: str
    """A hash of its edits and all that they depend on."""
    name: str
    """The name of the folder of its answers: a hash of all that they depend on is in it."""
    forwards: int

    def __len__(self) -> int:
        return self.forwards


@dataclass(frozen=True)
class MeasureArms:
    """Asks one benchmark in arms of an experiment.

    The answers of an arm lie in `folder`, where a rerun finds them; on a machine that does not
    have the folder of the run, they are gone when the worker is.
    """

    experiment: str
    evaluator: str
    folder: str

    def open(self, session: Session, plan: Plan, tick: Tick) -> Callable[[ArmAsked], Measured]:
        """Loads the model."""
        work = next(one for one in plan.generations if one.experiment == self.experiment)
        entry = session.task.evaluators[self.evaluator]
        model = session.view_model(session.task.spec.experiments[self.experiment].view)
        tools = session.tools(entry.options, tick)
        benchmark: Benchmark = session.evaluator(self.evaluator)
        folder = Path(self.folder)
        if not folder.parents[1].is_dir():  # the folder of the run is on another machine
            folder = session.replies.parent / "benchmarks" / self.experiment

        def measure(asked: ArmAsked) -> Measured:
            arm = matching_arm(session, work, asked.place, asked.edits)
            return _run(model, arm, entry, benchmark, folder / asked.name, tools)

        return measure


def _run(
    model: Model,
    arm: ReadyArm,
    entry: Entry[Any],
    benchmark: Benchmark,
    where: Path,
    tools: Tools,
) -> Measured:
    """Runs one arm, and once more where answers of earlier receipts turned out not to count."""
    kept, label = Sealed(where), arm.planned.label
    for _ in range(2):
        nothing = nullcontext[Sequence[Receipt]](())
        with model.edited([arm.arm]) if arm.edits else nothing as receipts:
            keeping = replace(tools, kept=_keeping(kept, receipts, label))
            outcome = benchmark.run(model, where, keeping)
        if not isinstance(outcome, Outcome) or outcome.directions:
            raise PluginError(
                f"evaluators.{entry.name}: {entry.owner} must give an Outcome of records and "
                "tables. Report it to the plugin's author."
            )
        if kept.add(receipts[0] if receipts else Receipt(label)):
            break
        dropped(where, len(kept.receipts), "remembered receipt", "made with other answers")
        kept.empty()
    return Measured(outcome, merged_receipt(label, kept.receipts) if receipts else None)


def _keeping(kept: Sealed, receipts: Sequence[Receipt], label: str) -> Callable[[], None]:
    """Keeps what the edits did until now, as far as their receipts can be read that early."""

    def keep() -> None:
        if not receipts:
            kept.add(Receipt(label))
        elif receipts[0].fired:
            kept.add(receipts[0])

    return keep
