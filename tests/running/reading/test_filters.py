"""Which tokens count: held against a slow float64 reading of the same words."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from harness.contract import Site, Where
from harness.running.reading.filters import FilteredShare, chosen, no_sink
from harness.testing.support.batches import array_batch

SITE = Site("resid_post", 1)
ROWS = hnp.arrays(np.int64, st.tuples(st.integers(0, 9), st.just(3)), elements=st.integers(-5, 5))


def tensor(rows: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(rows), dtype=torch.float32).reshape(-1, 3)


def sinks(x: np.ndarray, document: list[int], ratio: float) -> list[bool]:
    """Whether each token is no sink, by the words: longer than `ratio` times the median norm."""
    norms = [float(np.sqrt(float(row @ row))) for row in x]
    of: dict[int, list[float]] = {}
    for norm, one in zip(norms, document, strict=True):
        of.setdefault(one, []).append(norm)
    # Of an even number of tokens, the lower one of the two in the middle.
    medians = {one: statistics.median_low(many) for one, many in of.items()}
    return [norm <= ratio * medians[one] for norm, one in zip(norms, document, strict=True)]


@pytest.mark.slow
@settings(deadline=None)
@given(st.data(), ROWS, st.floats(1.1, 8))
def test_a_sink_is_longer_than_so_many_medians_of_its_own_document(
    data: st.DataObject, x: np.ndarray, ratio: float
) -> None:
    document = data.draw(st.lists(st.integers(0, 2), min_size=len(x), max_size=len(x)))
    y = data.draw(hnp.arrays(np.int64, x.shape, elements=st.integers(-5, 5)))
    rows = torch.tensor(document, dtype=torch.long)
    wanted = np.array(sinks(x, document, ratio), dtype=bool)
    assert no_sink([tensor(x)], rows, ratio).tolist() == wanted.tolist()
    both = wanted & np.array(sinks(y, document, ratio), dtype=bool)
    assert no_sink([tensor(x), tensor(y)], rows, ratio).tolist() == both.tolist()


def test_a_sink_in_one_document_does_not_hide_one_in_another() -> None:
    x = tensor([[1, 0, 0]] * 3 + [[100, 0, 0]] * 3 + [[900, 0, 0]])
    document = torch.tensor([0] * 3 + [1] * 4)
    assert no_sink([x], document, 5).tolist() == [True] * 6 + [False]


@pytest.mark.slow
@settings(deadline=None)
@given(st.data(), ROWS, st.sampled_from([-1.0, -0.3, 0.0, 0.5, 0.9, 1.0]))
def test_conditions_on_the_cosine(data: st.DataObject, x: np.ndarray, limit: float) -> None:
    y = data.draw(hnp.arrays(np.int64, x.shape, elements=st.integers(-5, 5)))
    below, above, alone = [], [], []
    for a, b in zip(x.astype(float), y.astype(float), strict=True):
        lengths = np.sqrt(a @ a) * np.sqrt(b @ b)
        exists = lengths > 0
        cosine = a @ b / lengths if exists else np.nan
        near = exists and abs(cosine - limit) < 1e-6  # rounding decides
        below.append(None if near else bool(exists and cosine < limit))
        above.append(None if near else bool(exists and cosine >= limit))
        alone.append(True)
    for where, wanted in (
        (Where(cosine_below=limit), below),
        (Where(cosine_above=limit), above),
        (Where(), alone),
    ):
        found = chosen(tensor(x), tensor(y), where).tolist()
        assert len(found) == len(wanted)
        assert all(
            one in (other, None) or other is None for one, other in zip(found, wanted, strict=True)
        )


def test_a_cosine_of_exactly_the_limit_is_above_and_not_below() -> None:
    x, y = tensor([[3, 4, 0]]), tensor([[4, 3, 0]])
    limit = float((x * y).sum() / (x.norm() * y.norm()))
    assert chosen(x, y, Where(cosine_above=limit)).tolist() == [True]
    assert chosen(x, y, Where(cosine_below=limit)).tolist() == [False]


def test_all_conditions_must_hold() -> None:
    x = tensor([[1, 0, 0]] * 3)
    y = tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    assert chosen(x, y, Where(cosine_below=0.9, cosine_above=0.1)).tolist() == [False, True, False]


# ── The shares ───────────────────────────────────────────────────────────────────────────────────


def shares(where: Where, x: Any, y: Any, document: list[int]) -> dict[str, float]:
    metric = FilteredShare(where, SITE)
    batch = array_batch(document, {SITE: tensor(x)}, {SITE: tensor(y)})
    sums = {name: value.sum(0, keepdim=True).numpy() for name, value in
            metric.sums(batch, batch.left).items()}  # fmt: skip
    found = metric.value(sums)
    return {value.id: float(one[0]) for value, one in zip(metric.values, found, strict=True)}


def test_the_shares_are_those_counted_by_hand() -> None:
    document = [0] * 6 + [1] * 2
    x = [[9, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [50, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]]
    y = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]
    where = Where(skip_first=1, max_norm_ratio=10.0, cosine_below=0.9)
    # Skipped: the first token of each document. Sinks: the one of 50. Left: 5 of 8. Under 0.9:
    # three of them, (1,0)(0,1), (1,0)(1,1) and (0,1)(1,0).
    found = shares(where, x, y, document)
    assert found == {"filtered_share@1": 3 / 5, "dropped_share@1": pytest.approx(3 / 8)}
    where = Where(skip_first=2, max_norm_ratio=10.0, cosine_below=0.9)
    # Skipped: two tokens of each document, so all of the second. Left: 3 of 8 tokens.
    found = shares(where, x, y, document)
    assert found == {"filtered_share@1": 2 / 3, "dropped_share@1": pytest.approx(5 / 8)}
