"""The settings that put runs in an order: numbers, or texts that differ in one number alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness.contract import Runs

FEWEST = 4
"""Runs below which nothing is asked: of three, one order in three is as good as any."""
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_PLAIN = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_HASH = ".hash"


@dataclass(frozen=True)
class Order:
    """A setting by which runs stand in an order."""

    paths: tuple[str, ...]
    """Where the task says it: several where they put the runs in the same order."""
    values: Float[np.ndarray, " n"]
    """The number of each variant."""


def orders(runs: Runs) -> tuple[Order, ...]:
    """The orders in which the runs' settings put them, each once; none of under four runs."""
    if len(runs.variants) < FEWEST:
        return ()
    from scipy import stats  # half a second, and a report of one run does without

    found: dict[tuple[float, ...], tuple[list[str], Float[np.ndarray, " n"]]] = {}
    for path in _paths(runs):
        values = numbers([variant.settings.get(path, "") for variant in runs.variants])
        if values is not None and len(set(values.tolist())) >= FEWEST - 1:
            ranks = tuple(stats.rankdata(values).tolist())
            found.setdefault(ranks, ([], values))[0].append(path)
    return tuple(Order(tuple(paths), values) for paths, values in found.values())


def numbers(texts: Sequence[str]) -> Float[np.ndarray, " n"] | None:
    """The number of each text: all of it, or the one place in which all differ; None else.

    `12`, `0.5` are their own; `layer_31/width_131k/average_l0_13`, `…_l0_22` are 13 and 22.
    """
    if all(_PLAIN.fullmatch(text) for text in texts):
        return _finite([float(text) for text in texts])
    if len({_NUMBER.sub("#", text) for text in texts}) != 1:
        return None
    columns = list(zip(*(_NUMBER.findall(text) for text in texts), strict=True))
    telling = [column for column in columns if len(set(column)) > 1]
    # Longer digits than a float has are names, such as commits, and no numbers.
    if len(telling) != 1 or max(map(len, telling[0])) > 15:
        return None
    return _finite([float(one) for one in telling[0]])


def _finite(values: list[float]) -> Float[np.ndarray, " n"] | None:
    found = np.array(values)
    return found if np.isfinite(found).all() else None


def _paths(runs: Runs) -> Iterator[str]:
    """The settings, those of the labels first: they name the runs everywhere else, too."""
    every = sorted({path for variant in runs.variants for path in variant.settings})
    yield from runs.by
    yield from (path for path in every if path not in runs.by and not path.endswith(_HASH))
