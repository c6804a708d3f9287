"""Shipped tasks with some of their keys and values made wrong."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import tomli_w

from campaign.values import junk, text

Path = tuple[str | int, ...]


def changed(chance: random.Random, task: dict[str, Any], most: int = 4) -> dict[str, Any]:
    """What a task is after one to `most` mutations."""
    task = copy.deepcopy(task)
    for _ in range(chance.randint(1, most)):
        chance.choice(MUTATIONS)(chance, task, _anywhere(chance, task))
    return task


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


def _anywhere(chance: random.Random, task: Any) -> Path:
    return chance.choice(list(_paths(task)) or [()])


def _around(task: Any, path: Path) -> Any:
    for part in path[:-1]:
        task = task[part]
    return task


def _at(task: Any, path: Path) -> Any:
    return _around(task, path)[path[-1]]


def _drop(chance: random.Random, task: Any, path: Path) -> None:
    if path:
        del _around(task, path)[path[-1]]


def _replace(chance: random.Random, task: Any, path: Path) -> None:
    if path:
        _around(task, path)[path[-1]] = junk(chance)


def _rename(chance: random.Random, task: Any, path: Path) -> None:
    table = _around(task, path) if path else None
    if isinstance(table, dict):
        key = str(path[-1])
        cut = chance.randint(0, len(key))
        misspelt = [key[:cut] + key[cut + 1 :], f"{key[:cut]}x{key[cut:]}", key.upper(), key[::-1]]
        new = chance.choice([*misspelt, f"{key}.{key}", "", "\u0000"])
        table[new] = table.pop(path[-1])


def _double(chance: random.Random, task: Any, path: Path) -> None:
    table = _around(task, path) if path else None
    if isinstance(table, dict):
        table[f"{path[-1]}2"] = copy.deepcopy(table[path[-1]])
    elif isinstance(table, list):
        table.append(copy.deepcopy(table[int(path[-1])]))


def _swap(chance: random.Random, task: Any, path: Path) -> None:
    other = _anywhere(chance, task)
    short = min(len(path), len(other))
    if path and other and path[:short] != other[:short]:  # neither lies inside the other one
        one, two = _at(task, path), _at(task, other)
        _around(task, path)[path[-1]], _around(task, other)[other[-1]] = two, one


def _copy(chance: random.Random, task: Any, path: Path) -> None:
    other = _anywhere(chance, task)
    if path and other:
        _around(task, path)[path[-1]] = copy.deepcopy(_at(task, other))


def _add(chance: random.Random, task: Any, path: Path) -> None:
    value = _at(task, path) if path else task
    if isinstance(value, dict):
        key = chance.choice(KEYS) if chance.random() < 0.5 else text(chance, 8)
        value[key] = junk(chance)
    elif isinstance(value, list):
        value.append(junk(chance))


def _wrap(chance: random.Random, task: Any, path: Path) -> None:
    if path:
        around, key = _around(task, path), path[-1]
        around[key] = [around[key]] if chance.random() < 0.5 else {"inner": around[key]}


def _edit(chance: random.Random, task: Any, path: Path) -> None:
    value = _at(task, path) if path else None
    if isinstance(value, str):
        cut = chance.randint(0, len(value))
        middle = text(chance, 4)
        _around(task, path)[path[-1]] = value[:cut] + middle + value[cut:]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _around(task, path)[path[-1]] = value * chance.choice((-1, 0, 10, 1000, 0.5))


def _sweep(chance: random.Random, task: Any, path: Path) -> None:
    tables = [
        entry
        for kind in ("directions", "statistics")
        if isinstance(task.get(kind), dict)
        for entry in task[kind].values()
        if isinstance(entry, dict)
    ]
    if tables:
        table = chance.choice(tables)
        for _ in range(chance.randint(0, 3)):
            key = chance.choice([*table, "k", "method", "sweep", "x"])
            swept = table.get("sweep")
            table["sweep"] = swept if isinstance(swept, dict) else {}
            table["sweep"][key] = _values(chance, table, key)


def _values(chance: random.Random, table: dict[str, Any], key: str) -> Any:
    match chance.randrange(4):
        case 0:
            return list(range(chance.choice((0, 1, 2, 100, 1000, 100_000))))
        case 1:
            return [copy.deepcopy(table.get(key, 0)) for _ in range(2)]
        case 2:
            return [junk(chance) for _ in range(chance.randint(0, 3))]
    return junk(chance)


def _extend(chance: random.Random, task: Any, path: Path) -> None:
    task["extends"] = chance.choice(PARENTS) if chance.random() < 0.5 else junk(chance)


def _remove(chance: random.Random, task: Any, path: Path) -> None:
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
