"""`check_sae` finds what it promises to find: one broken SAE for each law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import SaeFacts
from harness.contract.latents import Latents
from harness.testing import check_sae

W = torch.randn(5, 14, generator=torch.Generator().manual_seed(0))


class Right:
    """ReLU(x W), and the transposed weights out."""

    facts = SaeFacts("right", 5, 14)
    fingerprint = "right"
    notes: tuple[str, ...] = ()

    def encode(self, x):
        return Latents.from_dense((x @ W).relu())

    def reconstruct(self, latents):
        return latents.dense() @ W.T

    def rows(self, indices):
        return W.T[indices]


def reference(x):
    z = np.maximum(x @ W.double().numpy(), 0)
    return z, z @ W.double().numpy().T


def test_a_right_one_passes():
    check_sae(Right(), reference)
    check_sae(Right(), reference, torch.randn(4, 5))


class NoWidths(Right):
    facts = SaeFacts("right")


class WritesInput(Right):
    def encode(self, x):
        found = super().encode(x)
        x += 1
        return found


class WritesLatents(Right):
    def reconstruct(self, latents):
        found = super().reconstruct(latents)
        latents.values.mul_(2)
        return found


class WrongNumbers(Right):
    def encode(self, x):
        found = super().encode(x)
        return replace(found, values=found.values * 1.001)


class WrongReconstruction(Right):
    def reconstruct(self, latents):
        return super().reconstruct(latents) + 0.01


class WrongRows(Right):
    def rows(self, indices):
        return W.T[indices] * 2


class RowsOfOtherShape(Right):
    def rows(self, indices):
        return W.T[indices].T


class LooksAtNeighbours(Right):
    def encode(self, x):
        return super().encode(x - x.mean(0) * 1e-3)


class KeepsState(Right):
    def encode(self, x):
        self.scale = x.norm()
        return super().encode(x)

    def reconstruct(self, latents):
        return super().reconstruct(latents) * (1 + self.scale * 1e-7)


class KeepsZeros(Right):
    def encode(self, x):
        z = (x @ W).relu()
        index = torch.arange(14).repeat(len(z))
        return Latents(torch.arange(0, z.numel() + 1, 14), index, z.flatten(), 14)


class Negative(Right):
    def encode(self, x):
        return Latents.from_dense(x @ W)


class Twice(Right):
    def encode(self, x):
        found = super().encode(x)
        return replace(found, indices=found.indices * 0)


class NoEmpty(Right):
    def reconstruct(self, latents):
        found = super().reconstruct(latents)
        return found if len(found) else found.new_zeros(1, 5)


@pytest.mark.parametrize(
    ("sae", "law"),
    [
        (NoWidths, "facts: "),
        (WritesInput, "inputs: "),
        (WritesLatents, "inputs: "),
        (WrongNumbers, "reference: latents is off by"),
        (WrongReconstruction, "reference: reconstruction is off by"),
        (WrongRows, "rows: "),
        (RowsOfOtherShape, "rows: shape"),
        (LooksAtNeighbours, "reference: |independence: "),
        (KeepsState, "no state: "),
        (KeepsZeros, "latents: a value is zero"),
        (Negative, "latents: a value is negative"),
        (Twice, "latents: an index occurs twice"),
        (NoEmpty, "empty: "),
    ],
)
def test_a_broken_one_is_named(sae, law):
    with pytest.raises(AssertionError, match=f"^({law})"):
        check_sae(sae(), reference)


def test_dependence_on_neighbours_is_found_even_where_the_reference_shares_it():
    def shared(x):
        return reference(x - x.mean(0) * 1e-3)

    with pytest.raises(AssertionError, match=r"^independence: latents of a token alone"):
        check_sae(LooksAtNeighbours(), shared)
