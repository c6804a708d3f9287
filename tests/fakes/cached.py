"""A task of everything that the cache keeps, and what a run made of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import fakes
from fakes.running import total_forwards
from harness.results.read import Results

PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
sites = ["embed"]
[metrics.gap]
pair = "p"
[metrics.active]
pair = "p"
[metrics.low]
method = "match"
pair = "p"
where = { cosine_below = 0.997 }
"""
BATCH = """
[batch]
generation = 2
activations = 2
shard = 8
"""
EVERYTHING = PAIR + fakes.EXPERIMENT + BATCH
GIB = 2**30
Cached = Callable[..., Results]


def made() -> tuple[int, int]:
    """Forward passes and completions since the last run began."""
    return total_forwards(), len(fakes.LAB.generated)


def same(left: Results, right: Results) -> bool:
    """Whether the records are equal to the bit."""
    return json.dumps([vars(one) for one in left.records], default=str) == json.dumps(
        [vars(one) for one in right.records], default=str
    )
