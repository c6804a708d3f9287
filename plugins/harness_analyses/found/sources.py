"""What a method found, read from its own tables and arrays: whoever made them, in one way each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Float64

from harness.contract import Findings
from harness_analyses.found.options import MethodOptions
from harness_analyses.found.planted import Pointed, Said, Scores, units
from harness_analyses.found.truth import Sort


@dataclass(frozen=True)
class Candidates:
    """All that could have been planted, by sort."""

    vocabulary: int
    """Tokens of the model."""
    latents: int | None
    """Latents of the SAE; None where no dictionary was kept."""
    directions: Float64[np.ndarray, "candidates d"]
    """Of length 1."""

    def count(self, sort: Sort) -> int | None:
        """How many numbers an item of this sort may have."""
        return {"tokens": self.vocabulary, "latents": self.latents}.get(sort)


def said_of(
    method: MethodOptions, pair: str, findings: Findings, candidates: Candidates
) -> Said | str:
    """What a method says of one pair; or why it says nothing."""
    return _READERS[method.sort, method.table is not None](method, pair, findings, candidates)


# ── Tables: a row for each candidate ─────────────────────────────────────────────────────────────


def _listed(
    method: MethodOptions, pair: str, findings: Findings, candidates: Candidates
) -> Said | str:
    size = candidates.count(method.sort)
    if size is None:
        return _no_dictionary(method)
    names = [f"{entry}.{method.table}" for entry in method.entries]
    tables = [findings.tables[name] for name in names if name in findings.tables]
    if not tables:
        return f"{' and '.join(names)}: there is no such table"
    scores, rows = np.full(size, -np.inf), 0
    for row in _rows(method, pair, tables):
        item, score = row.get(method.item), row.get(str(method.score))
        if not _is_index(item, size):
            return f"{names[0]}: {method.item} is {item!r}, and no number from 0 to {size - 1}"
        if not _is_number(score):
            return f"{names[0]}: {method.score} is {score!r}, and no number"
        at = int(item)
        scores[at] = max(scores[at], _turned(method, float(score)))
        rows += 1
    return Scores(scores) if rows else f"{names[0]} has no row about {pair}"


def _rows(
    method: MethodOptions, pair: str, tables: Sequence[Sequence[Mapping[str, Any]]]
) -> Iterator[Mapping[str, Any]]:
    wanted = {**method.where, "pair": pair}
    for rows in tables:
        yield from (row for row in rows if wanted.items() <= row.items())


def _is_index(item: object, size: int) -> TypeGuard[int | float]:
    # A column with a gap comes back from a file as floats.
    return _is_number(item) and 0 <= item < size and int(item) == item


def _is_number(value: object) -> TypeGuard[int | float]:
    return (
        isinstance(value, (int, float, np.number))
        and not isinstance(value, bool)
        and isfinite(float(value))
    )


def _turned(method: MethodOptions, score: float) -> float:
    """The score so that larger is better."""
    size = abs(score) if method.magnitude else score
    return -size if method.ascending else size


# ── Arrays of statistics ─────────────────────────────────────────────────────────────────────────


def _scored(
    method: MethodOptions, pair: str, findings: Findings, candidates: Candidates
) -> Said | str:
    size = candidates.count(method.sort)
    if size is None:
        return _no_dictionary(method)
    found = list(_arrays(method, pair, findings))
    if not found:
        return _nothing(method, pair)
    best = np.full(size, -np.inf)
    for values in found:
        if values.shape != (size,):
            return f"{method.array} has shape {values.shape}, and there are {size} {method.sort}"
        wide = np.asarray(values, np.float64)
        wide = np.abs(wide) if method.magnitude else wide
        wide = -wide if method.ascending else wide
        best = np.maximum(best, np.where(np.isfinite(wide), wide, -np.inf))
    return Scores(best) if np.isfinite(best).any() else _nothing(method, pair)


def _pointed(
    method: MethodOptions, pair: str, findings: Findings, candidates: Candidates
) -> Said | str:
    read = (_as_rows(values) for values in _arrays(method, pair, findings))
    found = [vectors for vectors in read if vectors is not None]
    among = candidates.directions
    if not len(among):
        return _no_dictionary(method)
    wrong = [one.shape[1] for one in found if one.shape[1] != among.shape[1]]
    if wrong:
        return f"{method.array} has {wrong[0]} numbers a vector, and candidates {among.shape[1]}"
    vectors = units(np.concatenate(found)) if found else np.zeros((0, among.shape[1]))
    return Pointed(vectors, among) if len(vectors) else _nothing(method, pair)


def _arrays(method: MethodOptions, pair: str, findings: Findings) -> Iterator[np.ndarray]:
    for kept in findings.arrays:
        mine = kept.statistic == method.statistic and kept.axes.get("pair") == pair
        if mine and "domain" not in kept.axes:
            for name, values in kept.values.items():
                if name == method.array or name.rpartition("/")[2] == method.array:
                    yield np.asarray(values)


def _as_rows(values: np.ndarray) -> Float64[np.ndarray, "n d"] | None:
    """Vectors as rows: further axes before the last two, such as groups of documents, are summed
    over, which leaves a mean's line as it is."""
    if values.ndim == 0 or values.shape[-1] == 0:
        return None
    rows = np.asarray(values, np.float64)
    while rows.ndim > 2:
        rows = rows.sum(0)
    return np.atleast_2d(rows)


def _nothing(method: MethodOptions, pair: str) -> str:
    return f"{method.entries[0]} kept no {method.array} of {pair}, or it is 0"


def _no_dictionary(method: MethodOptions) -> str:
    return f"the dictionary kept no vectors, which {method.name} is ranked among"


Reader = Callable[[MethodOptions, str, Findings, Candidates], "Said | str"]
_READERS: Mapping[tuple[Sort, bool], Reader] = {
    ("tokens", True): _listed,
    ("latents", True): _listed,
    ("tokens", False): _scored,
    ("latents", False): _scored,
    ("directions", False): _pointed,
}
"""By sort, and whether it is read from a table."""
