"""What a run has found so far: records, tables, problems and warnings, each under its axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from harness.contract import JSON, AnalysisOptions, Axes, Outcome, PValues, Record, Ref
from harness.planning.steps import (
    FilterJob,
    Job,
    MetricJob,
    ReductionJob,
    SentinelJob,
    ThresholdJob,
)
from harness.running.passes.jobs import DOMAIN, Finished
from harness.running.preflight import sentinel_failures
from harness.task.familied import read_families
from harness.task.families import asks
from harness.task.task import Entry, Instance, Task
from harness.task.terms import Term
from harness.task.validate import marks


@dataclass
class Ledger:
    """Collects what the steps of a run find, in the order in which they find it."""

    task: Task
    records: list[Record] = field(default_factory=list)
    tables: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    """By `<entry of the task>.<name>`."""
    problems: list[str] = field(default_factory=list)
    """Why the results are invalid."""
    preflight: list[tuple[MetricJob, Record]] = field(default_factory=list)
    """For each metric of the preflight, the first of its records, which is its headline."""
    warnings: list[str] = field(default_factory=list)
    p_values: list[PValues] = field(default_factory=list)
    """Tests that are too many for records: those that a family of the task asks for."""

    def add_job(self, job: Job, found: Finished) -> None:
        """Adds what a job of a pass has found, under the axes that the task gives it."""
        domain: dict[str, JSON] = {} if found.domain is None else {DOMAIN: found.domain}
        match job:
            case SentinelJob():
                data = job.reads.streams[0].data
                records = self.add_records(found.outcomes[0], {"pair": job.pair, "data": data})
                self.problems += sentinel_failures(job, records)
            case FilterJob() | ThresholdJob() | MetricJob():
                records = self.add_records(found.outcomes[0], {**job.axes, **domain})
                if isinstance(job, MetricJob) and job.preflight and found.domain is None:
                    self.preflight.append((job, records[0]))
            case ReductionJob():
                for instance, outcome in zip(job.instances, found.outcomes, strict=True):
                    self._add_instance(instance, outcome, domain)

    def add_records(self, outcome: Outcome, axes: Axes) -> list[Record]:
        """Adds the records of an outcome under these axes, and returns them."""
        records = [record.on(**axes) for record in outcome.records]
        self.records += records
        for tests in outcome.p_values:
            self._add_tests(tests.on(**axes))
        return records

    def add_analysis(self, entry: Entry[AnalysisOptions], outcome: Outcome) -> None:
        """Adds what an analysis has found, under the values of its sweep. What a record or a row
        says of itself stays: it may be of something else than the option of that name."""
        for record in outcome.records:
            axes = {**entry.axes, **record.axes, "analysis": entry.name}
            self.records.append(replace(record, axes=axes))
        for tests in outcome.p_values:
            self._add_tests(tests.on(**{**entry.axes, **tests.axes, "analysis": entry.name}))
        self.add_tables(entry.name, outcome, entry.axes)
        self.add_notes(f"analyses.{entry.name}", outcome)

    def _add_tests(self, tests: PValues) -> None:
        """Adds tests that a family of the task asks for; others would only take memory."""
        if any(asks(term, tests) for term in self._asked):
            self.p_values.append(tests)

    @cached_property
    def _asked(self) -> list[Term]:
        """What the families of the task ask for."""
        return [term for family in read_families(self.task.spec.families) for term in family.terms]

    def add_tables(self, entry: str, outcome: Outcome, axes: Axes) -> None:
        """Adds the tables of an entry's outcome, each row under these axes."""
        for name, rows in outcome.tables.items():
            table = self.tables.setdefault(f"{entry}.{name}", [])
            table += [{**axes, **row} for row in rows]

    def add_notes(self, where: str, outcome: Outcome) -> None:
        """Adds the notes of an outcome to the warnings, each once, after its place in the task."""
        for note in outcome.notes:
            self.add_note(f"{where}: {note}")

    def add_note(self, text: str) -> None:
        """Adds what whoever reads the numbers must know to the warnings, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def _add_instance(self, instance: Instance, outcome: Outcome, domain: Axes) -> None:
        statistic = instance.table == "statistics"
        kind = "statistic" if statistic else "direction"
        of_pair = _pair_axes(self.task, instance) if statistic else {}
        axes = {**of_pair, kind: instance.entry, **instance.axes, **domain}
        # The instances of a direction share one pass, and what each says of it is one record.
        self.add_records(outcome, axes if statistic else {kind: instance.entry})
        for one in outcome.directions:
            at = {**axes, **one.axes}
            self.records += [record.on(**at) for record in one.records]
        self.add_tables(instance.entry, outcome, axes)
        self.add_notes(f"{instance.table}.{instance.entry}", outcome)


def _pair_axes(task: Task, instance: Instance) -> Axes:
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
