"""What a statistic `mean_difference` kept, as vectors that can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Axes, Findings
from harness_analyses.axes import without
from harness_statistics.mean_difference.means import (
    Means,
    Place,
    balanced_signs,
    group_weights,
    halves,
    means_in,
    permuted,
)

DIFFERENCE, INVERSE, LEFT, RIGHT = "difference", "inverse", "left", "right"
"""Sources of vectors: δ, its opposite, and the means of both sides."""
_ROUNDING = 1e-6
"""A difference with permuted labels this much shorter than δ is rounding: the shift that all text
shares has cancelled, and nothing else was there."""


@dataclass(frozen=True)
class Variant:
    """The means of one pair at one site."""

    place: Place
    means: Means
    axes: Axes
    """`pair`, `site`, and what else the statistic sweeps over."""

    @property
    def name(self) -> str:
        """The variant in a sentence, told apart from others of the same site."""
        more = without(self.axes, ("pair", "site"))
        return ", ".join([self.place.pair, *(f"{key} {value}" for key, value in more.items())])


@dataclass(frozen=True)
class Vectors:
    """What is read at one position, each vector as long as activations usually are."""

    position: int
    tokens: int
    documents: int
    named: Mapping[str, Float[Tensor, " d"]]
    """By source; a source whose vector is 0 is left out."""
    permuted: Float[Tensor, "draws d"]
    """Differences with permuted labels; those that are nothing but rounding are left out."""
    halves: tuple[tuple[Float[Tensor, " d"], Float[Tensor, " d"]], ...]
    """Differences of two halves of the text; pairs of which one is 0 are left out."""
    resampled: Float[Tensor, "draws d"]
    """Differences of documents drawn with replacement; none where one of them has no direction."""
    why: str | None = None
    """Why there is no difference to read."""


def variants(findings: Findings, statistic: str) -> list[Variant]:
    """All that the statistic kept, over all categories of its data, in the order of the run."""
    return [
        Variant(place, means, {**arrays.axes, "pair": place.pair, "site": place.site})
        for arrays in findings.arrays
        if arrays.statistic == statistic and "domain" not in arrays.axes
        for place, means in means_in(arrays.values).items()
    ]


@dataclass(frozen=True)
class Chance:
    """How often chance is asked."""

    draws: int
    """Permutations of labels."""
    splits: int
    """Halves of the text."""
    resamples: int
    """Bootstraps over groups of documents."""
    seed: int


def vectors(means: Means, at: int, chance: Chance) -> Vectors:
    """The vectors of the `at`-th position, and what they could be by chance."""
    position, tokens = int(means.positions[at]), int(means.tokens[at])
    width = means.change.shape[-1]
    none = torch.zeros(0, width)
    if not tokens:
        why = f"no document has a measured token at position {position}"
        return Vectors(position, 0, 0, {}, none, (), none, why)
    usual = means.usual_norm() or float(np.linalg.norm(means.right_mean(at)))
    raw = {
        DIFFERENCE: means.difference(at),
        LEFT: means.left_mean(at),
        RIGHT: means.right_mean(at),
    }
    named = {name: found for name, v in raw.items() if (found := _long(v, usual)) is not None}
    by_group = means.by_group(at)
    drawn: Sequence[np.ndarray] = ()
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    if len(by_group) > 1:
        signs = balanced_signs(len(by_group), max(chance.draws, chance.splits), chance.seed)
        drawn = list(permuted(by_group, signs[: chance.draws]))
        parts = list(zip(*halves(by_group, signs[: chance.splits]), strict=True))
    least = _ROUNDING * float(np.linalg.norm(raw[DIFFERENCE]))
    lengthened = [one for v in drawn if (one := _long(v, usual, least)) is not None]
    pairs = [(_long(one, usual, least), _long(other, usual, least)) for one, other in parts]
    weights = group_weights(len(means.count), chance.resamples, chance.seed)
    again = [_long(v, usual, least) for v in means.resampled(at, weights)]
    whole = [one for one in again if one is not None]
    same = "the sides are the same: the mean difference is exactly 0, and has no direction"
    return Vectors(
        position,
        tokens,
        int(means.documents[at]),
        named,
        torch.stack(lengthened) if lengthened else none,
        tuple((one, other) for one, other in pairs if one is not None and other is not None),
        torch.stack(whole) if whole and len(whole) == len(again) else none,
        None if DIFFERENCE in named else same,
    )


def _long(
    vector: Float[np.ndarray, " d"], length: float, least: float = 0.0
) -> Float[Tensor, " d"] | None:
    """The vector at another length, float32; None where it has no direction, being `least` long.

    What a norm makes of a vector does not depend on its length, up to the norm's epsilon, which is
    not small beside a small difference.
    """
    size = float(np.linalg.norm(vector))
    if not size > least or not length:  # NaN, too, has no direction
        return None
    return torch.tensor(vector / size * length, dtype=torch.float32)
