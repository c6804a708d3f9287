"""What paths cost: forwards and backwards of whole models, and the memory of a way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.contract import GradientPath, Stream
from harness.planning.cost.network import Network
from harness.planning.counts import Counts, path_forwards
from harness.planning.steps import Job


@dataclass(frozen=True)
class Followed:
    """A path, and one of the two models whose upper layers follow it."""

    path: GradientPath
    model: str


def followed(jobs: Iterable[tuple[Job, Stream, list[str]]]) -> Iterator[Followed]:
    """The paths that jobs read together, each once for the views of its stream."""
    seen: dict[tuple[str, str | None, str, GradientPath], list[str]] = {}
    for job, stream, models in jobs:
        for path in job.reads.paths:
            seen[stream.view, stream.right, stream.render, path] = models
    for (_, _, _, path), models in seen.items():
        for model in models:
            yield Followed(path, model)


def path_counts(one: Followed, read: Counts) -> Counts:
    """The forwards of a path over prompts of which one reading counts as `read`."""
    return sum([read] * path_forwards(one.path), Counts())


def path_flops(one: Followed, net: Network, read: Counts, pairs: int) -> float:
    """Operations: forwards to the end with logits at every token, and for each point a way back to
    the site, whose products are those of the forward there: weights get no gradients."""
    whole = net.flops(read.positions, pairs, net.layers, read.tokens)
    above = net.layers - net.depth([one.path.site])
    back = net.flops(read.positions, pairs, above, read.tokens)
    return path_forwards(one.path) * whole + len(one.path.points) * back


def path_bytes(one: Followed, net: Network, positions: int) -> int:
    """Most bytes of a way back: what every block above the site holds, and logits with their
    logarithms in float64."""
    above = max(1, net.layers - net.depth([one.path.site]))
    logits = positions * net.vocabulary * (net.number_bytes + 16)
    return above * net.forward_bytes(positions) + logits
