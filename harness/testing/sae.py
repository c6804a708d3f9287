"""Laws that every SAE keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Latents, Sae

Reference = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Float64 `[tokens, d_in]` to dense latents `[tokens, d_sae]` and x̂ `[tokens, d_out]`."""


def check_sae(
    sae: Sae,
    reference: Reference,
    x: Float[Tensor, "tokens d_in"] | None = None,
    *,
    rtol: float = 1e-5,
) -> None:
    """Raises AssertionError, which begins with the law, where an SAE breaks one.

    `reference` is the SAE written down once more, in numpy and float64, from its source's formula:
    a wrong bias cannot be seen without one. `x` are activations to try it on, by default 33
    Gaussian ones. Numbers that must agree may differ by `rtol`, relative to the largest one that
    is compared: float32 is no more exact for a sum that cancels.

    Laws: facts (widths are known) · latents (are well formed) · reference (latents and x̂ are those
    of the reference) · rows (x̂ is the sum of values times decoder rows, up to a bias and a factor
    for each token) · independence (of other tokens, unless `needs_sequence`) · no state (is kept
    between calls) · empty (no tokens give no tokens) · inputs (are not modified).
    """
    facts = sae.facts
    if facts.d_in is None or facts.d_sae is None:
        raise AssertionError(f"facts: a loaded SAE knows its widths, not {facts}")
    if x is None:
        x = torch.randn(33, facts.d_in, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    latents = sae.encode(x)
    _check_form(latents, len(x), facts.d_sae, facts.signed)
    kept = _copied(latents)
    reconstruction = sae.reconstruct(latents)
    if not torch.equal(x, before) or not _equal(latents, kept):
        raise AssertionError("inputs: encode or reconstruct modified what it was given")

    expected, expected_out = reference(x.double().cpu().numpy())
    _compare("reference", "latents", _dense(latents), expected, rtol)
    # A latent that is active at 1e-9 of the largest may be inactive in another precision.
    floor = rtol * max(np.abs(expected).max(initial=0), 1e-30)
    support = (_dense(latents) != 0) != (expected != 0)
    if (support & (np.abs(expected) > floor)).any():
        raise AssertionError("reference: other latents are active than in the reference")
    _compare("reference", "reconstruction", _numpy(reconstruction), expected_out, rtol)

    _check_rows(sae, latents, reconstruction, rtol)
    if not facts.needs_sequence:
        _check_independence(sae, x, latents, reconstruction, rtol)
    sae.reconstruct(sae.encode(x.flip(0) * 2))
    again = sae.reconstruct(latents)
    _compare(
        "no state", "reconstruction after other calls", _numpy(again), _numpy(reconstruction), 0.0
    )
    nothing = sae.encode(x[:0])
    _check_form(nothing, 0, facts.d_sae, facts.signed)
    if tuple(sae.reconstruct(nothing).shape) != (0, reconstruction.shape[1]):
        raise AssertionError("empty: no tokens must reconstruct to no tokens")


def _check_form(latents: Latents, tokens: int, d_sae: int, signed: bool) -> None:
    if latents.tokens != tokens or latents.d_sae != d_sae:
        raise AssertionError(
            f"latents: {latents.tokens} tokens of width {latents.d_sae}, not {tokens} of {d_sae}"
        )
    offsets = latents.offsets
    if offsets[0] != 0 or (offsets.diff() < 0).any() or offsets[-1] != len(latents.indices):
        raise AssertionError("latents: offsets do not rise from 0 to the number of values")
    if len(latents.values) != len(latents.indices):
        raise AssertionError("latents: there are not as many values as indices")
    if len(latents.indices) and not (0 <= latents.indices.min() <= latents.indices.max() < d_sae):
        raise AssertionError(f"latents: indices leave 0 to {d_sae - 1}")
    if len(torch.unique(latents.token * d_sae + latents.indices)) != len(latents.indices):
        raise AssertionError("latents: an index occurs twice in one token")
    if (latents.values == 0).any():
        raise AssertionError("latents: a value is zero; inactive latents are left out")
    if not signed and (latents.values < 0).any():
        raise AssertionError("latents: a value is negative, but facts.signed is false")
    for name, values in latents.context.items():
        if len(values) != tokens:
            raise AssertionError(f"latents: context {name} has not one row per token")


def _check_rows(sae: Sae, latents: Latents, reconstruction: Tensor, rtol: float) -> None:
    """x̂(z) − x̂(nothing) = Σ z_j · rows(j), times a positive number where tokens have a context."""
    none = replace(
        latents,
        offsets=torch.zeros_like(latents.offsets),
        indices=latents.indices[:0],
        values=latents.values[:0],
    )
    difference = _numpy(reconstruction) - _numpy(sae.reconstruct(none))
    rows = _numpy(sae.rows(latents.indices))
    if rows.shape != (len(latents.indices), difference.shape[1]):
        raise AssertionError(f"rows: shape {rows.shape}, not one row per index")
    combined = np.zeros_like(difference)
    np.add.at(combined, _numpy(latents.token).astype(int), _numpy(latents.values)[:, None] * rows)
    if latents.context:
        length = np.square(combined).sum(1)
        scale = (difference * combined).sum(1) / np.where(length > 0, length, 1)
        if (scale[length > 0] <= 0).any():
            raise AssertionError("rows: a token's reconstruction is no positive multiple of them")
        combined *= scale[:, None]
    reach = np.abs(_numpy(reconstruction)).max(initial=0)
    _compare("rows", "sum of latents times rows", difference, combined, rtol, reach)


def _check_independence(
    sae: Sae, x: Tensor, latents: Latents, reconstruction: Tensor, rtol: float
) -> None:
    order = torch.arange(len(x) - 1, -1, -1, device=x.device)
    turned = sae.encode(x[order])
    _compare(
        "independence",
        "latents of tokens in another order",
        _dense(turned),
        _dense(latents)[::-1],
        rtol,
    )
    for token in range(0, len(x), max(1, len(x) // 5)):
        alone = sae.encode(x[token : token + 1])
        _compare(
            "independence",
            "latents of a token alone",
            _dense(alone),
            _dense(latents)[token : token + 1],
            rtol,
        )
        _compare(
            "independence",
            "reconstruction of a token alone",
            _numpy(sae.reconstruct(alone)),
            _numpy(reconstruction)[token : token + 1],
            rtol,
            np.abs(_numpy(reconstruction)).max(initial=0),
        )


def _compare(
    law: str,
    what: str,
    found: np.ndarray,
    expected: np.ndarray,
    rtol: float,
    reach: float | None = None,
) -> None:
    """Equal up to `rtol` of `reach`, by default the largest expected number."""
    if found.shape != expected.shape:
        raise AssertionError(f"{law}: {what} has shape {found.shape}, not {expected.shape}")
    if not np.isfinite(found).all():
        raise AssertionError(f"{law}: {what} is not finite")
    most = np.abs(found - expected).max(initial=0)
    scale = np.abs(expected).max(initial=0) if reach is None else reach
    if most > rtol * scale:
        raise AssertionError(f"{law}: {what} is off by {most:.3g}, of values up to {scale:.3g}")


def _dense(latents: Latents) -> np.ndarray:
    return _numpy(latents.dense())


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _copied(latents: Latents) -> Latents:
    return replace(
        latents,
        offsets=latents.offsets.clone(),
        indices=latents.indices.clone(),
        values=latents.values.clone(),
        context={name: values.clone() for name, values in latents.context.items()},
    )


def _equal(one: Latents, other: Latents) -> bool:
    return (
        torch.equal(one.offsets, other.offsets)
        and torch.equal(one.indices, other.indices)
        and torch.equal(one.values, other.values)
        and all(torch.equal(values, other.context[name]) for name, values in one.context.items())
    )
