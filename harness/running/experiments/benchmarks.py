"""Benchmarks under interventions: each runs once for every arm, on the edited model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from harness.contract import Benchmark, BenchmarkOptions, Outcome, Receipt, Tools
from harness.errors import PluginError
from harness.planning.steps import Generation
from harness.running.experiments.arms import ArmOutcome, ReadyArm, ready_arms
from harness.running.experiments.journal import Journal
from harness.running.experiments.receipts import merged_receipt
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.task import Entry


def measure(
    session: Session, work: Generation, entry: Entry[BenchmarkOptions], folder: Path, tools: Tools
) -> Iterator[tuple[ArmOutcome, Outcome]]:
    """What one benchmark finds in each arm; a defined one has a folder of its own in `folder`.

    The name of an arm's folder has a hash of its edits and its model in it, so that a rerun finds
    what was answered before, and never what was answered under other edits. Raises PluginError
    where the benchmark gives anything but records and tables.
    """
    spec = session.task.spec.experiments[work.experiment]
    model = session.view_model(spec.view)
    benchmark: Benchmark = entry.build()
    for arm in ready_arms(session, work):
        if isinstance(arm, ArmOutcome):
            yield arm, Outcome()
            continue
        where = folder / f"{entry.name}-{key_of(arm.key, model.fingerprint)}"
        begun = where.exists()
        where.mkdir(parents=True, exist_ok=True)
        nothing = nullcontext[Sequence[Receipt]](())
        edits = arm.arm.edits or arm.arm.checks
        with model.edited([arm.arm]) if edits else nothing as receipts:
            outcome = benchmark.run(model, where, tools)
        if not isinstance(outcome, Outcome) or outcome.directions:
            raise PluginError(
                f"evaluators.{entry.name}: {entry.owner} must give an Outcome of records and "
                "tables. Report it to the plugin's author."
            )
        receipt = _merged(receipts, where, arm)
        if begun and receipt is not None and not receipt.fired:
            # An earlier run answered everything and was cut off before its receipt was kept.
            receipt = None
        yield ArmOutcome(arm.planned, (), receipt, arm.arm.idle), outcome


def _merged(receipts: Sequence[Receipt], where: Path, arm: ReadyArm) -> Receipt | None:
    """What the edits did in this run and in earlier ones, whose receipts are in the folder."""
    if not receipts:
        return None
    with closing(Journal(where / "receipts.jsonl")) as journal:
        if receipts[0].fired:
            journal.add({}, {arm.key: receipts[0]})
        return merged_receipt(arm.planned.label, journal.receipts.get(arm.key, ()))
