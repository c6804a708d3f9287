"""The arrays of `latent_moments`, as an analysis reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from harness.contract import Arrays, Axes
from harness.errors import DataError, listed
from harness.results.numbers import MIN_CLUSTERS
from harness_analyses.axes import AxesKey, axes_key, without

Space = Literal["latents", "raw"]
SPACES: tuple[Space, ...] = ("latents", "raw")


@dataclass(frozen=True)
class Moments:
    """Sums over tokens of some dimensions, a row for each group of documents."""

    tokens: Int[np.ndarray, " groups"]
    documents: Int[np.ndarray, " groups"]
    sums: Mapping[str, Float[np.ndarray, "groups d"]]

    @property
    def n(self) -> int:
        """The number of tokens."""
        return int(self.tokens.sum())

    @property
    def clusters(self) -> int:
        """The number of documents."""
        return int(self.documents.sum())

    def mean(self, name: str) -> Float[np.ndarray, " d"]:
        """A sum over all tokens, divided by their number; NaN where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: np.ndarray = self.sums[name].sum(0) / self.n
        return mean

    def take(self, dimensions: Int[np.ndarray, " m"]) -> Moments:
        """The moments of some dimensions."""
        sums = {name: array[:, dimensions] for name, array in self.sums.items()}
        return Moments(self.tokens, self.documents, sums)

    def without(self, group: int) -> Moments:
        """The moments without one group of documents."""
        sums = {name: np.delete(array, group, axis=0) for name, array in self.sums.items()}
        return Moments(np.delete(self.tokens, group), np.delete(self.documents, group), sums)


def jackknife(
    moments: Moments, value: Callable[[Moments], float]
) -> tuple[tuple[float, float] | None, str | None]:
    """A 95% interval of a number made of sums, by leaving out one group of documents at a time.

    θ ± t_{G−1, 97.5%} √((G−1)/G · Σ_g (θ_(g) − θ̄)²) with G groups. What the number is conditioned
    on, such as the choice of dimensions, stays as it is. None, with the reason, for fewer than two
    groups with documents, or fewer than `MIN_CLUSTERS` documents.
    Source: Kott, "The Delete-a-Group Jackknife", 2001.
    """
    used = np.flatnonzero(moments.tokens)
    if moments.clusters < MIN_CLUSTERS:
        return None, f"{moments.clusters} documents; an interval needs {MIN_CLUSTERS}"
    if len(used) < 2:
        return None, "latent_moments kept no groups of documents; set its groups"
    left_out = np.array([value(moments.without(int(group))) for group in used])
    if not np.isfinite(left_out).all():
        return None, "undefined without some of the documents"
    count = len(used)
    spread = (count - 1) / count * np.square(left_out - left_out.mean()).sum()
    half = float(special.stdtrit(count - 1, 0.975) * np.sqrt(spread))
    whole = value(moments)
    return (whole - half, whole + half), None


@dataclass(frozen=True)
class Variant:
    """The arrays of one variant of a statistic's sweep."""

    axes: Axes
    whole: Arrays
    """All categories together."""
    domains: Mapping[str, Arrays]
    """By category; empty where the data have none."""


def variants(arrays: Sequence[Arrays], statistic: str) -> list[Variant]:
    """Everything that a statistic kept, by variant; DataError where it is no `latent_moments`."""
    found: dict[AxesKey, dict[str | None, Arrays]] = {}
    for one in arrays:
        if one.statistic != statistic:
            continue
        if "tokens" not in one.values or "documents" not in one.values:
            raise DataError(
                f"statistics.{statistic}: kept {listed(one.values)}. Allowed here: a statistic "
                'with method = "latent_moments".'
            )
        domain = one.axes.get("domain")
        kept = found.setdefault(axes_key(without(one.axes, ("domain",))), {})
        kept[None if domain is None else str(domain)] = one
    return [
        Variant(
            dict(axes),
            kept[None] if None in kept else next(iter(kept.values())),
            {name: one for name, one in kept.items() if name is not None},
        )
        for axes, kept in found.items()
    ]


def matching(given: Variant, others: Sequence[Variant], statistic: str) -> Variant:
    """The variant of another statistic with the same axes, or its only one."""
    same = [other for other in others if dict(other.axes) == dict(given.axes)]
    if same or len(others) == 1:
        return (same or list(others))[0]
    raise DataError(
        f"statistics.{statistic}: has {len(others)} variants and none for {dict(given.axes)}. "
        "Allowed: the same sweep in all statistics of an analysis, or none."
    )


def moments(arrays: Arrays, space: Space) -> Moments:
    """The sums in one space: of the SAE's latents, or of raw activations; empty without tokens."""
    sums = {
        name.removeprefix("raw_"): array
        for name, array in arrays.values.items()
        if name.startswith("raw_") == (space == "raw") and name.endswith(("_sum", "_square"))
    }
    return Moments(arrays.values["tokens"], arrays.values["documents"], sums)
