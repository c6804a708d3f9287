"""Mean activations at the first positions of documents, and what they could be by chance.

Imports no torch. An array of `mean_difference` is called `<pair>/<site>/<what>`, so that an
analysis can read it without anything else:

| what | shape | |
|---|---|---|
| `positions` | Int64 [P] | the positions |
| `count` | Int64 [groups, P] | tokens |
| `left`, `change` | Float64 [groups, P, d] | Σ x_left, and Σ (x_right − x_left), token by token |
| `square` | Float64 [P] | Σ ‖x_right − x_left‖² |
| `documents` | Int64 [P] | different documents with a token there |
| `norm` | Float64 [1] | Σ ‖x_right‖ from the last of the positions on |
| `norm_count` | Int64 [1] | tokens of that sum |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Place:
    """What the means are of: a pair, and a site by its name."""

    pair: str
    site: str

    def name(self, what: str) -> str:
        """The name of an array."""
        return "/".join((self.pair, self.site, what))


@dataclass(frozen=True)
class Means:
    """The sums of one pair at one site; see the table above."""

    positions: Int[np.ndarray, " P"]
    count: Int[np.ndarray, "groups P"]
    left: Float[np.ndarray, "groups P d"]
    change: Float[np.ndarray, "groups P d"]
    square: Float[np.ndarray, " P"]
    documents: Int[np.ndarray, " P"]
    norm: Float[np.ndarray, " 1"]
    norm_count: Int[np.ndarray, " 1"]

    def arrays(self, place: Place) -> dict[str, np.ndarray]:
        """The arrays, under their names."""
        return {place.name(one.name): getattr(self, one.name) for one in fields(self)}

    @property
    def tokens(self) -> Int[np.ndarray, " P"]:
        """Tokens at each position."""
        return np.asarray(self.count.sum(0))

    def left_mean(self, at: int) -> Float[np.ndarray, " d"]:
        """The mean of the left side at the `at`-th position, which has a token."""
        return np.asarray(self.left[:, at].sum(0) / self.count[:, at].sum())

    def difference(self, at: int) -> Float[np.ndarray, " d"]:
        """δ at the `at`-th position: the mean of x_right − x_left. There must be a token."""
        return np.asarray(self.change[:, at].sum(0) / self.count[:, at].sum())

    def right_mean(self, at: int) -> Float[np.ndarray, " d"]:
        """The mean of the right side at the `at`-th position, which has a token."""
        return np.asarray(self.left_mean(at) + self.difference(at))

    def usual_norm(self) -> float | None:
        """s: the mean of ‖x_right‖ from the last of the positions on; None without a token."""
        return float(self.norm[0] / self.norm_count[0]) if self.norm_count[0] else None

    def resampled(
        self, at: int, weights: Int[np.ndarray, "draws groups"]
    ) -> Float[np.ndarray, "draws d"]:
        """δ at the `at`-th position of groups drawn so often; NaN where none has a token there."""
        tokens = weights @ self.count[:, at]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(weights @ self.change[:, at] / tokens[:, None])

    def by_group(self, at: int) -> Float[np.ndarray, "present d"]:
        """δ of each group of documents that has a token at the `at`-th position."""
        present = self.count[:, at] > 0
        return np.asarray(self.change[present, at] / self.count[present, at, None])


def means_in(arrays: Mapping[str, np.ndarray]) -> dict[Place, Means]:
    """Reads back what `Means.arrays` wrote; arrays with other names are passed over."""
    wanted = [one.name for one in fields(Means)]
    found: dict[Place, dict[str, np.ndarray]] = {}
    for name, values in arrays.items():
        pair, _, rest = name.partition("/")
        site, _, what = rest.rpartition("/")
        if site and what in wanted:
            found.setdefault(Place(pair, site), {})[what] = values
    return {
        place: Means(**{what: values[what] for what in wanted})
        for place, values in found.items()
        if set(wanted) <= values.keys()
    }


def balanced_signs(groups: int, draws: int, seed: int) -> Int[np.ndarray, "draws groups"]:
    """For each draw +1 for half of the groups, drawn at random, and −1 for the other half.

    Of an odd number of groups one has 0. A shift that all documents share cancels under such
    signs, to the last bit where all groups have the same mean. Under signs that are drawn for each
    document by itself it would not: some of it would be left, in its own direction, and what a
    lens says of a vector does not depend on its length.
    """
    half = groups // 2
    one = np.concatenate([np.ones(half), -np.ones(half), np.zeros(groups - 2 * half)])
    rng = np.random.default_rng([seed, groups])
    return np.stack([rng.permutation(one) for _ in range(draws)]).astype(np.int64)


def permuted(
    by_group: Float[np.ndarray, "groups d"], signs: Int[np.ndarray, "draws groups"]
) -> Float[np.ndarray, "draws d"]:
    """δ with the labels of the two models exchanged in half of the groups: Σ s_g δ_g / Σ |s_g|."""
    return np.asarray(signs @ by_group / np.abs(signs).sum(1, keepdims=True))


def group_weights(groups: int, draws: int, seed: int) -> Int[np.ndarray, "draws groups"]:
    """How often each group is in each draw of a bootstrap over groups: as many as there are,
    drawn with replacement. The same at all positions, so that what is drawn belongs together."""
    rng = np.random.default_rng([seed, groups, 1])
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)


def halves(
    by_group: Float[np.ndarray, "groups d"], signs: Int[np.ndarray, "draws groups"]
) -> tuple[Float[np.ndarray, "draws d"], Float[np.ndarray, "draws d"]]:
    """δ of the groups with sign +1, and of those with −1: means over groups."""
    plus, minus = (signs > 0).astype(float), (signs < 0).astype(float)
    return (
        np.asarray(plus @ by_group / plus.sum(1, keepdims=True)),
        np.asarray(minus @ by_group / minus.sum(1, keepdims=True)),
    )
