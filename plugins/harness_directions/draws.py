"""Random generators for controls: the same on every machine, independent of names and order."""

from __future__ import annotations

from typing import Literal

import numpy as np

_PURPOSES = ("vectors", "features")


def generator(purpose: Literal["vectors", "features"], seed: int, draw: int) -> np.random.Generator:
    """The generator of one draw: PCG64 seeded with (purpose, seed, draw)."""
    return np.random.default_rng([_PURPOSES.index(purpose), seed % 2**64, draw])
