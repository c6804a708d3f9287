"""Benchmarks under interventions: each runs once for every arm, on the edited model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from harness.contract import Benchmark, BenchmarkOptions, Model, Outcome, Receipt, Tools
from harness.errors import PluginError
from harness.planning.steps import Generation
from harness.running.experiments.arms import ArmOutcome, ReadyArm, ready_arms
from harness.running.experiments.arms_kept import ArmsKept, Measured
from harness.running.experiments.receipts import merged_receipt
from harness.running.experiments.sealed import Sealed
from harness.running.session import Session
from harness.store.keys import apart, key_of
from harness.store.notes import dropped
from harness.task.contents import by_content
from harness.task.task import Entry


@dataclass(frozen=True)
class BenchmarkKey:
    """All that the answers of one arm depend on. `str` of it is their hash."""

    arm: str
    """The edits with their direction; equal arms are told apart."""
    model: str
    """A hash of the model and of the backend that runs it."""
    benchmark: str
    """The plugin and its component."""
    version: str
    """The version of the plugin."""
    options: Mapping[str, Any]
    """Its options, with what is in files in the place of their paths."""
    seed: int
    """The seed of the task."""

    def __str__(self) -> str:
        return key_of(*astuple(self))


def measure(
    session: Session, work: Generation, entry: Entry[BenchmarkOptions], folder: Path, tools: Tools
) -> Iterator[tuple[ArmOutcome, Outcome]]:
    """What one benchmark finds in each arm; a defined one has a folder of its own in `folder`.

    The name of an arm's folder has a hash of all that the answers depend on in it (edits, model,
    options, seed), so that a rerun finds what was answered before, and nothing else. An arm that
    another run has measured is taken from the cache, and has no folder. Raises PluginError
    where the benchmark gives anything but records and tables.
    """
    spec = session.task.spec.experiments[work.experiment]
    model = session.view_model(spec.view)
    others = ArmsKept(session, work.experiment, entry)
    ready = ready_arms(session, work)
    keys = iter(apart(arm.key for arm in ready if isinstance(arm, ReadyArm)))
    for arm in ready:
        if isinstance(arm, ArmOutcome):
            yield arm, Outcome()
            continue
        name = next(keys)
        key = BenchmarkKey(
            name,
            session.fingerprint(spec.view),
            str(entry.owner),
            entry.owner.plugin.version,
            by_content(entry.options),
            session.task.spec.seed,
        )
        found = others.find(name, arm.planned.label)
        if found is not None:
            session.taken["benchmark arms"] += 1
            tools.tick(entry.options.forwards() or 0)
        else:
            found = _run(model, arm, entry, folder / f"{entry.name}-{key}", tools)
            if found.receipt is not None or not _edits(arm):
                others.keep(name, found)
        made = arm.arm
        yield ArmOutcome(arm.planned, (), found.receipt, made.idle, made.gated), found.outcome


def _run(
    model: Model, arm: ReadyArm, entry: Entry[BenchmarkOptions], where: Path, tools: Tools
) -> Measured:
    """Runs one arm, and once more where answers of earlier receipts turned out not to count."""
    benchmark: Benchmark = entry.build()
    kept = Sealed(where)
    for _ in range(2):
        nothing = nullcontext[Sequence[Receipt]](())
        with model.edited([arm.arm]) if _edits(arm) else nothing as receipts:
            outcome = benchmark.run(model, where, replace(tools, kept=_keeping(kept, receipts)))
        if not isinstance(outcome, Outcome) or outcome.directions:
            raise PluginError(
                f"evaluators.{entry.name}: {entry.owner} must give an Outcome of records and "
                "tables. Report it to the plugin's author."
            )
        if not receipts or kept.add(receipts[0]):
            break
        dropped(where, len(kept.receipts), "remembered receipt", "made with other answers")
        kept.empty()
    if not receipts:
        return Measured(outcome, None)
    receipt = merged_receipt(arm.planned.label, kept.receipts)
    # An earlier run may have answered everything, and was cut off before its receipt was kept.
    return Measured(outcome, None if kept.begun and not receipt.fired else receipt)


def _edits(arm: ReadyArm) -> bool:
    """Whether anything is done to the model in this arm."""
    return bool(arm.arm.edits or arm.arm.checks)


def _keeping(kept: Sealed, receipts: Sequence[Receipt]) -> Callable[[], None]:
    """Keeps what the edits did until now, as far as their receipts can be read that early."""

    def keep() -> None:
        if receipts and (so_far := receipts[0]).fired:
            kept.add(so_far)

    return keep
