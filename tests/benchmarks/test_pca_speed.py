"""The benchmark runs, and both sides of it find the same components."""

import re
from collections.abc import Callable

import pytest


@pytest.mark.slow
def test_the_benchmark_runs_in_small(printed: Callable[..., str]) -> None:
    pytest.importorskip("sklearn")
    words = ["--tokens", "3000", "--width", "24", "--components", "3", "--batch", "500"]
    out = printed("pca_speed", *words)
    found = re.search(r"smallest \|cosine\| ([\d.]+), explained variance within (\S+)", out)
    assert found is not None, out
    # IncrementalPCA drops what is beyond its components after every batch: it is not exact.
    assert float(found[1]) > 0.95
    assert float(found[2]) < 0.02
