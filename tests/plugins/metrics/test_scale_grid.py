"""Interpolation between scales, and quantiles of histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from harness_metrics import histogram
from harness_metrics.scale_grid import REACH, ScaleGrid


def ratio(u, angle, length):
    """1/‖c − ρ b‖² of two vectors with an angle between them: what is interpolated."""
    rho = np.exp(u)
    return 1 / (length**2 - 2 * rho * length * np.cos(angle) + rho**2)


@settings(max_examples=100, deadline=None)
@given(st.floats(-REACH, REACH), st.floats(0.4510268, math.pi), st.floats(0.5, 2.0))
def test_ratios_of_tokens_under_the_papers_cosine(u, angle, length):
    """A cosine under 0.9 keeps their poles away: a relative 1e-6 at 33 nodes."""
    grid = ScaleGrid.lobatto(32)
    found = grid.at(np.array([u]), ratio(grid.nodes, angle, length)[None])
    assert found[0] == pytest.approx(ratio(u, angle, length), rel=2e-6)


def test_nodes_are_those_of_the_coarser_grid():
    grid = ScaleGrid.lobatto(32)
    assert np.allclose(grid.every(4).nodes, ScaleGrid.lobatto(8).nodes, rtol=0, atol=1e-15)
    assert grid.nodes[16] == 0
    assert grid.nodes[[0, -1]] == pytest.approx([-REACH, REACH])
    assert grid.ratios[-1] == pytest.approx(2)
    assert (np.diff(grid.nodes) > 0).all()


def test_a_node_gives_what_was_kept_there():
    grid = ScaleGrid.lobatto(8)
    kept = np.random.default_rng(0).random((9, 9))
    assert grid.at(grid.nodes, kept).tolist() == kept.diagonal().tolist()
    # What is undefined elsewhere does not reach it.
    kept[4, 0] = math.nan
    assert grid.at(np.zeros(9), kept)[4] == kept[4, 4]


def test_beyond_the_grid_nothing_is_known():
    grid = ScaleGrid.lobatto(8)
    found = grid.at(np.array([0.7, -0.7, math.nan, 0.1]), np.ones((4, 9)))
    assert np.isnan(found).tolist() == [True, True, True, False]


def test_a_single_node_is_the_answer():
    grid = ScaleGrid.known(0.3)
    assert grid.at(np.array([5.0, math.nan]), np.array([[2.0], [3.0]])).tolist() == [2.0, 3.0]
    assert grid.every(4) == grid


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 20, exclude_max=True), min_size=1, max_size=50),
    st.floats(0.01, 0.99),
)
def test_quantiles_are_in_the_bin_of_the_exact_one(values, share):
    counts = np.bincount(np.floor(values).astype(int), minlength=20)[None].astype(float)
    exact = np.sort(values)[max(0, math.ceil(share * len(values) - 1e-9 * len(values)) - 1)]
    found = histogram.quantile(counts, share)[0]
    assert math.floor(exact) <= found <= math.floor(exact) + 1


def test_quantiles_of_nothing_and_of_draws():
    found = histogram.quantile(np.array([[0.0, 0, 0], [0, 4, 0], [2, 0, 2]]), 0.5)
    assert np.isnan(found[0])
    assert found[1:].tolist() == [1.5, 1.0]
