"""How far a model in training is from its base, measured again and again: the streaming metrics of
the harness on one fixed set of texts, and one folder of results for all of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.contract import Model, Record, Results, Wrapping
from harness.errors import InvalidRun, TaskError, UsageError
from harness.gates.check import Checked, check
from harness.machine import machine_errors
from harness.planning.plan import Plan
from harness.planning.planner import plan
from harness.planning.steps import Job, Pass
from harness.registry import Registry, discover
from harness.running.directions import Directions
from harness.running.ledger import Ledger
from harness.running.passes.jobs import Finished
from harness.running.passes.run import run_pass_alone
from harness.running.preflight import sae_failures
from harness.running.provenance import provenance
from harness.running.session import Session
from harness.task.fit import misfits
from harness.training.asked import BACKEND, BASE, PAIR, TUNED, Asked
from harness.training.kept import Kept, axes_at
from harness.training.sides import Sides, sides
from harness.training.untouched import untouched

CHANGED = (
    "the base gives other numbers for the same texts than at the start, so what is measured is no "
    "longer the distance from it. Something else trains it, or its device does not repeat itself."
)


@dataclass(frozen=True)
class Measured:
    """What was found at one step of a training."""

    step: int
    records: tuple[Record, ...] = ()
    headlines: tuple[Record, ...] = ()
    """The first record of each metric and statistic at each of its places, and those that a
    condition is about: what a log has room for."""
    stops: tuple[str, ...] = ()
    """Why the training should stop: each condition of `stop_unless` that does not hold."""
    warnings: tuple[str, ...] = ()
    """Conditions of `warn_unless` that do not hold, and what else is to be told."""
    seconds: float = 0.0
    """How long it took."""


@dataclass
class Drift:
    """Measures a model in training against its base; leaves it as it is, to the bit.

    `model` is transformers' model, or peft's around one. `base` is a second model, the folder or
    hub id of one, or None where an adapter is trained: then the base is the same model with the
    adapter off. Results are written into `folder`, where `harness.load_results`, `harness report`
    and `harness compare` read them; each record has the axis `checkpoint`, the step.

    Made, it has loaded the SAEs and checked them against the base, and has measured nothing yet.
    Raises TaskError with all that is wrong with what is asked, UsageError for a model that has no
    base or is split over processes, and InvalidRun where an SAE does not fit the base.
    """

    asked: Asked
    model: Any
    tokenizer: Any
    folder: Path
    base: Any = None
    backend: str = BACKEND
    registry: Registry = field(default_factory=discover)

    def __post_init__(self) -> None:
        self._stop, self._warn = self.asked.gates()
        self._sides = sides(self.model, self.tokenizer, self.base)
        self._kept = Kept.at(self.folder)
        self._session, self._plan = self._ready()
        with machine_errors(self.folder), untouched(self._sides.bare):
            ledger = self._read([self._plan.preflight])
        if failures := list(sae_failures(self._session.task, ledger.preflight)):
            raise InvalidRun("\n".join(failures))
        self._preflight = ledger.records

    def resume(self, step: int) -> None:
        """Keeps what an earlier part of this training has measured before `step`; without a call
        of this, the first measurement begins the folder anew."""
        self._kept = self._kept.resumed(step)

    def measure(self, step: int) -> Measured:
        """What the metrics are at this step, held against the conditions and written.

        Raises what a run raises: ModelError for activations that are not finite, MachineError
        where memory or the disk fail; nothing is written then.
        """
        begun = time.monotonic()
        with machine_errors(self.folder), untouched(self._sides.bare):
            ledger = self._read(self._plan.passes)
            records = tuple(record.on(**axes_at(step)) for record in ledger.records)
            found = self._held(step, records, ledger.first)
            found = replace(found, warnings=(*found.warnings, *ledger.warnings, *self._changed()))
            self._kept.add(step, records, ledger.tables, self._told(found))
            self._kept.write(self._results())
        return replace(found, seconds=time.monotonic() - begun)

    def note(self, text: str) -> None:
        """Adds a warning to the results; the next measurement writes it."""
        self._kept.note(text)

    def close(self, registry: Registry | None = None) -> Results:
        """Writes the report, and returns the results of all measurements."""
        from harness.report import write_report

        with machine_errors(self.folder), untouched(self._sides.bare):
            results = self._results()
            self._kept.write(results)
            write_report(self.folder, registry or self.registry, results)
        return results

    # ── How ──────────────────────────────────────────────────────────────────────────────────────

    def _ready(self) -> tuple[Session, Plan]:
        """A session in which the models in memory stand for those of the task, and the plan."""
        found: Sides = self._sides
        task = self.asked.task(self.folder, found.tables(self.backend), self.registry)
        work = self.folder / "work"
        session = Session(task, work / "downloads", work / "verdicts")
        owner = next(iter(task.models.values()))
        backend = owner.build()
        if not isinstance(backend, Wrapping):
            raise UsageError(
                f"backend: {owner.owner} cannot look at a model that is in memory. Allowed: a "
                "backend that can, as transformers does."
            )
        for name, model in found.wrapped(backend).items():
            # The wrapped model is the loaded one: the task's own backend is not asked for it.
            session.models[name] = session.usage.load(name, partial(_itself, model))
        with untouched(found.bare):
            facts = {name: session.model(name).facts for name in task.models}
        task = replace(task, model_facts=facts)
        if problems := list(misfits(task)):
            raise TaskError(problems)
        session.task = task
        return session, plan(task)

    def _read(self, passes: Sequence[Pass]) -> _Found:
        """What some passes find now."""
        session = self._session
        session.directions = Directions()
        ledger = _Found(session.task)
        for work in passes:
            run_pass_alone(session, work, ledger.add_job, lambda done: None)
        return ledger

    def _held(self, step: int, records: Sequence[Record], first: Collection[int]) -> Measured:
        """The records held against the conditions; `first` are the places of the headlines."""
        stop, warn = check(self._stop, records), check(self._warn, records)
        about = [one.record for one in (*stop, *warn)]
        heads = [r for place, r in enumerate(records) if place in first or r in about]
        told = [[_said(one) for one in many if not one.passed] for many in (stop, warn)]
        return Measured(step, tuple(records), tuple(heads), tuple(told[0]), tuple(told[1]))

    def _changed(self) -> tuple[str, ...]:
        """A sentence where the base is no longer what it was."""
        base = getattr(self._session.models[BASE], "changed", False)
        return (CHANGED,) if isinstance(base, bool) and base else ()

    def _told(self, found: Measured) -> list[str]:
        return [f"step {found.step}: {text}" for text in (*found.stops, *found.warnings)]

    def _notes(self) -> Iterator[str]:
        """What whoever reads the numbers must know of the models, the SAEs and the texts."""
        session = self._session
        dtypes = {name: session.models[name].dtype for name in (BASE, TUNED)}
        if dtypes[BASE] != dtypes[TUNED]:
            yield (
                f"the base computes in {dtypes[BASE]}, the model in training in {dtypes[TUNED]}, "
                "so a part of what is measured between them is rounding. Give both the same dtype."
            )
        for name, sae in session.saes.items():
            other = session.task.trained_elsewhere(name, sae.facts)
            yield from (
                f"saes.{name}: {note}" for note in (*([other] if other else []), *sae.notes)
            )
        yield from session.prompts.left_out.notes()

    def _results(self) -> Results:
        kept, task = self._kept, self._session.task.resolved
        pairs = {"pairs": {**task["pairs"], **kept.pairs(task["pairs"][PAIR])}}
        return Results(
            "complete",
            # The conditions were held against each measurement when it was made.
            {key: value for key, value in {**task, **pairs}.items() if key != "gates"},
            provenance(self._session, self.registry, "harness.training"),
            kept.records(self._preflight),
            (),
            tuple(dict.fromkeys([*self._notes(), *kept.notes])),
            tables=kept.tables,
        )


def _itself(model: Model) -> Model:
    return model


def _said(gated: Checked) -> str:
    return f"{gated.gate.text} does not hold: {gated.message}"


@dataclass
class _Found(Ledger):
    """A ledger that remembers which record of each job was its first."""

    first: list[int] = field(default_factory=list)

    def add_job(self, job: Job, found: Finished) -> None:
        """Adds what a job has found."""
        place = len(self.records)
        super().add_job(job, found)
        self.first += [place] if len(self.records) > place else []
