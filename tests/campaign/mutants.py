"""Shipped tasks with some of their keys and values made wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import tomli_w
from hypothesis import strategies as st

from campaign.values import junk

Path = tuple[str | int, ...]
Draw = Callable[[st.SearchStrategy[Any]], Any]


@st.composite
def changed(draw: Draw, tasks: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The name of one of them, and what it is after one to four mutations."""
    name = draw(st.sampled_from(sorted(tasks)))
    task = copy.deepcopy(tasks[name])
    for _ in range(draw(st.integers(1, 4))):
        draw(st.sampled_from(MUTATIONS))(draw, task, _anywhere(draw, task))
    return name, task


def mutants(tasks: dict[str, dict[str, Any]]) -> st.SearchStrategy[tuple[str, bytes]]:
    """The name of a task, and its text after mutations."""
    return changed(tasks).map(lambda found: (found[0], as_toml(found[1])))


def as_toml(task: dict[str, Any]) -> bytes:
    """A task as a file; what TOML cannot hold is written all the same, as bytes that are wrong."""
    try:
        return tomli_w.dumps(task).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError):
        return repr(task).encode("utf-8", "surrogatepass")


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a task, tables and what is in them."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield (*path, key)
        if isinstance(inner, (dict, list)):
            yield from _paths(inner, (*path, key))


def _anywhere(draw: Draw, task: Any) -> Path:
    """One of the places; by number, since a failure prints all that there was to choose from."""
    paths = list(_paths(task)) or [()]
    return paths[draw(st.integers(0, len(paths) - 1))]


def _around(task: Any, path: Path) -> Any:
    for part in path[:-1]:
        task = task[part]
    return task


def _at(task: Any, path: Path) -> Any:
    return _around(task, path)[path[-1]]


def _drop(draw: Draw, task: Any, path: Path) -> None:
    if path:
        del _around(task, path)[path[-1]]


def _replace(draw: Draw, task: Any, path: Path) -> None:
    if path:
        _around(task, path)[path[-1]] = draw(junk)


def _rename(draw: Draw, task: Any, path: Path) -> None:
    table = _around(task, path) if path else None
    if isinstance(table, dict):
        key = str(path[-1])
        cut = draw(st.integers(0, len(key)))
        misspelt = [key[:cut] + key[cut + 1 :], f"{key[:cut]}x{key[cut:]}", key.upper(), key[::-1]]
        new = draw(st.sampled_from([*misspelt, f"{key}.{key}", "", "\u0000"]))
        table[new] = table.pop(path[-1])


def _double(draw: Draw, task: Any, path: Path) -> None:
    table = _around(task, path) if path else None
    if isinstance(table, dict):
        table[f"{path[-1]}2"] = copy.deepcopy(table[path[-1]])
    elif isinstance(table, list):
        table.append(copy.deepcopy(table[int(path[-1])]))


def _swap(draw: Draw, task: Any, path: Path) -> None:
    other = _anywhere(draw, task)
    short = min(len(path), len(other))
    if path and other and path[:short] != other[:short]:  # neither lies inside the other one
        one, two = _at(task, path), _at(task, other)
        _around(task, path)[path[-1]], _around(task, other)[other[-1]] = two, one


def _copy(draw: Draw, task: Any, path: Path) -> None:
    other = _anywhere(draw, task)
    if path and other:
        _around(task, path)[path[-1]] = copy.deepcopy(_at(task, other))


def _add(draw: Draw, task: Any, path: Path) -> None:
    value = _at(task, path) if path else task
    if isinstance(value, dict):
        value[draw(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)))] = draw(junk)
    elif isinstance(value, list):
        value.append(draw(junk))


def _wrap(draw: Draw, task: Any, path: Path) -> None:
    if path:
        around, key = _around(task, path), path[-1]
        around[key] = [around[key]] if draw(st.booleans()) else {"inner": around[key]}


def _edit(draw: Draw, task: Any, path: Path) -> None:
    value = _at(task, path) if path else None
    if isinstance(value, str):
        cut = draw(st.integers(0, len(value)))
        middle = draw(st.text(max_size=4))
        _around(task, path)[path[-1]] = value[:cut] + middle + value[cut:]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _around(task, path)[path[-1]] = value * draw(st.sampled_from([-1, 0, 10, 1000, 0.5]))


def _sweep(draw: Draw, task: Any, path: Path) -> None:
    tables = [
        entry
        for kind in ("directions", "statistics")
        if isinstance(task.get(kind), dict)
        for entry in task[kind].values()
        if isinstance(entry, dict)
    ]
    if tables:
        table = draw(st.sampled_from(tables))
        keys = draw(st.lists(st.sampled_from([*table, "k", "method", "sweep", "x"]), max_size=3))
        lengths = st.sampled_from([0, 1, 2, 100, 1000, 100_000])
        table["sweep"] = {key: draw(_values(table, key, lengths)) for key in keys}


def _values(table: Any, key: str, lengths: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    many = lengths.map(lambda count: list(range(count)))
    return st.one_of(many, st.just([table.get(key, 0)] * 2), st.lists(junk, max_size=3), junk)


def _extend(draw: Draw, task: Any, path: Path) -> None:
    task["extends"] = draw(st.one_of(st.sampled_from(PARENTS), junk))


def _remove(draw: Draw, task: Any, path: Path) -> None:
    """Removes a table as a task that inherits it does."""
    if path:
        _around(task, path)[path[-1]] = False


KEYS = [
    "extends", "method", "sweep", "where", "expect", "axes", "edit", "by", "pack", "budget",
    "align", "demonstrations", "template", "site", "sites", "sae", "saes", "view", "data",
    "preflight", "batch", "gates", "requires", "max_arms", "draws", "k", "limit", "skip", "format",
    "path", "adapter", "trust_remote_code", "__class__",
]  # fmt: skip
PARENTS = [
    "mutant.toml", "./mutant.toml", "refusal.toml", "drift.toml", "../../refusal.toml", "loop.toml",
    "organism", "organism/taxonomy.toml", "/dev/null", "/dev/zero", "/dev/stdin", "/etc/passwd",
    "..", "", "/proc/self/mem", "organism/base/model.safetensors",
]  # fmt: skip
MUTATIONS = [
    _drop, _drop, _replace, _replace, _replace, _rename, _double, _swap, _copy, _add, _add, _wrap,
    _edit, _edit, _sweep, _extend, _remove,
]  # fmt: skip
