"""Functions of a scale that is known only at the end, kept at some scales and read in between.

How far the activations of two models differ in scale is known when every token was seen; what is
made of each token's own ratio must be kept before. It is smooth in the logarithm u of the scale,
so it is kept at Lobatto nodes (the extremes of a Chebyshev polynomial) and interpolated by the
polynomial through them, which converges geometrically. Every second node of 2n intervals is a node
of n intervals: a coarser interpolation comes free, and tells how good the finer one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64

REACH = np.log(2.0)
"""The largest |u|: one side at most twice the other."""


@dataclass(frozen=True)
class ScaleGrid:
    """Nodes of u, Float64 [nodes], in order: one node, or Lobatto's on [−REACH, REACH]."""

    nodes: Float64[np.ndarray, " nodes"]

    @classmethod
    def known(cls, u: float) -> ScaleGrid:
        """The grid of one node, for a scale that is known beforehand: u is its logarithm."""
        return cls(np.array([u]))

    @classmethod
    def lobatto(cls, intervals: int) -> ScaleGrid:
        """A grid for a scale that is known only at the end; `intervals` is even: 0 is a node."""
        angles = np.pi * np.arange(intervals, -1, -1) / intervals
        nodes = REACH * np.cos(angles)
        nodes[intervals // 2] = 0.0
        return cls(nodes)

    @property
    def ratios(self) -> Float64[np.ndarray, " nodes"]:
        """exp(u), the scales themselves."""
        ratios: np.ndarray = np.exp(self.nodes)
        return ratios

    def every(self, step: int) -> ScaleGrid:
        """The coarser grid of every `step`-th node; a single node stays."""
        return ScaleGrid(self.nodes[::step])

    def halving_error(
        self, kept: Float64[np.ndarray, "draws nodes"]
    ) -> Float64[np.ndarray, " draws"]:
        """How far the polynomial through every second node is from what was kept, at most.

        0 with a single node.
        """
        if len(self.nodes) == 1:
            return np.zeros(len(kept))
        found: np.ndarray = np.abs(kept[:, ::2] @ _halves(len(self.nodes)).T - kept).max(1)
        return found

    def at(
        self, u: Float64[np.ndarray, " draws"], kept: Float64[np.ndarray, "draws nodes"]
    ) -> Float64[np.ndarray, " draws"]:
        """The polynomial through what was kept, at u; NaN beyond the grid.

        Barycentric formula (Berrut and Trefethen, "Barycentric Lagrange Interpolation", 2004).
        With a single node, what was kept there, whatever u is.
        """
        if len(self.nodes) == 1:
            return kept[:, 0]
        weights = (-1.0) ** np.arange(len(self.nodes))
        weights[[0, -1]] /= 2
        away = u[:, None] - self.nodes
        exact = np.abs(away) < 1e-14  # closer than that its weight would overflow
        with np.errstate(invalid="ignore"):
            shares = np.where(
                exact.any(1, keepdims=True), exact, weights / np.where(exact, 1, away)
            )
            # A node where nothing is defined leaves nothing defined, unless u is another node.
            terms = np.where(shares == 0, 0, shares * kept)
            found = terms.sum(1) / shares.sum(1)
        return np.where(np.abs(u) <= REACH, found, np.nan)


@lru_cache(maxsize=4)
def _halves(nodes: int) -> Float64[np.ndarray, "nodes half"]:
    """What takes values at every second node of a Lobatto grid to the polynomial at every node."""
    grid = ScaleGrid.lobatto(nodes - 1)
    half = grid.every(2)
    ones = np.eye(len(half.nodes))
    return np.stack([half.at(grid.nodes, np.tile(one, (nodes, 1))) for one in ones], 1)
