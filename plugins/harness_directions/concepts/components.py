"""The leading components of a matrix of second moments, as directions with their records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from harness.contract import Axes, Direction, Found, Record, Site, Undefined
from harness.errors import ModelError
from harness_directions import scatter
from harness_directions.concepts.records import About
from harness_directions.scatter import Spectrum

_WHY = "needs the second moments of every draw of documents, which are not kept"
_RESOLVED = 1e-12
"""Shares of the largest eigenvalue below which one is the rounding of float32 activations."""


@dataclass(frozen=True)
class Decomposed:
    """A matrix E y yᵀ taken apart, and what its components are held against."""

    spectrum: Spectrum
    """Eigenvalues that are rounding are 0."""
    total: float
    """The sum of all eigenvalues."""
    towards: Float64[np.ndarray, " d"]
    """Each component points to its side, so that its number along each is not negative."""
    origin: Float64[np.ndarray, " d"]

    @property
    def rank(self) -> int:
        """How many of the components that were asked for exist."""
        return int(np.count_nonzero(self.spectrum.values))


def decomposed(
    matrix: Float64[np.ndarray, "d d"],
    count: int,
    floor: float,
    towards: Float64[np.ndarray, " d"],
    origin: Float64[np.ndarray, " d"],
) -> Decomposed:
    """The `count` leading eigenvectors of a symmetric matrix; eigenvalues up to `floor`, or 1e-12
    of the largest one, are rounding."""
    found = scatter.leading(matrix, count)
    least = max(floor, _RESOLVED * float(found.values[0]))
    values = np.where(found.values > least, found.values, 0.0)
    vectors = scatter.oriented(found.vectors, towards)
    return Decomposed(Spectrum(values, vectors), float(np.trace(matrix)), towards, origin)


def enough(components: int, width: int, site: Site) -> None:
    """Raises ModelError where more components are asked for than there are numbers per token."""
    if components > width:
        raise ModelError(
            f"components = {components}: {site} has {width} numbers per token. Allowed: 1 to "
            f"{width}. Ask for fewer components"
        )


@dataclass(frozen=True)
class Directions:
    """Makes the directions of all variants, √λ_i·v_i each, with records of single components."""

    name: str
    """What their ids begin with."""
    site: Site
    said: About
    variants: Sequence[Axes]
    components: int

    def found(self, one: Decomposed | None, why: str) -> tuple[Found, ...]:
        """One for each variant; all undefined, for the reason `why`, without a decomposition."""
        return tuple(
            Found(self._direction(one, why, axes), axes, tuple(self._records(one, why, axes)))
            for axes in self.variants
        )

    def _direction(self, one: Decomposed | None, why: str, axes: Axes) -> Direction | Undefined:
        if one is None:
            return Undefined(why)
        first, last = self._span(axes)
        if not one.rank or (axes and last > one.rank):
            return Undefined(self._beyond(one, last))
        kept = slice(first, min(last, one.rank))
        lengths = np.sqrt(one.spectrum.values[kept])
        return Direction(
            self.site,
            lengths[:, None] * one.spectrum.vectors[kept],
            reference_norm=float(lengths[0]) if len(lengths) == 1 else None,
            origin=one.origin,
            missing=tuple(self._beyond(one, pc) for pc in range(one.rank + 1, last + 1)),
        )

    def _span(self, axes: Axes) -> tuple[int, int]:
        pc, k = axes.get("pc"), axes.get("k")
        if isinstance(pc, int):
            return pc - 1, pc
        return 0, k if isinstance(k, int) else self.components

    def _beyond(self, one: Decomposed, pc: int) -> str:
        return (
            f"component {pc} is beyond the rank of what was measured at {self.site}, which is "
            f"{one.rank}"
        )

    def _records(self, one: Decomposed | None, why: str, axes: Axes) -> Iterator[Record]:
        # The only one is all of them, and has no axis.
        pc = 1 if self.components == 1 and not axes else axes.get("pc")
        if not isinstance(pc, int):
            return
        explained = sigma = cosine = None
        aimless = ""
        if one is not None and pc > one.rank:
            why = self._beyond(one, pc)
        elif one is not None:
            value = float(one.spectrum.values[pc - 1])
            explained, sigma = min(1.0, value / one.total), float(np.sqrt(value))
            length = float(np.linalg.norm(one.towards))
            along = abs(float(one.spectrum.vectors[pc - 1] @ one.towards))
            cosine = min(1.0, along / length) if length else None
            aimless = "" if length else "the mean that it would be held against has length 0"
        name, said = self.name, self.said
        yield said.record(f"{name}.explained@1", explained, "share", why or None, _WHY)
        yield said.record(f"{name}.sigma@1", sigma, "activation", why or None, _WHY)
        yield said.record(f"{name}.mean_cosine@1", cosine, "cosine", why or aimless or None, _WHY)
