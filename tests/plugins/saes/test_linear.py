"""The core of the linear families: chunks, ties, selection, identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from harness.errors import ModelError
from harness_saes.core import linear, picks
from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae


def sae_of(architecture="topk", d_in=16, d_sae=200, k=9, seed=0, b_enc=0.0, **rest):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    tensors = {
        "W_enc": normal(d_in, d_sae) / 4,
        "W_dec": normal(d_sae, d_in),
        "b_dec": normal(d_in),
        "b_enc": normal(d_sae) / 4 + b_enc,
    }
    if architecture == "jumprelu":
        tensors["threshold"] = normal(d_sae).abs()
    config = Config(architecture, d_in, d_sae, k=k if "topk" in architecture else None)
    return LinearSae(config, tensors, **rest)


@pytest.mark.parametrize("architecture", ["standard", "topk", "abstopk", "jumprelu"])
@pytest.mark.parametrize("rows", [1, 3, 7, 50])
def test_chunk_size_changes_nothing(architecture, rows):
    x = torch.randn(50, 16)
    whole = sae_of(architecture)
    pieces = sae_of(architecture, chunk_bytes=rows * 200 * 4)
    one, other = whole.encode(x), pieces.encode(x)
    assert torch.equal(one.dense() != 0, other.dense() != 0)
    torch.testing.assert_close(one.dense(), other.dense())
    torch.testing.assert_close(whole.reconstruct(one), pieces.reconstruct(other))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
def test_the_dense_matrix_never_exists(architecture, monkeypatch):
    """No more than 256 MB of pre-activations at a time, however many tokens there are."""
    seen = []
    for name in ("above", "top"):
        real = getattr(picks, name)
        monkeypatch.setattr(
            linear, name, lambda a, limit, real=real: (seen.append(a.nbytes), real(a, limit))[1]
        )
    sae = sae_of(architecture, d_in=4, d_sae=40_000, b_enc=-3.0)  # few latents are active
    x = torch.randn(2000, 4)
    assert sae.encode(x).tokens == 2000
    assert max(seen) <= 4 * linear.CHUNK_BYTES == 2**28
    assert sum(seen) == 2000 * 40_000 * 4


@pytest.mark.parametrize(
    ("d_sae", "rows"), [(50, 2000), (100, 1024), (1000, 400), (20_000, 20), (10**6, 1)]
)
def test_wide_saes_have_rows_enough_for_a_fast_product(d_sae, rows, monkeypatch):
    """1,024 tokens at a time where that is at most four chunks, here of 400 kB."""
    seen = []
    monkeypatch.setattr(linear, "top", lambda a, k: (seen.append(len(a)), picks.top(a, k))[1])
    sae = sae_of(d_in=2, d_sae=d_sae, k=1, chunk_bytes=400_000)
    sae.encode(torch.randn(rows + 1, 2))
    assert seen == [rows, 1]


def test_a_chunk_is_at_least_one_row():
    assert sae_of(chunk_bytes=1).encode(torch.randn(4, 16)).tokens == 4


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 300),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 3]),
)
def test_top_equals_sorting(rows, width, k, seed, levels):
    """Both forms keep the k largest positive values; few levels make many ties."""
    k = min(k, width)
    generator = np.random.default_rng(seed)
    a = generator.normal(size=(rows, width)).astype(np.float32)
    if levels:
        a = np.round(a * levels) / levels
    expected = [sorted((v for v in row if v > 0), reverse=True)[:k] for row in a]
    for positions in (picks._top_numpy(a, k), picks._top_torch(torch.from_numpy(a), k).numpy()):
        assert (np.diff(positions) > 0).all()
        rows_of = positions // width
        found = [sorted(a.reshape(-1)[positions[rows_of == r]], reverse=True) for r in range(rows)]
        assert found == expected


@pytest.mark.parametrize("numbers", [1, 100, 250, 1000])
def test_blocks_of_rows_change_nothing(numbers, monkeypatch):
    """Blocks are found on several threads; positions come out as from the whole."""
    a = torch.randn(11, 50)
    limit = torch.randn(50)
    expected = picks.above(a, limit), picks.top(a, 5)
    monkeypatch.setattr(picks, "_BLOCK", numbers)
    assert torch.equal(picks.above(a, limit), expected[0])
    assert torch.equal(picks.top(a, 5), expected[1])
    assert torch.equal(expected[0], (a > limit).flatten().nonzero().squeeze(1))


def test_zeros_are_not_active():
    """TopK keeps the k largest, then ReLU: zero and negative ones among them are not active."""
    a = torch.tensor([[0.0, -1.0, 2.0, 0.0], [-1.0, -2.0, -3.0, -4.0]])
    assert picks.top(a, 3).tolist() == [2]


def test_above_is_strict():
    a = torch.tensor([[1.0, 1.0, 1.0]])
    assert picks.above(a, torch.tensor([1.0, 0.999, 1.001])).tolist() == [1]


def test_wrong_width_is_one_sentence():
    with pytest.raises(ModelError, match=r"\[2, 15\]. Expected \[tokens, 16\]"):
        sae_of().encode(torch.randn(2, 15))


def test_fingerprint_follows_the_numbers():
    same, other = sae_of().fingerprint, sae_of(seed=1).fingerprint
    assert sae_of().fingerprint == same != other
    assert sae_of(k=8).fingerprint != same
    assert sae_of(dtype=torch.float64).fingerprint != same


def test_decoder_norm_folds_like_its_definition():
    """Selection by ‖W_dec‖·a, and a zero row is never active."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "W_enc": torch.randn(8, 12, generator=generator),
        "W_dec": torch.randn(12, 8, generator=generator) * 5,
        "b_dec": torch.zeros(8),
        "b_enc": torch.ones(12),
    }
    tensors["W_dec"][3] = 0
    sae = LinearSae(Config("topk", 8, 12, k=12, rescale_by_decoder_norm=True), tensors)
    x = torch.randn(20, 8, generator=generator)
    dense = sae.encode(x).dense()
    expected = (x @ tensors["W_enc"] + 1).relu() * tensors["W_dec"].norm(dim=1)
    torch.testing.assert_close(dense, expected)
    assert not dense[:, 3].any()
    norms = sae.rows(torch.arange(12)).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(12).index_fill(0, torch.tensor([3]), 0))
