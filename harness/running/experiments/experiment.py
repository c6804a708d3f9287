"""An experiment from its arms to its records: completions and their verdicts, and benchmarks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from harness.contract import JSON, BenchmarkOptions, InterventionOptions
from harness.planning.steps import Generation, PlannedArm
from harness.results.tables import COMPLETIONS
from harness.running.context import RunContext
from harness.running.experiments.arms import ArmOutcome
from harness.running.experiments.benchmarks import measure
from harness.running.experiments.completions import generate
from harness.running.experiments.journal import Journal
from harness.running.experiments.judging import worth_spreading
from harness.running.experiments.known import known_verdicts
from harness.running.experiments.receipts import (
    closed_gates,
    edit_row,
    merged_receipt,
    receipt_failures,
    receipt_records,
)
from harness.running.experiments.silence import silent, unjudged
from harness.running.experiments.verdicts import (
    judge,
    repeated_prompts,
    samples,
    unparted_thoughts,
    verdict_records,
)
from harness.running.experiments.written import written_records
from harness.running.reading.armed import Under
from harness.store.files import write_text
from harness.task.task import Entry, edit_key
from harness.task.turns import is_answered


def run_experiment(context: RunContext, work: Generation) -> None:
    """Runs the benchmarks of an experiment, then makes its completions and has them judged.

    Every completion is written to `samples/<experiment>.jsonl`. Edits that did not do what they
    are for become problems of the context.
    """
    task = context.session.task
    spec = task.spec.experiments[work.experiment]
    axes: dict[str, JSON] = {"experiment": work.experiment, "view": spec.view}
    intervention = task.interventions.get(work.experiment)
    options = _record_options(intervention) if intervention is not None else {}
    evaluators: list[Entry[Any]] = [task.evaluators[name] for name in spec.evaluators]
    for entry in evaluators:
        if isinstance(entry.options, BenchmarkOptions):
            _run_benchmark(context, work, entry, axes, options)
    if judges := [one for one in evaluators if not isinstance(one.options, BenchmarkOptions)]:
        assert spec.data is not None
        axes = {**axes, "data": spec.data}
        outcomes = _complete(context, work)
        where = f"experiments.{work.experiment}"
        _what_edits_did(context, where, outcomes)
        context.ledger.problems += silent(where, outcomes, edited=False)
        for note in silent(where, outcomes, edited=True):
            context.ledger.add_note(note)
        context.ledger.records += receipt_records(outcomes, axes, options)
        longest, seed = spec.generation.max_new_tokens, task.spec.seed
        context.ledger.records += written_records(outcomes, axes, longest, seed)
        _judge(context, work, judges, outcomes, axes)


def record_edited_views(context: RunContext) -> None:
    """Adds what the edits of views did while they were read, as records and problems."""
    task = context.session.task
    for name, model in context.session.edited.items():
        edit = task.spec.views[name].edit
        assert edit is not None
        receipt = merged_receipt(name, model.receipts) if model.receipts else None
        planned = PlannedArm(edit.direction, edit.at)
        outcome = ArmOutcome(planned, (), receipt, model.idle, model.gated)
        options = _record_options(task.edits[name])
        context.ledger.records += receipt_records([outcome], {"view": name}, options)
        _what_edits_did(context, f"views.{name}.edit", [outcome])


def record_stream_edits(context: RunContext) -> None:
    """Adds what the edits of streams did, as problems and records.

    Each arm is held to its promises. A record is of all arms of an intervention together, since
    there are hundreds; the table `edits` of their direction has each of them.
    """
    tried, task = context.session.tried, context.session.task
    groups: dict[tuple[object, ...], list[Under]] = {}
    for one in tried:
        groups.setdefault((one.view, one.edit.direction, edit_key(one.edit)), []).append(one)
    for arms in groups.values():
        view, edit = arms[0].view, arms[0].edit
        entry = task.stream_edits[edit_key(edit)]
        done = {one: tried[one] for one in arms}
        outcomes = [
            ArmOutcome(
                PlannedArm(edit.direction, dict(one.edit.axes)),
                receipt=merged_receipt(str(one), its.receipts),
                idle=its.idle,
                gated=its.gated,
            )
            for one, its in done.items()
        ]
        _what_edits_did(context, f"views.{view}, {edit.method}", outcomes)
        receipts = [receipt for its in done.values() for receipt in its.receipts]
        gated = any(its.gated for its in done.values())
        whole = PlannedArm(edit.direction)
        together = ArmOutcome(whole, receipt=merged_receipt(edit.method, receipts), gated=gated)
        options = _record_options(entry)
        context.ledger.records += receipt_records([together], {"view": view}, options)
        table = context.ledger.tables.setdefault(f"{edit.direction}.edits", [])
        table += [edit_row(one, {"view": view, "intervention": edit.method}) for one in outcomes]


def _what_edits_did(context: RunContext, where: str, outcomes: Sequence[ArmOutcome]) -> None:
    """Says of arms whose edits failed, and of gates that opened nowhere."""
    context.ledger.problems += receipt_failures(where, outcomes)
    for note in closed_gates(where, outcomes):
        context.ledger.add_note(note)


def _record_options(intervention: Entry[InterventionOptions]) -> dict[str, Any]:
    """The options of records about an intervention: its component and its own options."""
    options = intervention.options.model_dump(mode="json")
    return {"intervention": str(intervention.owner), **options}


def _run_benchmark(
    context: RunContext,
    work: Generation,
    entry: Entry[BenchmarkOptions],
    axes: Mapping[str, JSON],
    options: Mapping[str, Any],
) -> None:
    spec = context.session.task.spec
    model = spec.views[spec.experiments[work.experiment].view].model
    forwards = (entry.options.forwards() or 0) * len(work.arms)
    with context.stage(f"benchmark, {work.experiment}, {entry.name}", forwards) as tick:
        where = context.folder / "benchmarks" / work.experiment
        found = measure(context.session, context.team, work, entry, where, tick)
    arms = [arm for arm, _ in found]
    _what_edits_did(context, f"experiments.{work.experiment}", arms)
    context.ledger.records += receipt_records(arms, {**axes, "evaluator": entry.name}, options)
    for arm, outcome in found:
        at = arm.axes({**axes, "model": model}, evaluator=entry.name)
        context.ledger.add_records(outcome, at)
        context.ledger.add_tables(entry.name, outcome, at)
        context.ledger.add_notes(f"evaluators.{entry.name}", outcome)


def _complete(context: RunContext, work: Generation) -> list[ArmOutcome]:
    spec = context.session.task.spec.experiments[work.experiment]
    assert spec.data is not None
    rows = context.session.prompts.answered(spec.view, spec.data).rows
    if answered := sum(map(is_answered, rows)):
        context.ledger.add_note(
            f"data.{spec.data}: {answered} of {len(rows)} conversations end with an answer. "
            "Where completions are made it is taken for the reference: no prompt holds it."
        )
    with (
        closing(Journal(context.folder / "work" / f"{work.experiment}.jsonl")) as journal,
        context.stage(f"completions, {work.experiment}", len(work.arms) * len(rows)) as tick,
    ):
        return generate(context.session, context.team, work, journal, tick)


def _judge(
    context: RunContext,
    work: Generation,
    judges: Sequence[Entry[Any]],
    outcomes: Sequence[ArmOutcome],
    axes: Mapping[str, JSON],
) -> None:
    """Has all completions judged; files the verdicts as records, and each completion as a row."""
    judged = []
    finished = [one.completion.finished for outcome in outcomes for one in outcome.answers]
    answers = sum(finished)
    for entry in judges:
        with context.stage(f"verdicts, {work.experiment}, {entry.name}", answers) as tick:
            tools = context.tools(entry.options, tick)
            folder = context.folder / "work" / "judged" / work.experiment
            with closing(known_verdicts(context.session, entry, tools, folder)) as known:
                team = context.team
                if not worth_spreading(context.session, entry.options):
                    team = team.alone()
                judged.append(judge(team, entry, outcomes, known, tick))
                context.session.taken += Counter(verdicts=known.taken)
        seed = context.session.task.spec.seed
        context.ledger.records += verdict_records(judged[-1], outcomes, axes, seed)
        where = f"experiments.{work.experiment}"
        context.ledger.problems += unjudged(where, judged[-1], outcomes)
    for note in filter(None, (repeated_prompts(outcomes), unparted_thoughts(outcomes))):
        context.ledger.add_note(f"experiments.{work.experiment}: {note}")
    rows = list(samples(judged, outcomes))
    table = context.ledger.tables.setdefault(COMPLETIONS, [])
    table += [{**row, "experiment": work.experiment} for row in rows]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    write_text(context.folder / "samples" / f"{work.experiment}.jsonl", "\n".join(lines) + "\n")
