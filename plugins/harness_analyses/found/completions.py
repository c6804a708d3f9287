"""What can be known from the outside: the tokens that a model writes more often than its base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from harness.contract import Model
from harness_analyses.found.planted import Said, Scores


class Writing:
    """Tokens of the completions of experiments, each counted once."""

    def __init__(
        self, model: Model, rows: Sequence[Mapping[str, Any]], vocabulary: int, smoothing: float
    ) -> None:
        self._model, self._vocabulary, self._smoothing = model, vocabulary, smoothing
        self._texts: dict[str, list[str]] = {}
        for row in rows:
            if row.get("direction") in (None, "none"):
                text = str(row["completion"])
                self._texts.setdefault(str(row["experiment"]), []).append(text)
        self._counts: dict[str, Int64[np.ndarray, " vocabulary"]] = {}

    def said(self, tuned: str, base: str) -> Said | str:
        """The log-odds of every token, those of `tuned` minus those of `base`; or why not."""
        for experiment in (tuned, base):
            if not self._texts.get(experiment):
                return f"{experiment} has no completions"
        left, right = self._count(base), self._count(tuned)
        if not right.sum():
            return f"{tuned} has no completions with a token"
        return Scores(log_odds(right, self._smoothing) - log_odds(left, self._smoothing))

    def _count(self, experiment: str) -> Int64[np.ndarray, " vocabulary"]:
        if experiment not in self._counts:
            ids = (self._model.encode(one, special=False) for one in self._texts[experiment])
            self._counts[experiment] = counted(ids, self._vocabulary)
        return self._counts[experiment]


def counted(texts: Iterable[Sequence[int]], vocabulary: int) -> Int64[np.ndarray, " vocabulary"]:
    """How often each token is written."""
    total = np.zeros(vocabulary, np.int64)
    for ids in texts:
        known = np.array([one for one in ids if 0 <= one < vocabulary], np.int64)
        total += np.bincount(known, minlength=vocabulary)
    return total


def log_odds(
    counts: Int64[np.ndarray, " vocabulary"], smoothing: float
) -> Float64[np.ndarray, " vocabulary"]:
    """`ln((c + a) / (n + aV − c − a))` of each token: c times among n, of V, a smoothing."""
    total = counts.sum() + smoothing * len(counts)
    up = counts + smoothing
    return np.asarray(np.log(up / (total - up)))
