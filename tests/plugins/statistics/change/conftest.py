"""Activations that a change is planted into."""

from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture
def left():
    """Activations of 600 tokens in 64 dimensions."""
    return torch.randn(600, 64, generator=torch.Generator().manual_seed(7)).double().float()


@pytest.fixture
def fresh():
    """A unit direction that no dictionary here knows."""
    direction = np.random.default_rng(11).standard_normal(64)
    return torch.from_numpy(direction / np.linalg.norm(direction)).float()
