"""How long the principal components of a difference take, against sklearn's IncrementalPCA.

Both read the same tokens in the same batches of the same process, centred (sklearn does no other),
and must find the same components. Run it with `python tests/benchmarks/pca_speed.py`; it takes
some minutes, nearly all of them sklearn's. `--tokens 2000 --width 64` is a second.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA
from turns.series import Asked, Series, told

from harness.contract import Batch, Direction, Inputs, ModelFacts, Site
from harness.testing.support.batches import array_batch
from harness_directions.options import PrincipalComponentsOptions as Options
from harness_directions.principal_components import PrincipalComponents

SITE = Site("resid_post", 0)


@dataclass(frozen=True)
class Found:
    """What one of them found, and what it took."""

    components: np.ndarray
    explained: np.ndarray
    seconds: float
    peak_mb: float
    """The process's largest memory so far."""


def batches(tokens: int, width: int, size: int) -> Iterator[Batch]:
    """Tokens of a pair whose difference has a spectrum that falls like 1/i; made as they are read.

    Making them is not timed.
    """
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0]
    spectrum = (rotation / np.sqrt(np.arange(1, width + 1))[:, None]).astype(np.float32)
    for start in range(0, tokens, size):
        rng = np.random.default_rng([1, start])
        count = min(size, tokens - start)
        delta = rng.standard_normal((count, width), dtype=np.float32) @ spectrum
        x = rng.standard_normal((count, width), dtype=np.float32)
        left, right = (torch.from_numpy(side) for side in (x, x + delta))
        yield array_batch([0] * count, {SITE: left}, {SITE: right})


def ours(tokens: int, width: int, size: int, components: int) -> Found:
    """`principal_components`, from activations to directions."""
    options = Options(pair="p", site=str(SITE), components=components, center=True)
    reduction = PrincipalComponents(options)
    inputs = Inputs(facts={"left": ModelFacts(layers=1)})
    state, seconds = reduction.start(inputs), 0.0
    for batch in batches(tokens, width, size):
        begun = time.perf_counter()
        state = reduction.update(state, batch)
        seconds += time.perf_counter() - begun
    begun = time.perf_counter()
    outcome = reduction.finish(state, inputs)
    seconds += time.perf_counter() - begun
    stack = outcome.directions[0].direction
    assert isinstance(stack, Direction)
    units = stack.vectors / np.linalg.norm(stack.vectors, axis=1, keepdims=True)
    explained = [row["explained_variance"] for row in outcome.tables["components"]]
    return Found(units, np.array(explained), seconds, peak())


def theirs(tokens: int, width: int, size: int, components: int) -> Found:
    """`IncrementalPCA.partial_fit` on the same differences."""
    pca, seconds = IncrementalPCA(n_components=components), 0.0
    for batch in batches(tokens, width, size):
        assert batch.right is not None
        begun = time.perf_counter()
        pca.partial_fit((batch.right.x(SITE) - batch.left.x(SITE)).numpy())
        seconds += time.perf_counter() - begun
    return Found(pca.components_, pca.explained_variance_ratio_, seconds, peak())


def peak() -> float:
    """The largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def series(asked: Asked) -> Iterator[Series]:
    """Seconds on the wall of 20,000 tokens at d 1024; one thread."""
    torch.set_num_threads(1)
    tokens, width = (600, 24) if asked.toy else (20_000, 1024)
    for name, run in (("principal_components", ours), ("IncrementalPCA", theirs)):
        if run is ours or not asked.ours:
            taken = [run(tokens, width, 5 * width, 3).seconds for _ in range(asked.repeats)]
            yield Series(f"d {width}", name, tuple(taken), ours=run is ours)


def main(words: Sequence[str] | None = None) -> None:
    """Prints what both took, and how far they agree."""
    if told(words, series):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--batch", type=int, help="tokens read together; sklearn's own default")
    given = parser.parse_args(words)
    size = given.batch or 5 * given.width
    before = peak()
    mine = ours(given.tokens, given.width, size, given.components)
    other = theirs(given.tokens, given.width, size, given.components)
    cosine = np.abs((mine.components * other.components).sum(1)).min()
    ratio = np.abs(mine.explained - other.explained).max()
    what = f"{given.tokens} tokens x {given.width}, {given.components} components"
    print(f"{what}, batches of {size}, {torch.get_num_threads()} threads")
    print(f"before               {before:7.0f} MB")
    print(f"principal_components {mine.peak_mb:7.0f} MB {mine.seconds:8.2f} s")
    print(f"IncrementalPCA       {other.peak_mb:7.0f} MB {other.seconds:8.2f} s")
    faster = f"{other.seconds / mine.seconds:.1f} times faster"
    print(f"{faster}; smallest |cosine| {cosine:.6f}, explained variance within {ratio:.1e}")


if __name__ == "__main__":
    main()
