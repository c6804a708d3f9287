"""Names in a task that nothing has: each is looked up in the table that it refers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from harness.contract import Ref
from harness.contract.described import fields_of
from harness.errors import unknown
from harness.task.causes import Misfit, merged
from harness.task.file import tables
from harness.task.spec import DemonstrationsSpec, EditSpec, PreflightSpec, TaskSpec
from harness.task.validate import KeyParts, marks, words

if TYPE_CHECKING:
    from harness.errors import Problem
    from harness.task.components import Configured
    from harness.task.file import Source
    from harness.task.task import Task

_NAMED = {
    "models": "model",
    "views": "view",
    "saes": "SAE",
    "data": "data set",
    "directions": "direction",
    "pairs": "pair",
    "statistics": "statistic",
    "labels": "source of labels",
}
"""The tables whose entries are referred to by name, and what one of them is called."""

Named = tuple[type[BaseModel], Any, KeyParts]
"""A table whose fields may refer to others: its model, its values, and where it stands."""


def unknown_references(source: Source, configured: Iterable[Configured]) -> Iterator[Problem]:
    """References to entries that the task does not have; a name that none has is one problem.

    They are looked up in the task as it was written, so that they are found whatever else is
    wrong. `configured` are the tables that configure a component: its options may refer, too.
    """
    for one in merged(_unknown_references(source, configured)):
        yield source.problem(one.at, one.what)


def _unknown_references(source: Source, configured: Iterable[Configured]) -> Iterator[Misfit]:
    known = {table: {name for name, _ in tables(source.values, table)} for table in _NAMED}
    own = [(one.model, one.table.values, one.table.at) for one in configured if one.model]
    for model, values, at in [*own, *_core_tables(source)]:
        for key, mark in marks(model):
            if not isinstance(mark, Ref) or mark.table not in known:
                continue
            for name in words(values.get(key) if isinstance(values, dict) else None):
                if name not in known[mark.table]:
                    what = unknown(_NAMED[mark.table], name, known[mark.table])
                    yield Misfit((*at, key), what, (mark.table, name))


def unknown_names(task: Task) -> Iterator[Problem]:
    """Entries that an analysis names, at any depth of its options, and the task does not have.

    Evaluators need no table of their own, so they are known only once the task is resolved.
    """
    for one in merged(_unknown_names(task)):
        yield task.source.problem(one.at, one.what)


def _unknown_names(task: Task) -> Iterator[Misfit]:
    known: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "evaluators": ("evaluator", task.evaluators),
        "experiments": ("experiment", task.spec.experiments),
        "metrics": ("metric", task.spec.metrics),
        "analyses": ("analysis", task.spec.analyses),
        "statistics": ("statistic", task.spec.statistics),
    }
    # Those that stand in the table of the analysis itself were looked up as they were written.
    deeper = {table: (what, getattr(task.spec, table)) for table, what in _NAMED.items()}
    options = [(name, one.options) for name, many in task.analyses.items() for one in many]
    for name, given in options:
        own = ("analyses", name)
        for at, table, word in _names(given, own):
            inside = {**known, **deeper} if at[:-1] != own else known
            what, entries = inside.get(table, ("", {word: None}))
            if word not in entries:
                yield Misfit(at, unknown(what, word, entries), (table, word))


def _core_tables(source: Source) -> Iterator[Named]:
    """The tables of the task language that hold references, those inside views included."""
    for table, field in fields_of(TaskSpec).items():
        if getattr(field.annotation, "__origin__", None) is dict:
            model = field.annotation.__args__[1]  # type: ignore[union-attr]
            for name, values in tables(source.values, table):
                yield model, values, (table, name)
    for name, view in tables(source.values, "views"):
        edit, prompt = (_table(view, key) for key in ("edit", "prompt"))
        yield EditSpec, edit, ("views", name, "edit")
        demonstrations = _table(prompt, "demonstrations")
        yield DemonstrationsSpec, demonstrations, ("views", name, "prompt", "demonstrations")
    yield PreflightSpec, source.values.get("preflight"), ("preflight",)


def _table(values: Any, key: str) -> Any:
    return values.get(key) if isinstance(values, dict) else None


def _names(options: BaseModel, at: KeyParts) -> Iterator[tuple[KeyParts, str, str]]:
    """Every reference in options: where it stands, the table it refers to, and the name."""
    for key, mark in marks(type(options)):
        if isinstance(mark, Ref):
            for word in words(getattr(options, key)):
                yield (*at, key), mark.table, word
    for key in fields_of(type(options)):
        value = getattr(options, key)
        for inner in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(inner, BaseModel):
                yield from _names(inner, (*at, key))
