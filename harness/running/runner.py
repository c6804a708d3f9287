"""Runs a plan: preflight, passes, completions, verdicts, results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

from harness.contract import (
    JSON,
    BenchmarkOptions,
    Findings,
    Options,
    Outcome,
    Record,
    Ref,
    Results,
)
from harness.errors import InvalidRun, TaskError, UsageError
from harness.machine import machine_errors
from harness.planning.planner import (
    FilterJob,
    Generation,
    Job,
    MetricJob,
    Pass,
    Plan,
    PlannedArm,
    ReductionJob,
    SentinelJob,
    plan,
)
from harness.registry import Registry
from harness.report import write_report
from harness.results.tables import COMPLETIONS
from harness.results.write import unique, write_arrays, write_directions, write_results
from harness.running.analyses import analyse
from harness.running.experiments.benchmarks import axes_of, benchmarks, measure
from harness.running.experiments.completions import ArmOutcome, generate
from harness.running.experiments.journal import Journal, merged_receipt
from harness.running.experiments.verdicts import (
    judge,
    receipt_failures,
    receipt_records,
    samples,
    verdict_records,
)
from harness.running.folder import plain, run_folder
from harness.running.labels import label_rows
from harness.running.passes.run import DOMAIN, Finished, run_pass
from harness.running.preflight import sae_failures, sentinel_failures
from harness.running.progress import Progress
from harness.running.provenance import provenance
from harness.running.session import Session
from harness.store.files import write_text
from harness.task.fit import misfits
from harness.task.task import Instance, Task
from harness.task.validate import marks


@dataclass
class _Ledger:
    """What has come out so far."""

    records: list[Record] = field(default_factory=list)
    tables: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    preflight: list[tuple[MetricJob, Record]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def run(
    planned: Plan,
    registry: Registry,
    folder: Path,
    *,
    fresh: bool = False,
    remote_code: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Results:
    """Runs a plan into `folder` and returns the results; an unfinished run there is continued.

    Raises InvalidRun when a preflight, a sentinel or a receipt fails; the results are written all
    the same, with their status.
    """
    progress = progress or Progress()
    _check_remote_code(planned.task, remote_code)
    with machine_errors(folder), run_folder(folder, planned.task, fresh):
        session = Session(planned.task, folder / "work" / "downloads")
        for owner in planned.task.owners():
            owner.load()
        session.usage.imported()
        planned = _learn(planned, session)
        ledger = _Ledger()
        write_text(folder / "task.toml", tomli_w.dumps(plain(dict(planned.task.resolved))))
        _run_pass(session, planned.preflight, "preflight", folder, ledger, progress)
        ledger.problems += sae_failures(planned.task, ledger.preflight)
        if not ledger.problems:
            for number, work in enumerate(planned.passes, 1):
                name = f"activations, pass {number} of {len(planned.passes)}"
                _run_pass(session, work, name, folder, ledger, progress)
            _edits(session, ledger)
            write_directions(folder, session.found)
            write_arrays(folder, session.arrays)
            for generation in planned.generations:
                _experiment(session, generation, folder, ledger, progress)
            _labels(session, folder, ledger, progress)
            _analyses(session, folder, ledger, progress)
        results = Results(
            "invalid" if ledger.problems else "complete",
            planned.task.resolved,
            provenance(session, registry, command),
            unique(ledger.records),
            tuple(ledger.problems),
            tuple([*_notes(session), *ledger.warnings]),
            tables=ledger.tables,
        )
        write_results(folder, results)
        write_report(folder, registry, results)
    if results.problems:
        raise InvalidRun("\n".join(results.problems))
    return results


def _notes(session: Session) -> list[str]:
    """What the SAEs have to say of how they were loaded."""
    return [f"saes.{name}: {note}" for name, sae in session.saes.items() for note in sae.notes]


def _check_remote_code(task: Task, allowed: bool) -> None:
    """Code that comes with a model runs only where the task and its user both say so."""
    wanted = [name for name, model in task.models.items() if model.options.runs_remote_code()]
    if wanted and not allowed:
        raise UsageError(
            f"models.{wanted[0]}: the task wants to run code that comes with the model. Read that "
            "code; if you trust it, add --trust-remote-code to the command."
        )


def _learn(planned: Plan, session: Session) -> Plan:
    """The plan again, once models whose configuration could not be read before are loaded."""
    task = planned.task
    unread = [name for name, facts in task.model_facts.items() if facts.layers is None]
    if not unread:
        return planned
    facts = {**task.model_facts, **{name: session.model(name).facts for name in unread}}
    task = replace(task, model_facts=facts)
    if problems := list(misfits(task)):
        raise TaskError(problems)
    session.task = task
    return plan(task)


def _run_pass(
    session: Session, work: Pass, name: str, folder: Path, ledger: _Ledger, progress: Progress
) -> None:
    counts = [session.count(one.data, work.limit) for one in work.renderings()]
    total = sum(counts) if all(counts) else 0
    saved = folder / "work" / "passes" / name.partition(" of ")[0].replace(", pass ", "-")
    with session.usage.stage(name), progress.stage(name, total) as tick:
        run_pass(session, work, lambda job, found: _enter(session, ledger, job, found), tick, saved)


def _pair_axes(task: Task, instance: Instance) -> dict[str, JSON]:
    """The data and the axes of the one pair that a statistic reads; of several, none."""
    options = instance.options
    names = [
        name
        for key, mark in marks(type(options))
        if isinstance(mark, Ref) and mark.table == "pairs"
        if isinstance(name := getattr(options, key), str)
    ]
    if len(names) != 1:
        return {}
    pair = task.spec.pairs[names[0]]
    return {"data": pair.data, **pair.axes}


def _enter(session: Session, ledger: _Ledger, job: Job, found: Finished) -> None:
    """Files what a job found, under the axes that the task gives it."""
    outcomes = found.outcomes
    domain: dict[str, JSON] = {} if found.domain is None else {DOMAIN: found.domain}
    match job:
        case SentinelJob():
            data = job.reads.streams[0].data
            records = [record.on(pair=job.pair, data=data) for record in outcomes[0].records]
            ledger.records += records
            ledger.problems += sentinel_failures(job, records)
        case FilterJob():
            ledger.records += [record.on(**job.axes, **domain) for record in outcomes[0].records]
        case MetricJob():
            records = [record.on(**job.axes, **domain) for record in outcomes[0].records]
            ledger.records += records
            if job.preflight and found.domain is None:
                # The first value of a metric is its headline.
                ledger.preflight.append((job, records[0]))
            _tables(ledger, job.entry, outcomes[0], {**job.axes, **domain})
        case ReductionJob():
            kind = "statistic" if job.statistic else "direction"
            for instance, outcome in zip(job.instances, outcomes, strict=True):
                of_pair = _pair_axes(session.task, instance) if job.statistic else {}
                axes = {**of_pair, kind: instance.entry, **instance.axes, **domain}
                # What a sweep over `finish` alone says again of its pass is one record.
                own = axes if job.statistic else {kind: instance.entry}
                ledger.records += [record.on(**own) for record in outcome.records]
                for one in outcome.directions:
                    at = {**axes, **one.axes}
                    ledger.records += [record.on(**at) for record in one.records]
                _tables(ledger, instance.entry, outcome, axes)
                _warn(ledger, f"{instance.table}.{instance.entry}", outcome)


def _warn(ledger: _Ledger, where: str, outcome: Outcome) -> None:
    said = [f"{where}: {note}" for note in outcome.notes]
    ledger.warnings += [text for text in said if text not in ledger.warnings]


def _tables(ledger: _Ledger, owner: str, outcome: Outcome, axes: Mapping[str, JSON]) -> None:
    for name, rows in outcome.tables.items():
        table = ledger.tables.setdefault(f"{owner}.{name}", [])
        table += [{**axes, **row} for row in rows]


def _edits(session: Session, ledger: _Ledger) -> None:
    """What the edits of views did while they were read, as records and failures."""
    for name, model in session.edited().items():
        edit = session.task.spec.views[name].edit
        assert edit is not None
        entry = session.task.edits[name]
        arm = PlannedArm(edit.direction, edit.at)
        receipt = merged_receipt(name, model.receipts) if model.receipts else None
        outcome = ArmOutcome(arm, (), receipt, model.idle)
        options = {"intervention": str(entry.owner), **entry.options.model_dump(mode="json")}
        ledger.records += receipt_records([outcome], {"view": name}, options)
        for problem in receipt_failures(name, [outcome]):
            ledger.problems.append(problem.replace(f"experiments.{name}", f"views.{name}.edit"))


def _experiment(
    session: Session, work: Generation, folder: Path, ledger: _Ledger, progress: Progress
) -> None:
    spec = session.task.spec.experiments[work.experiment]
    axes: dict[str, JSON] = {"experiment": work.experiment, "view": spec.view}
    options: dict[str, Any] = {}
    if work.experiment in session.task.interventions:
        intervention = session.task.interventions[work.experiment]
        options = {
            "intervention": str(intervention.owner),
            **intervention.options.model_dump(mode="json"),
        }
    _benchmarks(session, work, folder, axes, options, ledger, progress)
    evaluators = [
        name
        for name in spec.evaluators
        if not isinstance(session.task.evaluators[name].options, BenchmarkOptions)
    ]
    if not evaluators:
        return
    assert spec.data is not None
    axes["data"] = spec.data
    journal = Journal(folder / "work" / f"{work.experiment}.jsonl")
    total = len(work.arms) * len(session.rendered(spec.view, spec.data))
    stage = f"completions, {work.experiment}"
    try:
        with session.usage.stage(stage), progress.stage(stage, total) as tick:
            outcomes = generate(session, work, journal, tick)
    finally:
        journal.close()
    ledger.problems += receipt_failures(work.experiment, outcomes)
    ledger.records += receipt_records(outcomes, axes, options)
    judged = []
    for name in evaluators:
        stage = f"verdicts, {work.experiment}, {name}"
        answers = sum(len(outcome.answers) for outcome in outcomes)
        with session.usage.stage(stage), progress.stage(stage, answers) as tick:
            entry = session.task.evaluators[name]
            tools = session.tools(entry.options, folder / "work" / "verdicts", tick)
            judged.append(judge(entry, outcomes, tools))
        ledger.records += verdict_records(judged[-1], outcomes, axes, session.task.spec.seed)
    rows = list(samples(judged, outcomes))
    table = ledger.tables.setdefault(COMPLETIONS, [])
    table += [{**row, "experiment": work.experiment} for row in rows]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    write_text(folder / "samples" / f"{work.experiment}.jsonl", "\n".join(lines) + "\n")


def _benchmarks(
    session: Session,
    work: Generation,
    folder: Path,
    axes: Mapping[str, JSON],
    options: Mapping[str, Any],
    ledger: _Ledger,
    progress: Progress,
) -> None:
    model = session.task.spec.views[session.task.spec.experiments[work.experiment].view].model
    for entry in benchmarks(session, work):
        stage = f"benchmark, {work.experiment}, {entry.name}"
        forwards = (entry.options.forwards() or 0) * len(work.arms)
        with session.usage.stage(stage), progress.stage(stage, forwards) as tick:
            tools = session.tools(entry.options, folder / "work" / "verdicts", tick)
            where = folder / "benchmarks" / work.experiment
            found = measure(session, work, entry, where, tools)
        arms = [one.arm for one in found]
        ledger.problems += receipt_failures(work.experiment, arms)
        ledger.records += receipt_records(arms, {**axes, "evaluator": entry.name}, options)
        for one in found:
            at: dict[str, Any] = {**axes_of(one, {**axes, "model": model})}
            ledger.records += [record.on(**at) for record in one.outcome.records]
            _tables(ledger, entry.name, one.outcome, at)
            _warn(ledger, f"evaluators.{entry.name}", one.outcome)


def _findings(session: Session, folder: Path, ledger: _Ledger, options: Options) -> Findings:
    return Findings(
        tuple(ledger.records),
        {**ledger.tables},
        tuple(session.arrays),
        {name: session.saes[name].facts for name in session.saes},
        session.tools(options, folder / "work" / "verdicts", lambda done: None),
        session.task.spec.seed,
    )


def _labels(session: Session, folder: Path, ledger: _Ledger, progress: Progress) -> None:
    """Each source says what it knows of the features that the tables name."""
    for name, entry in session.task.labels.items():
        spec = session.task.spec.labels[name]
        with progress.stage(f"labels, {name}", 1) as tick:
            findings = _findings(session, folder, ledger, entry.options)
            facts = session.sae(spec.sae).facts
            rows, notes = label_rows(entry, spec.sae, facts, spec.top, findings)
            tick(1)
        ledger.warnings += [f"labels.{name}: {note}" for note in notes]
        ledger.tables[f"labels.{name}"] = list(rows)


def _analyses(session: Session, folder: Path, ledger: _Ledger, progress: Progress) -> None:
    """Each analysis sees what those before it found."""
    for name, entry in session.task.analyses.items():
        with progress.stage(f"analysis, {name}", 1) as tick:
            outcome = analyse(entry, _findings(session, folder, ledger, entry.options))
            tick(1)
        ledger.records += [record.on(analysis=name) for record in outcome.records]
        _tables(ledger, name, outcome, {})
        _warn(ledger, f"analyses.{name}", outcome)
