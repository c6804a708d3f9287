"""Ragged latents: forms, selections and products."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings, strategies as st

from harness.contract import latents as module
from harness.contract.latents import (
    Latents,
    common,
    counterparts,
    dots,
    largest,
    offsets_of,
    row_sums,
    shared,
    square_norms,
)


def dense_of(tokens=12, width=9, density=0.4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(tokens, width, generator=generator)
    z[torch.rand(tokens, width, generator=generator) > density] = 0
    if tokens:
        z[0] = 0
    return z


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20), st.integers(1, 20), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 99))
def test_dense_and_back(tokens, width, density, seed):
    z = dense_of(tokens, width, density, seed)
    found = Latents.from_dense(z)
    assert torch.equal(found.dense(), z)
    assert torch.equal(found.counts, (z != 0).sum(1))
    assert found.tokens == tokens
    assert torch.equal(found.token, z.nonzero()[:, 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 15), st.lists(st.integers(0, 14), max_size=20), st.integers(0, 99))
def test_take_is_row_selection(tokens, rows, seed):
    """In any order, with repetitions, and of none."""
    z = dense_of(tokens, seed=seed)
    index = torch.tensor([row % tokens for row in rows], dtype=torch.long)
    found = Latents.from_dense(z, scale=torch.arange(tokens)).take(index)
    assert torch.equal(found.dense(), z[index])
    assert torch.equal(found.context["scale"], index)


@contextmanager
def scratch_of(numbers):
    before = module._SCRATCH["cpu"]
    module._SCRATCH["cpu"] = numbers
    try:
        yield
    finally:
        module._SCRATCH["cpu"] = before


two_sides = given(
    st.integers(0, 20), st.integers(1, 30), st.integers(0, 99), st.sampled_from([1, 40, 2**22])
)
few = settings(max_examples=60, deadline=None)


@few
@two_sides
def test_dots_are_those_of_dense_rows(tokens, width, seed, scratch):
    one, other = dense_of(tokens, width, seed=seed), dense_of(tokens, width, 0.7, seed + 1)
    with scratch_of(scratch):
        found = dots(Latents.from_dense(one), shuffled(Latents.from_dense(other), seed))
    torch.testing.assert_close(found, (one.double() * other.double()).sum(1))


@few
@two_sides
def test_what_two_sides_share(tokens, width, seed, scratch):
    """Against dense matrices; the values of a token may stand in any order."""
    x, y = dense_of(tokens, width, seed=seed), dense_of(tokens, width, 0.7, seed + 1)
    one, other = shuffled(Latents.from_dense(x), seed), shuffled(Latents.from_dense(y), seed + 2)
    with scratch_of(scratch):
        assert torch.equal(counterparts(one, other), x[other.token, other.indices])
        assert torch.equal(shared(one, other), ((x != 0) & (y != 0)).sum(1))
        found = common(one, other)
    smaller = torch.minimum(x.abs(), y.abs()) * (x.sign() == y.sign())
    torch.testing.assert_close(found, smaller.double().sum(1))
    moved = row_sums(one, one.values.abs()) + row_sums(other, other.values.abs()) - 2 * found
    torch.testing.assert_close(moved, (x.double() - y.double()).abs().sum(1))
    torch.testing.assert_close(row_sums(one, one.values), x.double().sum(1))


@few
@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 99), st.sampled_from([1, 30, 2**22]))
def test_the_largest_latents_of_each_token(tokens, k, seed, scratch):
    z = dense_of(tokens, 9, 0.6, seed).round(decimals=1)  # so that some are equally large
    kept = torch.zeros_like(z)
    for row, out in zip(z, kept, strict=True):
        limit = row.abs().sort(descending=True).values[min(k, 9) - 1]
        out[row.abs() >= limit] = row[row.abs() >= limit]
    with scratch_of(scratch):
        found = largest(shuffled(Latents.from_dense(z, scale=torch.arange(tokens)), seed), k)
    assert torch.equal(found.dense(), kept)
    assert torch.equal(found.context["scale"], torch.arange(tokens))
    assert not (found.values == 0).any()


def test_the_largest_of_few_are_all_of_them():
    z = Latents.from_dense(dense_of())
    assert largest(z, int(z.counts.max())) is z
    with pytest.raises(ValueError, match="0 largest"):
        largest(z, 0)


def test_equal_latents_share_everything():
    z = Latents.from_dense(dense_of(200, 50))
    assert torch.equal(common(z, z), row_sums(z, z.values.abs()))
    assert torch.equal(shared(z, shuffled(z, 1)), z.counts)


def shuffled(latents, seed):
    """The same latents with the values of each token in another order."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(latents.indices), generator=generator)
    order = order[latents.token[order].argsort(stable=True)]
    parts = latents.indices[order], latents.values[order]
    return Latents(latents.offsets, *parts, latents.d_sae, latents.context)


def test_norms_are_dots_with_itself_exactly():
    z = Latents.from_dense(dense_of(200, 50))
    assert torch.equal(square_norms(z), dots(z, z))
    assert square_norms(z).dtype == torch.float64


@pytest.mark.parametrize("other", [dense_of(11, 9), dense_of(12, 8)])
@pytest.mark.parametrize("of", [dots, counterparts, shared, common])
def test_unlike_latents_are_refused(of, other):
    with pytest.raises(ValueError, match=r"latents of 1\d tokens x \d and of 1\d x \d"):
        of(Latents.from_dense(dense_of()), Latents.from_dense(other))


def test_offsets_of_counts():
    assert offsets_of(torch.tensor([2, 0, 3])).tolist() == [0, 2, 2, 5]
