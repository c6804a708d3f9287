"""Benchmarks under interventions: each runs once for every arm, on the edited model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract import Arm, Benchmark, BenchmarkOptions, Model, Outcome, Receipt, Tools
from harness.errors import PluginError
from harness.planning.steps import Generation
from harness.running.experiments.arms import ArmOutcome, ReadyArm, ready_arms
from harness.running.experiments.journal import Journal
from harness.running.experiments.receipts import merged_receipt
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.task import Entry


@dataclass(frozen=True)
class Measurement:
    """What a benchmark found in one arm."""

    evaluator: str
    arm: ArmOutcome
    outcome: Outcome


def benchmarks(session: Session, work: Generation) -> list[Entry[BenchmarkOptions]]:
    """The benchmarks among an experiment's evaluators."""
    names = session.task.spec.experiments[work.experiment].evaluators
    entries: list[Entry[Any]] = [session.task.evaluators[name] for name in names]
    return [entry for entry in entries if isinstance(entry.options, BenchmarkOptions)]


def measure(
    session: Session, work: Generation, entry: Entry[BenchmarkOptions], folder: Path, tools: Tools
) -> list[Measurement]:
    """Runs one benchmark on every arm that is defined, each in a folder of its own in `folder`.

    The name of an arm's folder has a hash of its edits and its model in it, so that a rerun finds
    what was answered before, and never what was answered under other edits. Raises PluginError
    where the benchmark gives anything but records and tables.
    """
    spec = session.task.spec.experiments[work.experiment]
    model = session.view_model(spec.view)
    benchmark: Benchmark = entry.build()
    found = []
    for arm in ready_arms(session, work):
        if isinstance(arm, ArmOutcome):
            found.append(Measurement(entry.name, arm, Outcome()))
            continue
        where = folder / f"{entry.name}-{key_of(arm.key, model.fingerprint)}"
        begun = where.exists()
        receipts, outcome = _run(benchmark, model, arm.arm, where, tools)
        if not isinstance(outcome, Outcome) or outcome.directions:
            raise PluginError(
                f"evaluators.{entry.name}: {entry.owner} must give an Outcome of records and "
                "tables. Report it to the plugin's author."
            )
        receipt = _merged(receipts, where, arm)
        if begun and receipt is not None and not receipt.fired:
            # An earlier run answered everything and was cut off before its receipt was kept.
            receipt = None
        done = ArmOutcome(arm.planned, (), receipt, arm.arm.idle)
        found.append(Measurement(entry.name, done, outcome))
    return found


def _run(
    benchmark: Benchmark, model: Model, arm: Arm, where: Path, tools: Tools
) -> tuple[Sequence[Receipt], Outcome]:
    where.mkdir(parents=True, exist_ok=True)
    if not arm.edits and not arm.checks:
        return (), benchmark.run(model, where, tools)
    with model.edited([arm]) as receipts:
        outcome = benchmark.run(model, where, tools)
    return receipts, outcome


def _merged(receipts: Sequence[Receipt], where: Path, arm: ReadyArm) -> Receipt | None:
    """What the edits did in this run and in earlier ones, whose receipts are in the folder."""
    if not receipts:
        return None
    journal = Journal(where / "receipts.jsonl")
    try:
        if receipts[0].fired:
            journal.add({}, {arm.key: receipts[0]})
        return merged_receipt(arm.planned.label, journal.receipts.get(arm.key, ()))
    finally:
        journal.close()
