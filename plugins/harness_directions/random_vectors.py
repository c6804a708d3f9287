"""Control: Gaussian directions as long as another one."""

from __future__ import annotations

import numpy as np

from harness.contract import Direction, Found, Inputs, Outcome, State, Undefined
from harness_directions.options import RandomVectorsOptions
from harness_directions.states import Sums, generator


class RandomVectors(Sums[RandomVectorsOptions]):
    """Draws g ~ N(0, I) and scales it to the length of `like`; with several vectors row by row.

    Float64 `[rank, d_site]`, at the site of `like`. The draws are independent and not made
    orthogonal to `like` or to each other. Draw i depends on the task's seed, i and the shape
    alone, not on names: two tasks with the same seed have the same controls.
    Undefined where `like` is.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The directions, one for each draw."""
        like = inputs.directions[self.options.like]
        found = (
            Found(self._draw(like, draw, inputs.seed), axes={"draw": draw})
            for draw in range(self.options.draws)
        )
        return Outcome(directions=tuple(found))

    def _draw(self, like: Direction | Undefined, draw: int, seed: int) -> Direction | Undefined:
        if isinstance(like, Undefined):
            return Undefined(f"{self.options.like!r} is undefined: {like.reason}")
        noise = generator("vectors", seed, draw).standard_normal(like.vectors.shape)
        lengths = np.linalg.norm(like.vectors, axis=1, keepdims=True)
        vectors = noise * (lengths / np.linalg.norm(noise, axis=1, keepdims=True))
        # What stands in for `like` is rescaled like it: to the length that `like` imitates.
        reference = like.reference_norm
        if reference is None and len(lengths) == 1:
            reference = float(lengths[0, 0])
        return Direction(like.site, vectors, reference_norm=reference, origin=like.origin)
