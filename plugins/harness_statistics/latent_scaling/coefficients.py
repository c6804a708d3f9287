"""How much of each latent's row the activations, reconstructions and errors of both sides have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from harness.contract import Sae, State
from harness.contract.latents import Latents
from harness_statistics.latent_scaling.sums import SideOf, columns_of

ERROR, RECONSTRUCTION, ACTIVATION = "error", "reconstruction", "activation"
BARE = ("reconstruction_no_bias", "activation_no_bias")
"""The same without the decoder's bias, which is in every token."""
TARGETS = (ERROR, RECONSTRUCTION, ACTIVATION, *BARE)
LOWEST, HIGHEST = -0.1, 2.0
"""Ratios beyond these are noise, and dropped."""
_PIECE = 2**22
Vector = Float64[np.ndarray, " d_sae"]


@dataclass(frozen=True)
class Rows:
    """What the decoder has of each latent j, with d_j its row on the side that is asked about."""

    square: Vector
    """‖d_j‖²."""
    across: Vector
    """⟨d_j^other, d_j⟩; of an SAE of differences ‖d_j‖²."""
    bias: Mapping[str, Vector]
    """By side, ⟨b, d_j⟩ with b what is rebuilt of no latent; empty of an SAE of differences."""
    shift: Mapping[str, Vector]
    """By side, ⟨what is taken from its activations, d_j⟩; 0 where nothing is."""
    scale: Mapping[str, float]
    """By side, what its activations are multiplied with."""


def other(side: SideOf) -> SideOf:
    """The side across."""
    return "left" if side == "right" else "right"


def rows_of(sae: Sae, side: SideOf) -> Rows:
    """Products of all decoder rows, some latents at a time."""
    facts = sae.facts
    assert facts.d_sae is not None, "a loaded SAE knows its widths"
    own, across = (slice(*columns_of(facts)[one]) for one in (side, other(side)))
    apart = facts.join == "concatenated"
    bias = _of_none(sae) if apart else None
    sides = [str(one.side) for one in facts.inputs]
    given = dict(zip(sides, facts.shifts or ((),) * 2, strict=True)) if apart else {}
    shifts = {name: torch.tensor(values, dtype=torch.float64) for name, values in given.items()}
    step = max(1, _PIECE // max(1, own.stop - own.start))
    pieces: dict[str, list[np.ndarray]] = {}
    for start in range(0, facts.d_sae, step):
        indices = torch.arange(start, min(start + step, facts.d_sae))
        rows = sae.rows(indices).detach().cpu().double()
        d = rows[:, own]
        found = {"square": d.square().sum(1), "across": (rows[:, across] * d).sum(1)}
        for name, columns in ((side, own), (other(side), across)) if apart else ():
            assert bias is not None
            found[f"bias_{name}"] = d @ bias[columns]
            taken = shifts[name]
            found[f"shift_{name}"] = d @ taken if len(taken) else d.new_zeros(len(d))
        for name, values in found.items():
            pieces.setdefault(name, []).append(values.numpy())
    whole = {name: np.concatenate(each) for name, each in pieces.items()}
    scales = facts.scales or (1.0,) * len(sides)
    return Rows(
        whole["square"],
        whole["across"],
        {name: whole[f"bias_{name}"] for name in sides if apart},
        {name: whole[f"shift_{name}"] for name in sides if apart},
        dict(zip(sides, scales, strict=True)),
    )


def _of_none(sae: Sae) -> Float64[torch.Tensor, " d_in"]:
    """What is rebuilt where no latent is active: the decoder's bias."""
    one = sae.rows(torch.arange(1))
    none = torch.zeros(0, dtype=torch.long, device=one.device)
    assert sae.facts.d_sae is not None
    offsets = torch.zeros(2, dtype=torch.long, device=one.device)
    nothing = Latents(offsets, none, one.new_zeros(0), sae.facts.d_sae)
    return sae.reconstruct(nothing)[0].detach().cpu().double()


@dataclass(frozen=True)
class Coefficients:
    """β of both sides and ν, their ratio, of all latents, in one space."""

    own: Mapping[str, Vector]
    """By target, β of the side that is asked about."""
    other: Mapping[str, Vector]
    """β of the side across."""

    def ratio(self, target: str) -> Vector:
        """ν = β_other / β_own; NaN where there is none, or where it is out of range."""
        found = self.raw_ratio(target)
        with np.errstate(invalid="ignore"):
            return np.where((found >= LOWEST) & (found <= HIGHEST), found, np.nan)

    def raw_ratio(self, target: str) -> Vector:
        """The same, however large."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self.other[target] / self.own[target]
        return np.where(np.isfinite(found), found, np.nan)


def coefficients(
    state: State, rows: Rows, side: SideOf, space: str, kept: np.ndarray | None = None
) -> Coefficients:
    """The coefficients from the sums of the groups that `kept` marks, of all without it.

    Least squares of a target Y on all tokens: `β(Y) = Σ_t f_t ⟨Y_t, d⟩ / (Σ_t f_t² ‖d‖²)`. With m a
    side, d_m the latent's row there and d that of `side`:

    | target | Y | from sums |
    |---|---|---|
    | activation | x_m | itself |
    | reconstruction | x̂_m, bias and latent included | itself |
    | error | x_m − (x̂_m − f d_m) | `β(x_m) − β(x̂_m) + ⟨d_m, d⟩/‖d‖²` |
    | … without bias | Y − b_m | `β(Y) − Σf ⟨b_m, d⟩ / (Σf² ‖d‖²)` |

    `space` "raw" has the units of the activations. "normalised" has x̃_m = (x_m − mean_m)·g_m: each
    β is then multiplied by g_m/g_side, with the constant mean_m taken out of Y; the error has none.
    """
    chosen = slice(None) if kept is None else kept
    summed = {name: np.asarray(state[name][chosen].sum(0)) for name in _NAMES if name in state}
    with np.errstate(invalid="ignore", divide="ignore"):
        norm = summed["square"] * rows.square
        norm = np.where(norm > 0, norm, np.nan)
        per_constant = summed["sum"] / norm
        found: dict[SideOf, dict[str, Vector]] = {}
        for name in (side, other(side)):
            x = summed[name] / norm
            betas = {ACTIVATION: x}
            if f"{name}_hat" in summed:
                hat = summed[f"{name}_hat"] / norm
                own_row = (rows.square if name == side else rows.across) / rows.square
                bias = per_constant * rows.bias[name]
                betas[ERROR] = x - hat + own_row
                betas[RECONSTRUCTION] = hat
                betas |= dict(zip(BARE, (hat - bias, x - bias), strict=True))
            if space == "normalised":
                by = rows.scale[name] / rows.scale[side]
                taken = per_constant * rows.shift[name] if rows.shift else 0.0
                whole = (ACTIVATION, RECONSTRUCTION)
                betas = {k: by * (v - (taken if k in whole else 0.0)) for k, v in betas.items()}
            found[name] = betas
    return Coefficients(found[side], found[other(side)])


_NAMES = ("left", "right", "left_hat", "right_hat", "sum", "square", "active")
