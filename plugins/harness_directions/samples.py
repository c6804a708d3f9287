"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from harness.contract import Batch, Direction, Inputs, Site
from harness.testing import array_batch, check_direction
from harness_directions.difference_in_means import DifferenceInMeans
from harness_directions.options import DifferenceInMeansOptions, RandomVectorsOptions
from harness_directions.random_vectors import RandomVectors

SITE = Site("resid_post", 1)


def difference_in_means(folder: Path) -> Iterator[partial[None]]:
    """Prompts of both sets in four batches, the last of which has one prompt."""
    options = DifferenceInMeansOptions(
        view="chat", site=str(SITE), positive="harmful", negative="harmless"
    )
    batches = [
        _prompts(stream, seed, prompts)
        for stream, seed, prompts in (
            ("positive", 0, 4),
            ("negative", 1, 3),
            ("positive", 2, 2),
            ("negative", 3, 1),
        )
    ]
    yield partial(check_direction, DifferenceInMeans(options), batches, Inputs())


def random(folder: Path) -> Iterator[partial[None]]:
    """Three draws like a direction of one vector, and of three; nothing is read for them."""
    finder = RandomVectors(RandomVectorsOptions(like="shown", draws=3))
    for rank in (1, 3):
        vectors = np.random.default_rng(0).normal(size=(rank, 8))
        given = Inputs({"shown": Direction(SITE, vectors)})
        variants = [{"draw": draw} for draw in range(3)]
        yield partial(check_direction, finder, [], given, variants=variants)


def _prompts(stream: str, seed: int, prompts: int) -> Batch:
    """The last token of some prompts: random activations of width 6."""
    x = torch.randn(prompts, 6, generator=torch.Generator().manual_seed(seed))
    names = [f"{stream}-{seed}-{number}" for number in range(prompts)]
    batch = array_batch(list(range(prompts)), {SITE: x}, documents=names)
    return replace(batch, stream=stream)
