"""What the laws are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from acme_harness.metric import LengthRatio
from acme_harness.options import LengthRatioOptions, PolarOptions
from acme_harness.sae import Polar
from harness.contract import Batch, Site, Target
from harness.testing import array_batch, check_metric, check_sae_format

SITE = Site("resid_post", 1)


def polar(folder: Path) -> Iterator[partial[None]]:
    """A small SAE."""
    weights = write(folder / "small.polar", 10, 30)
    options = PolarOptions(path=str(folder / "small.polar"))
    yield partial(check_sae_format, Polar, options, reference=partial(encoded, weights))


def encoded(w: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The formula once more, token by token."""
    z = np.zeros((len(x), len(w["b_enc"])))
    for token, u in enumerate(x - w["b_dec"]):
        length = np.sqrt((u**2).sum())
        z[token] = length * np.maximum(0, (u / length) @ w["W_enc"] + w["b_enc"])
    return z, z @ w["W_dec"] + w["b_dec"]


def write(file: Path, d_in: int, d_sae: int) -> dict[str, np.ndarray]:
    """Writes an SAE of random weights."""
    rng = np.random.default_rng(3)
    shapes = {"W_enc": (d_in, d_sae), "b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    weights = {n: rng.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    save_file(weights, file)
    return {name: array.astype(np.float64) for name, array in weights.items()}


def length_ratio(folder: Path) -> Iterator[partial[None]]:
    """Two documents."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(9, 4, generator=generator) for _ in range(2))
    batch = array_batch([0] * 4 + [1] * 5, {SITE: left}, {SITE: right}, selected=[0, 2, 3, 5, 8])
    metric = LengthRatio(LengthRatioOptions(), Target(SITE))
    yield partial(check_metric, metric, batch, reference=ratio, side="pair")


def ratio(batch: Batch) -> Sequence[float]:
    """The same number once more, in numpy."""
    assert batch.right is not None
    rows = batch.selected.numpy()
    left, right = (side.x(SITE).double().numpy()[rows] for side in (batch.left, batch.right))
    return [float(np.linalg.norm(right, axis=1).sum() / np.linalg.norm(left, axis=1).sum())]
