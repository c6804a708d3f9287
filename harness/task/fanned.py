"""What names a folder of checkpoints names all of its pairs: metrics, sweeps and lists fan out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from harness.contract import Ref
from harness.task.components import SWEPT, TABLES, configured
from harness.task.file import tables
from harness.task.validate import marks

if TYPE_CHECKING:
    from harness.errors import Problem
    from harness.registry import Registry
    from harness.task.file import KeyPath, Origin, Source
    from harness.task.folders import Folder


@dataclass(frozen=True)
class Fanned:
    """A source in which no entry names a folder any more."""

    source: Source
    metrics: Mapping[str, str]
    """By metric that was made, the one that the task wrote."""
    problems: Sequence[Problem] = ()


def fanned(source: Source, registry: Registry, folders: Sequence[Folder]) -> Fanned:
    """The source with each reference to a folder as one to its pairs, in order.

    A metric becomes one for each pair, called `NAME.STEP`; a statistic or a direction finder is
    swept over them; lists hold them all. A problem is an entry that takes one pair and no more.
    """
    pairs = {folder.name: list(folder.pairs) for folder in folders}
    if not pairs:
        return Fanned(source, {})
    problems: list[Problem] = []
    values, origins = dict(source.values), dict(source.origins)
    made: dict[str, str] = {}
    for part in (*TABLES, *SWEPT):
        entries: dict[str, Any] = {}
        for name, table in tables(source.values, part):
            keys = _keys(source, registry, part, name, table, "pairs")
            if part == "metrics" and isinstance(table, dict) and _is(table.get("pair"), pairs):
                steps = {f"{name}.{_step(one)}": one for one in pairs[table["pair"]]}
                method = {} if "method" in table else {"method": name}
                entries |= {new: {**table, **method, "pair": one} for new, one in steps.items()}
                made |= dict.fromkeys(steps, name)
                origins |= _origins(source, part, name, steps)
                continue
            entries[name], wrong = _expanded(table, keys, pairs, part in SWEPT)
            problems += [source.problem((part, name, key), what) for key, what in wrong]
        if entries:
            values[part] = entries
    fanned_out = replace(source, values=values, origins=origins)
    return Fanned(_metrics_listed(fanned_out, registry, made), made, problems)


def _step(pair: str) -> str:
    return pair.rpartition(".")[2]


def _is(value: object, pairs: Mapping[str, Sequence[str]]) -> bool:
    return isinstance(value, str) and value in pairs


def _keys(
    source: Source, registry: Registry, part: str, name: str, table: Any, referred: str
) -> list[str]:
    """The keys of an entry that name entries of a table, by what its models say."""
    found = configured(source, registry, part, name) if isinstance(table, dict) else None
    if found is None:
        return []
    models: list[type[BaseModel]] = [found.table.core, *([found.model] if found.model else [])]
    both = (pair for model in models for pair in marks(model))
    return [key for key, mark in both if isinstance(mark, Ref) and mark.table == referred]


def _expanded(
    table: Any, keys: Sequence[str], pairs: Mapping[str, Sequence[str]], swept: bool
) -> tuple[Any, list[tuple[str, str]]]:
    """An entry with pairs in the place of folders, and what is wrong, by key."""
    if not isinstance(table, dict):
        return table, []
    new, wrong = dict(table), []
    sweep = dict(new["sweep"]) if isinstance(new.get("sweep"), dict) else {}
    for key in keys:
        value: Any = new.get(key)
        if isinstance(value, list):
            new[key] = _listed(value, pairs)
        if swept and isinstance(sweep.get(key), list):
            sweep[key] = _listed(sweep[key], pairs)
        if not _is(value, pairs):
            continue
        if swept:
            del new[key]
            sweep = {key: list(pairs[value]), **sweep}
        elif pairs[value]:
            what = (
                f"{value} stands for {len(pairs[value])} checkpoints, and this takes one pair. "
                f"Name one of them, such as {pairs[value][-1]}."
            )
            wrong.append((key, what))
            new[key] = pairs[value][-1]
    return ({**new, "sweep": sweep} if sweep else new), wrong


def _listed(names: Sequence[Any], many: Mapping[str, Sequence[str]]) -> list[Any]:
    return [one for name in names for one in (many[name] if _is(name, many) else [name])]


def _metrics_listed(source: Source, registry: Registry, made: Mapping[str, str]) -> Source:
    """Lists of metrics with those that were made in the place of what the task wrote."""
    many = {name: [one for one in made if made[one] == name] for name in made.values()}
    entries: dict[str, Any] = {}
    for name, table in tables(source.values, "analyses"):
        entries[name] = table
        new: dict[str, Any] = dict(table) if isinstance(table, dict) else {}
        for key in _keys(source, registry, "analyses", name, table, "metrics"):
            if isinstance(new.get(key), list):
                new[key] = _listed(new[key], many)
                entries[name] = new
    if not entries:
        return source
    return replace(source, values={**source.values, "analyses": entries})


def _origins(
    source: Source, part: str, name: str, made: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, Origin]]:
    for at, origin in source.origins.items():
        if at[:2] == (part, name):
            yield from ((((part, new, *at[2:])), origin) for new in made)
    # What was written within one line has the origin of the table around it.
    yield from (((part, new), source.origin((part, name))) for new in made)
