"""What tells runs apart: the settings of their tasks that differ, and short labels made of them.

Seeds are told apart from settings: runs that differ in seeds alone are one variant; so does what
shuffles data, where all runs shuffle them. What only
looks different is none: a model, an SAE or data at another path whose hash is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.comparison.changes import ABSENT, leaves
from harness.contract import OneRun, Results, Variant
from harness.results.records import grouped
from harness.several.order import natural

_WORDS = ("title", "source", "claims", "families", "gates")
"""Top-level keys that say something about numbers and change none."""
_NAME = "name"
_WHERE = re.compile("path|file|url|adapter|revision")
"""Keys that say where something is. What is there is known by its hash, where the run kept one."""
_HASH = ".hash"
_SEED = re.compile(r"(?:.*\.)?seed")
_DRAWN = re.compile(r"data\..*\.shuffle")
"""Keys that say in which order rows are drawn: a seed, unless a run draws none."""
_FIRST = ("models", "saes", "views", "data")
"""Tables of the task that make the most telling labels, the best first."""
_Settings = Mapping[str, str]


def variants(runs: Sequence[tuple[str, Results]]) -> tuple[tuple[str, ...], tuple[Variant, ...]]:
    """The runs, given by name, as variants; with them the settings that their labels are made of.

    Variants and the runs in them are sorted, numbers by size, so that no order of runs matters.
    """
    every = _settings([results for _, results in runs])
    found = sorted(zip(runs, every, strict=True), key=lambda one: one[0][0])
    differing = {
        key for settings in every for key in settings
        if len({other.get(key, ABSENT) for other in every}) > 1
    }  # fmt: skip
    seeds = sorted(key for key in differing if _is_seed(key, every))
    telling = sorted(differing.difference(seeds))
    groups = grouped(found, lambda one: tuple(one[1].get(key, ABSENT) for key in telling))
    by = _labelling(telling, list(groups))
    places = [telling.index(key) for key in by]
    ordered = sorted(groups, key=lambda values: [natural(values[place]) for place in places])
    labels = _labels(by, [[values[place] for place in places] for values in ordered])
    made = [
        Variant(label, dict(zip(telling, values, strict=True)), _by_seed(groups[values], seeds))
        for label, values in zip(labels, ordered, strict=True)
    ]
    if len(made) == 1:
        made = [Variant(_name(made[0].runs), made[0].settings, made[0].runs)]
    return tuple(by), tuple(made)


def _is_seed(key: str, every: Sequence[_Settings]) -> bool:
    drawn = _DRAWN.fullmatch(key) and all(
        re.fullmatch("-?[0-9]+", settings.get(key, ABSENT)) for settings in every
    )
    return bool(drawn or _SEED.fullmatch(key))


def _settings(runs: Sequence[Results]) -> list[dict[str, str]]:
    """What each task says, by path, without words; and the hashes of models and SAEs.

    What has the same hash in two runs is named alike, wherever it lay. What has no hash and lies at
    a path of a machine counts by the name of its file.
    """
    hashes = [dict(_hashes(run.provenance)) for run in runs]
    told = [
        dict(leaves({key: value for key, value in run.task.items() if key not in _WORDS}))
        for run in runs
    ]
    names: dict[tuple[str, str], str] = {}
    for settings, mine in zip(told, hashes, strict=True):
        for path, value in settings.items():
            of, _, key = path.rpartition(".")
            if _WHERE.fullmatch(key) and of in mine:
                names[path, mine[of]] = min(value, names.get((path, mine[of]), value))
            elif _WHERE.fullmatch(key) and value.startswith("/"):
                settings[path] = value.rstrip("/").rpartition("/")[2]
    for settings, mine in zip(told, hashes, strict=True):
        for path in settings:
            of = path.rpartition(".")[0]
            if of in mine and (path, mine[of]) in names:
                settings[path] = names[path, mine[of]]
        settings |= {f"{key}{_HASH}": value for key, value in mine.items() if key[:5] != "data."}
    return told


def _hashes(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the run read, by `models.NAME`, `saes.NAME` or `data.NAME`."""
    for kind in ("models", "saes", "data"):
        table = provenance.get(kind)
        for name, told in table.items() if isinstance(table, Mapping) else ():
            found = told.get("fingerprint") if isinstance(told, Mapping) else told
            if isinstance(found, str):
                yield f"{kind}.{name}", found


