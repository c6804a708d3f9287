"""Ragged latents: forms, selections and products."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from harness import latents as module
from harness.latents import Latents, dots, offsets_of, square_norms


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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20), st.integers(1, 30), st.integers(0, 99), st.sampled_from([1, 40, 2**22]))
def test_dots_are_those_of_dense_rows(tokens, width, seed, scratch):
    one, other = dense_of(tokens, width, seed=seed), dense_of(tokens, width, 0.7, seed + 1)
    before, module._SCRATCH = module._SCRATCH, scratch
    try:
        found = dots(Latents.from_dense(one), shuffled(Latents.from_dense(other), seed))
    finally:
        module._SCRATCH = before
    torch.testing.assert_close(found, (one.double() * other.double()).sum(1))


def shuffled(latents, seed):
    """The same latents with the values of each token in another order."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(latents.indices), generator=generator)
    order = order[latents.token[order].argsort(stable=True)]
    return Latents(latents.offsets, latents.indices[order], latents.values[order], latents.d_sae)


def test_norms_are_dots_with_itself_exactly():
    z = Latents.from_dense(dense_of(200, 50))
    assert torch.equal(square_norms(z), dots(z, z))
    assert square_norms(z).dtype == torch.float64


@pytest.mark.parametrize("other", [dense_of(11, 9), dense_of(12, 8)])
def test_dots_of_unlike_latents_are_refused(other):
    with pytest.raises(ValueError, match="12 tokens x 9"):
        dots(Latents.from_dense(dense_of()), Latents.from_dense(other))


def test_offsets_of_counts():
    assert offsets_of(torch.tensor([2, 0, 3])).tolist() == [0, 2, 2, 5]
