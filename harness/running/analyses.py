"""Runs the analyses of a task: numbers made from what the run has found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from harness.contract import AnalysisOptions, Findings, Outcome, Ref
from harness.errors import PluginError, Problem, unknown
from harness.task.validate import KeyParts, marks

if TYPE_CHECKING:
    from harness.task.task import Entry, Task


def analyse(entry: Entry[AnalysisOptions], findings: Findings) -> Outcome:
    """Runs one analysis on the findings.

    Raises PluginError where it gives no Outcome, or one with directions.
    """
    outcome = entry.build().run(findings)
    if not isinstance(outcome, Outcome):
        what = f"gave a {type(outcome).__name__}. It must give an Outcome"
    elif outcome.directions:
        what = "gave directions. It must give records and tables; what finds directions is a pass"
    else:
        return outcome
    raise PluginError(
        f"analyses.{entry.name}: {entry.owner} {what}. Report it to the plugin's author."
    )


def unknown_names(task: Task) -> Iterator[Problem]:
    """Evaluators and experiments that an analysis names, at any depth, and the task has not.

    Evaluators need no table of their own, so they are known only once the task is understood.
    """
    known: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "evaluators": ("evaluator", task.evaluators),
        "experiments": ("experiment", task.spec.experiments),
        "metrics": ("metric", task.spec.metrics),
        "analyses": ("analysis", task.spec.analyses),
    }
    for name, entry in task.analyses.items():
        for at, table, word in _names(entry.options, ("analyses", name)):
            what, entries = known.get(table, ("", {word: None}))
            if word not in entries:
                yield task.source.problem(at, unknown(what, word, entries))


def _names(options: BaseModel, at: KeyParts) -> Iterator[tuple[KeyParts, str, str]]:
    """Every name that options hold of a table's entry: where it stands, the table, the name."""
    for key, mark in marks(type(options)):
        value = getattr(options, key)
        if isinstance(mark, Ref):
            for word in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(word, str):
                    yield (*at, key), mark.table, word
    for key in type(options).model_fields:
        value = getattr(options, key)
        for inner in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(inner, BaseModel):
                yield from _names(inner, (*at, key))
