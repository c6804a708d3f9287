"""latent_moments against sums written out, and the laws of a reduction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from fakes.reductions import outcome_of
from harness.contract import Batch, Inputs, SaeFacts, State
from harness.contract.latents import Latents
from harness.contract.sites import parse_site
from harness.testing.support.batches import array_batch, only
from harness_statistics.moments import LatentMoments
from harness_statistics.options import LatentMomentsOptions as Given

SITE = parse_site("resid_post.1")
WIDTH, D = 9, 4


class Sae:
    """ReLU of a product over a threshold."""

    facts = SaeFacts("small", D, WIDTH, SITE)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.w = torch.randn(D, WIDTH, generator=generator)

    def encode(self, x: torch.Tensor) -> Latents:
        a = x @ self.w
        return Latents.from_dense(torch.where(a > 0.7, a, 0))


def batch(
    tokens: int = 30, documents: int = 6, seed: int = 0, *, paired: bool = True, every: int = 1
) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(tokens, D, generator=generator)
    right = left + torch.randn(tokens, D, generator=generator)
    owner = torch.randint(0, documents, (tokens,), generator=generator)
    owner[:documents] = torch.arange(documents)
    return array_batch(
        owner.tolist(), {SITE: left}, {SITE: right} if paired else None, saes={"sae": Sae()},
        selected=list(range(0, tokens, every)), documents=[f"{seed}-{i}" for i in range(documents)],
    )  # fmt: skip


def moments(**more: Any) -> LatentMoments:
    pair = {} if "view" in more else {"pair": "p"}
    return LatentMoments(Given(**{**pair, "sae": "sae", "raw": "resid_post.1", **more}))


def arrays(statistic: LatentMoments, *batches: Batch) -> dict[str, np.ndarray]:
    return dict(outcome_of(statistic, Inputs(), *batches).arrays)


def total(array: np.ndarray) -> np.ndarray:
    return array.sum(0) if array.ndim == 2 else array


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("groups", [0, 4])
def test_sums_are_those_written_out(every: int, groups: int) -> None:
    one = batch(every=every)
    found = arrays(moments(groups=groups), one)
    rows = one.selected
    x = [side.x(SITE)[rows].double().numpy() for side in (one.left, one.right)]
    z = [side.latents("sae").dense().double().numpy() for side in (one.left, one.right)]
    expected = {
        "left_sum": z[0], "right_sum": z[1], "left_square": z[0] ** 2, "right_square": z[1] ** 2,
        "change_square": (z[1] - z[0]) ** 2, "left_active": z[0] != 0, "right_active": z[1] != 0,
        "raw_left_sum": x[0], "raw_right_sum": x[1], "raw_left_square": x[0] ** 2,
        "raw_right_square": x[1] ** 2, "raw_change_square": (x[1] - x[0]) ** 2,
    }  # fmt: skip
    assert found.keys() == {"tokens", "documents", *expected}
    for name, array in expected.items():
        np.testing.assert_allclose(total(found[name]), array.sum(0), rtol=1e-12, err_msg=name)
        assert found[name].dtype == (np.int64 if name.endswith("active") else np.float64)
    assert found["tokens"].shape == (max(groups, 1),)
    assert found["tokens"].sum() == len(rows)
    assert found["documents"].sum() == len(set(one.document[rows].tolist()))


def test_groups_are_of_documents() -> None:
    one = batch()
    found = arrays(moments(groups=3), one)
    apart = [arrays(moments(groups=3), only(one, [i])) for i in range(6)]
    for alone in apart:
        assert np.count_nonzero(alone["tokens"]) == 1
    np.testing.assert_allclose(found["left_sum"], sum(a["left_sum"] for a in apart), rtol=1e-12)
    assert np.count_nonzero(found["tokens"]) > 1


def test_a_view_has_one_side() -> None:
    found = arrays(moments(view="v", data="d"), batch(paired=False))
    assert found.keys() == {
        "tokens", "documents", "left_sum", "left_square", "left_active", "raw_left_sum",
        "raw_left_square",
    }  # fmt: skip


def test_identical_sides_do_not_change() -> None:
    one = batch()
    same = array_batch(
        one.document.tolist(), {SITE: one.left.x(SITE)}, {SITE: one.left.x(SITE)},
        saes={"sae": Sae()}, documents=list(one.documents),
    )  # fmt: skip
    found = arrays(moments(), same)
    assert not found["change_square"].any()
    assert not found["raw_change_square"].any()


def test_without_raw_there_is_none() -> None:
    assert not [name for name in arrays(moments(raw=None), batch()) if name.startswith("raw")]


def test_nothing_measured() -> None:
    found = arrays(moments())
    assert found.keys() == {"tokens", "documents"}
    assert not found["tokens"].any()
    empty = batch(every=99)
    empty = only(empty, [])
    assert arrays(moments(), empty).keys() == {"tokens", "documents"}


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 6), st.integers(1, 6))
def test_any_split_gives_the_same(order: list[int], cut: int, size: int) -> None:
    one, statistic = batch(every=2), moments(groups=3)
    whole = arrays(statistic, one)
    states: list[State] = []
    for documents in (order[:cut], order[cut:]):
        state = statistic.start(Inputs())
        for start in range(0, len(documents), size):
            part = only(one, documents[start : start + size])
            before = {name: array.copy() for name, array in state.items()}
            new = statistic.update(state, part)
            assert all(np.array_equal(state[name], before[name]) for name in before)
            state = new
        states.append(state)
    for left, right in (states, states[::-1]):
        merged = statistic.finish(statistic.merge(left, right), Inputs()).arrays
        assert merged.keys() == whole.keys()
        for name, array in whole.items():
            np.testing.assert_allclose(merged[name], array, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({}, "give either pair, or view and data"),
        ({"pair": "p", "view": "v", "data": "d"}, "give either pair, or view and data"),
        ({"view": "v"}, "give either pair, or view and data"),
        ({"pair": "p", "groups": 1}, "groups is 1"),
        ({"pair": "p", "raw": "layer 3"}, "layer 3"),
    ],
)
def test_options(more: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Given(sae="sae", **more)
