"""Scatter matrices and their leading eigenvectors, exact and from a random sketch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy import linalg
from torch import Tensor

_PIECE = 2**22
"""Numbers that are made float64 at a time."""


@dataclass(frozen=True)
class Spectrum:
    """The largest eigenvalues of a scatter matrix, in falling order, with their eigenvectors."""

    values: Float64[np.ndarray, " k"]
    """λ_i = σ_i², never negative."""
    vectors: Float64[np.ndarray, "k d"]
    """Orthonormal rows."""


def scatter(x: Float[Tensor, "tokens d"]) -> Float64[np.ndarray, "d d"]:
    """XᵀX with float64 products and sums.

    Float32 products would be twice as fast, but their rounding, 6e-8 of the largest eigenvalue,
    is what is left of a component that is 1e-7 of it.
    """
    total = np.zeros((x.shape[1], x.shape[1]))
    for piece in _pieces(x):
        if piece.device.type == "cpu":
            rows = piece.numpy()
            total += rows.T @ rows  # numpy takes BLAS's syrk for this, half the work of a product
        else:
            total += (piece.T @ piece).cpu().numpy()
    return total


def sketched(x: Float[Tensor, "tokens d"], width: int) -> Float64[np.ndarray, "d width"]:
    """Xᵀ(XΩ) with the Gaussian Ω of `test_matrix`, in float64: memory d·width instead of d²."""
    omega = torch.from_numpy(test_matrix(x.shape[1], width).copy())
    total = np.zeros((x.shape[1], width))
    for piece in _pieces(x):
        total += (piece.T @ (piece @ omega.to(piece.device))).cpu().numpy()
    return total


@lru_cache(maxsize=2)
def test_matrix(d: int, width: int) -> Float64[np.ndarray, "d width"]:
    """Ω, standard normal, the same for every shard and run; read-only."""
    omega = np.random.default_rng([d, width]).standard_normal((d, width))
    omega.flags.writeable = False
    return omega


def leading(matrix: Float64[np.ndarray, "d d"], k: int) -> Spectrum:
    """The k largest eigenvalues of a symmetric matrix; k at most d."""
    d = len(matrix)
    values, vectors = linalg.eigh(matrix, subset_by_index=[d - k, d - 1], driver="evr")
    return Spectrum(values[::-1].clip(min=0), vectors.T[::-1].copy())


def leading_of_sketch(sketch: Float64[np.ndarray, "d width"], k: int) -> Spectrum:
    """The k largest eigenvalues of C from Y = CΩ, by the Nyström approximation Y (ΩᵀY)⁺ Yᵀ.

    Eigenvalues come out no larger than the exact ones; the error is about the tail of the spectrum
    beyond half the sketch's width. k at most that half.
    Source: Tropp, Yurtsever, Udell and Cevher 2017, "Fixed-rank approximation of a
    positive-semidefinite matrix from streaming data", algorithm 3 (with its shift ν).
    """
    d, width = sketch.shape
    if not sketch.any():
        return Spectrum(np.zeros(k), np.eye(k, d))
    omega = test_matrix(d, width)
    shift = np.sqrt(d) * np.finfo(np.float64).eps * np.linalg.norm(sketch)
    shifted = sketch + shift * omega
    core = omega.T @ shifted
    values, vectors = np.linalg.eigh((core + core.T) / 2)
    # The core has the rank of C: what lies below its own rounding has no inverse.
    kept = values > width * np.finfo(np.float64).eps * values[-1]
    root = shifted @ (vectors[:, kept] / np.sqrt(values[kept]))
    left, singular, _ = np.linalg.svd(root, full_matrices=False)
    found = min(k, len(singular))
    out = np.zeros(k)
    out[:found] = (singular[:found] ** 2 - shift).clip(min=0)
    basis = np.eye(k, d)
    basis[:found] = left.T[:found]
    return Spectrum(out, basis)


def oriented(
    vectors: Float64[np.ndarray, "k d"], total: Float64[np.ndarray, " d"]
) -> Float64[np.ndarray, "k d"]:
    """The same vectors, each turned so that `total`·v ≥ 0.

    Where that is 0 within rounding, so that its largest coordinate is positive: the sign must not
    hang on the order of a sum.
    """
    along = vectors @ total
    largest = vectors[np.arange(len(vectors)), np.abs(vectors).argmax(1)]
    rounding = 1e-12 * np.linalg.norm(total)
    sign = np.where(np.abs(along) > rounding, along, largest)
    return np.asarray(np.where(sign < 0, -1.0, 1.0)[:, None] * vectors)


def _pieces(x: Float[Tensor, "tokens d"]) -> Iterator[Float64[Tensor, "rows d"]]:
    for piece in x.split(max(1, _PIECE // max(1, x.shape[1]))):
        yield piece.double()