def _by_seed(
    runs: Sequence[tuple[tuple[str, Results], _Settings]], seeds: Sequence[str]
) -> tuple[OneRun, ...]:
    """The runs by their seeds: the task's own, and others where they differ."""
    made = []
    for (name, results), settings in runs:
        values = [settings.get("seed", "0")]
        values += [f"{key}={settings.get(key, ABSENT)}" for key in seeds if key != "seed"]
        made.append(OneRun(name, ", ".join(values), results))
    return tuple(sorted(made, key=lambda run: (natural(run.seed), run.name)))


def _labelling(telling: Sequence[str], groups: Sequence[tuple[str, ...]]) -> list[str]:
    """As few settings as tell all groups apart, the most telling first."""
    chosen: list[int] = []
    partly = {at for values in groups for at, value in enumerate(values) if value == ABSENT}
    # Where most of what differs is in some tasks alone, they are of different kinds, and what they
    # happen to share, such as the list of an experiment's directions, tells a reader nothing.
    kinds = len(partly) > len(telling) / 2

    def told(places: Sequence[int]) -> int:
        return len({tuple(values[place] for place in places) for values in groups})

    while told(chosen) < len(groups):
        # A hash tells nothing to a reader: only where nothing else tells two groups apart.
        rest = [at for at in range(len(telling)) if told([*chosen, at]) > told(chosen)]
        readable = [at for at in rest if not telling[at].endswith(_HASH)]
        chosen.append(
            min(
                readable or rest,
                key=lambda at: (
                    -told([*chosen, at]),
                    kinds and telling[at] != _NAME,
                    at in partly,
                    _rank(telling[at]),
                ),
            )
        )
    return [telling[place] for place in chosen]


def _rank(path: str) -> tuple[int, str]:
    kind = path.partition(".")[0]
    if kind in _FIRST:
        return _FIRST.index(kind), path
    return len(_FIRST) + (kind == _NAME), path


def _labels(by: Sequence[str], values: Sequence[Sequence[str]]) -> list[str]:
    """A label for each variant: the value, or each value with the last part of its path."""
    columns = [_short([row[place] for row in values]) for place in range(len(by))]
    keys = [path.rpartition(".")[2] for path in by]
    if len(set(keys)) < len(keys):
        keys = list(by)
    made = []
    for row in zip(*columns, strict=True) if columns else [()] * len(values):
        told = row if len(by) == 1 else [f"{k}={v}" for k, v in zip(keys, row, strict=True)]
        made.append(", ".join(told))
    # Two that read alike although they differ get a number.
    counts = {label: 0 for label in made}
    unique = []
    for label in made:
        counts[label] += 1
        unique.append(label if counts[label] == 1 else f"{label} ({counts[label]})")
    return unique


def _short(values: Sequence[str]) -> list[str]:
    """Paths without the folders that all share at either end; hashes cut; other values as is."""
    told = [value for value in dict.fromkeys(values) if value != ABSENT]
    cut = {value: value for value in values}
    if all(re.fullmatch(r"[0-9a-f]{32,}", value) for value in told):
        cut |= {value: value[:8] for value in told}
    elif len(told) > 1 and any("/" in value for value in told):
        cut |= dict(zip(told, _without_shared([value.split("/") for value in told]), strict=True))
    elif told and told[0].startswith("/"):
        cut |= {value: value.rstrip("/").rpartition("/")[2] for value in told}
    return [cut[value] for value in values] if len(set(cut.values())) == len(cut) else list(values)


def _without_shared(paths: Sequence[Sequence[str]]) -> list[str]:
    """Paths, by their parts, without the first and the last parts that all have."""
    least = min(map(len, paths))
    start = end = 0
    while start < least - 1 and len({path[start] for path in paths}) == 1:
        start += 1
    while end < least - 1 - start and len({path[-1 - end] for path in paths}) == 1:
        end += 1
    return ["/".join(path[start : len(path) - end]) for path in paths]


def _name(runs: Sequence[OneRun]) -> str:
    return str(runs[0].results.task.get(_NAME) or "all")
