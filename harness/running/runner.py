"""Runs a plan: preflight, passes, experiments, labels, analyses, results, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tomli_w

from harness.contract import Observer, Results
from harness.errors import InvalidRun, TaskError, UsageError, listed
from harness.garbage import importing
from harness.machine import machine_errors
from harness.planning.foresight import remote_code
from harness.planning.plan import Plan
from harness.planning.rehearsal import unwritable
from harness.planning.steps import Pass
from harness.registry import Registry
from harness.report import write_report
from harness.results.write import unique, write_arrays, write_directions, write_results
from harness.running import claims, families
from harness.running.ahead import reading_ahead
from harness.running.analyses import tried
from harness.running.context import RunContext
from harness.running.experiments.experiment import (
    record_edited_views,
    record_stream_edits,
    run_experiment,
)
from harness.running.folder import run_folder
from harness.running.labels import label_rows
from harness.running.learned import learned
from harness.running.ledger import Ledger
from harness.running.observers.audience import Audience, attended
from harness.running.observers.news import News
from harness.running.observers.seats import seats_of
from harness.running.passes.run import run_pass
from harness.running.preflight import sae_failures
from harness.running.progress import Progress
from harness.running.provenance import provenance
from harness.running.session import Session
from harness.running.spread.team import Team, team_of
from harness.store.cache import Cache
from harness.store.files import write_text
from harness.store.known_files import knowing
from harness.store.notes import hearing
from harness.task.familied import read_families
from harness.task.file import plain
from harness.task.task import Task
from harness.task.untrained import untrained
from harness.web import telling


def run(
    planned: Plan,
    registry: Registry,
    folder: Path,
    *,
    fresh: bool = False,
    remote_code: bool = False,
    command: str = "",
    progress: Progress | None = None,
    cache: Cache | None = None,
    observers: Sequence[Observer] = (),
) -> Results:
    """Runs a plan into `folder` and returns the results; an unfinished run there is continued.

    What other runs have put into `cache` is not made again, and what this one makes is put there.
    `observers` are told what happens, beside those of the task. What must be said of observers
    themselves is among the warnings that are returned, and not in the files of the run.

    Raises InvalidRun when a preflight, a sentinel or a receipt fails; the results are written all
    the same, with their status.
    """
    progress = progress or Progress()
    registry = registry.plus(planned.task.local)
    _check_remote_code(planned.task, remote_code)
    with progress.doing("writing one prompt of each view"):
        unwritten = list(unwritable(planned))
    if unwritten:
        raise TaskError(unwritten)
    with (
        telling(progress.say),
        machine_errors(folder),
        hearing() as heard,
        run_folder(folder, planned.task, fresh),
    ):
        cache = cache and cache.opened()
        work = folder / "work"
        session = Session(planned.task, work / "downloads", work / "verdicts", progress, cache)
        seats = [*seats_of(planned.task, observers, progress)]
        audience = Audience(seats, session.usage.tokens, progress.say)
        with attended(audience), machine_errors(folder), knowing(session.known):
            news = News(audience, Ledger(planned.task))
            team = Team(session, planned)
            context = RunContext(session, news.ledger, folder, progress, news, team)
            results = _run(context, planned, registry, command, heard)
    if results.problems:
        raise InvalidRun("\n".join(results.problems))
    return replace(results, warnings=(*results.warnings, *audience.notes))


def _run(
    context: RunContext, planned: Plan, registry: Registry, command: str, heard: Sequence[str]
) -> Results:
    """Runs a plan in a folder that is the run's own, and writes what comes out.

    `heard` is what was noted, by the end, of remembered work that was not used.
    """
    session, ledger, folder = context.session, context.ledger, context.folder
    context.news.begin(folder, (folder / "task.toml").is_file())
    _import(planned.task, context.progress)
    session.usage.imported()
    planned = learned(planned, session)
    ledger.task = planned.task
    claimed = claims.remember(folder, planned.task.resolved)
    asked = families.remember(folder, planned.task.resolved)
    resolved = families.dated(claims.dated(planned.task.resolved, claimed), asked)
    write_text(folder / "task.toml", tomli_w.dumps(plain(resolved)))
    try:
        with (
            reading_ahead(session, planned),
            team_of(session, planned, registry, folder, context.told) as team,
        ):
            _measure(replace(context, team=team), planned)
        _say_of_cache(context)
    except InvalidRun as error:
        ledger.problems.append(str(error))
    results = Results(
        "invalid" if ledger.problems else "complete",
        resolved,
        provenance(session, registry, command),
        unique(ledger.records),
        tuple(ledger.problems),
        tuple(
            [
                *_model_notes(session),
                *_sae_notes(session),
                *session.prompts.left_out.notes(),
                *_pair_notes(session),
                *heard,
                *ledger.warnings,
            ]
        ),
        tables=ledger.tables,
    )
    many = [] if ledger.problems else ledger.p_values
    results = families.discovered(results, read_families(planned.task.spec.families), many, asked)
    results = claims.come_out(results, claimed)
    write_results(folder, results)
    with context.progress.doing("writing the report"):
        write_report(folder, registry, results)
    context.news.end(folder, results)
    return results


def _say_of_cache(context: RunContext) -> None:
    """Keeps the cache at its size, and says what of it was used."""
    session, cache = context.session, context.session.cache
    if cache is not None:
        with cache.writing():
            cache.prune(cache.limit)
    if session.taken:
        taken = listed(f"{count} {what}" for what, count in session.taken.items())
        context.progress.say(f"from the cache: {taken} (--no-cache makes all anew)")


def _measure(context: RunContext, planned: Plan) -> None:
    """Makes all that the plan asks for; nothing after the preflight where that fails.

    Raises InvalidRun where what comes next would measure something else than the task says.
    """
    session, ledger = context.session, context.ledger
    _run_pass(context, planned.preflight, 0, "preflight")
    ledger.problems += sae_failures(planned.task, ledger.preflight)
    if ledger.problems:
        return
    for number, work in enumerate(planned.passes, 1):
        _run_pass(context, work, number, f"activations, pass {number} of {len(planned.passes)}")
    record_edited_views(context)
    record_stream_edits(context)
    write_directions(context.folder, session.directions.found)
    write_arrays(context.folder, session.directions.arrays)
    for generation in planned.generations:
        run_experiment(context, generation)
    _label(context)
    _analyse(context)


def _import(task: Task, progress: Progress) -> None:
    """Imports the components of a task, which takes seconds where one needs torch."""
    owners = task.owners()
    names = listed({owner.plugin.name.removeprefix("harness_") for owner in owners})
    what = f"importing plugins and their libraries: {names}"
    with progress.doing(what, after=0), importing():
        for owner in owners:
            owner.load()


def _check_remote_code(task: Task, allowed: bool) -> None:
    """Code that comes with files of others runs only where the task and its user both allow it."""
    wanted = [] if allowed else list(remote_code(task))
    if wanted:
        raise UsageError(wanted[0])


def _run_pass(context: RunContext, work: Pass, number: int, name: str) -> None:
    counts = [context.session.data.count(one.data, work.limit) for one in work.renderings()]
    total = sum(counts) if all(counts) else 0
    file = name.partition(" of ")[0].replace(", pass ", "-")
    saved = context.folder / "work" / "passes" / file
    with context.stage(name, total) as tick:
        add = context.ledger.add_job
        run_pass(context.session, context.team, work, number, add, tick, saved)


def _label(context: RunContext) -> None:
    """Asks each source of labels for the features that the tables name."""
    task = context.session.task
    for name, entry in task.labels.items():
        spec = task.spec.labels[name]
        with context.progress.stage(f"labels, {name}", 1) as tick:
            findings = context.findings(entry.options)
            facts = context.session.sae(spec.sae).facts
            rows, notes = label_rows(entry, spec.sae, facts, spec.top, findings)
            tick(1)
        context.ledger.warnings += [f"labels.{name}: {note}" for note in notes]
        context.ledger.tables[f"labels.{name}"] = list(rows)


def _analyse(context: RunContext) -> None:
    """Runs each analysis on what was found before it, other analyses included."""
    for name, many in context.session.task.analyses.items():
        with context.progress.stage(f"analysis, {name}", len(many)) as tick:
            for entry in many:
                try:
                    outcome = tried(entry, context.findings(entry.options), context.folder)
                except InvalidRun as error:
                    context.ledger.problems.append(str(error))
                    continue
                tick(1)
                context.ledger.add_analysis(entry, outcome)


def _model_notes(session: Session) -> list[str]:
    """Whose adapters are of another model, and what models left out of their files; a backend need
    not say anything."""
    found = []
    for name, model in session.models.items():
        other = session.task.adapted_elsewhere(name)
        notes = (*([other] if other else []), *getattr(model, "notes", ()))
        found += [f"models.{name}: {note}" for note in notes]
    return found


def _sae_notes(session: Session) -> list[str]:
    """How SAEs were loaded, where their files left that open; which were of another model, and
    which are shown tokens that they were not trained on."""
    found = []
    for name, sae in session.saes.items():
        other = session.task.trained_elsewhere(name, sae.facts)
        found += [f"saes.{name}: {note}" for note in (*([other] if other else []), *sae.notes)]
    loaded = {name: sae.facts for name, sae in session.saes.items()}
    return [*found, *untrained(session.task, loaded)]


def _pair_notes(session: Session) -> list[str]:
    """Pairs of which one side is rounded more than the other: that counts as change, too."""
    found = []
    for name, pair in session.task.spec.pairs.items():
        models = [session.task.spec.views[view].model for view in (pair.left, pair.right)]
        loaded = [session.models[model] for model in models if model in session.models]
        if len(dtypes := [model.dtype for model in loaded]) == 2 and dtypes[0] != dtypes[1]:
            found.append(
                f"pairs.{name}: {models[0]} computes in {dtypes[0]} and {models[1]} in "
                f"{dtypes[1]}, so a part of what is measured between them is rounding. Give both "
                "the same dtype if that is not what you want to know."
            )
    return found
