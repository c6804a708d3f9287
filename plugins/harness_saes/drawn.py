"""Random tensors for the samples of SAE formats: small ones, the same at every call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Arrays = Mapping[str, np.ndarray]
Token = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""One activation to its latents and its reconstruction, in float64."""
D, N, K = 8, 32, 5
"""Width of the activations, number of latents, and how many are kept where a format keeps k."""


def drawn(seed: int, *shape: int, scale: float = 0.3, shift: float = 0.0) -> Tensor:
    """Gaussian numbers; those of a matrix as small as trained weights are."""
    size = shape[-1] ** -0.5 if len(shape) > 1 else scale
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator) * size + shift


def doubles(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors among some values, in float64."""
    return {key: t.double().numpy() for key, t in tensors.items() if isinstance(t, Tensor)}


def each(token: Token, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents and reconstructions of all tokens, one token after the other."""
    found = [token(one) for one in x]
    return np.stack([z for z, _ in found]), np.stack([out for _, out in found])


def largest(a: np.ndarray, k: int) -> np.ndarray:
    """The k largest numbers where they stand, and 0 for the others."""
    z = np.zeros_like(a)
    kept = np.argsort(-a, kind="stable")[:k]
    z[kept] = a[kept]
    return z


def write_json(file: Path, data: Mapping[str, Any]) -> Path:
    """Writes a configuration, with its folders, and returns it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data), encoding="utf-8")
    return file
