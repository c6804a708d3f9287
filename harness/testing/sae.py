"""Laws that every SAE keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Latents, Sae
from harness.testing.support.laws import drawing, holds, untried

Reference = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Float64 `[tokens, d_in]` to dense latents `[tokens, d_sae]` and x̂ `[tokens, d_out]`."""

_AGAIN = 3
"""How often something is done again that must come out the same."""
_ROUNDING = 3e-5
"""How far latents of a token may be apart in two batches: sums in another order, in float32."""


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

    Laws: facts (widths are known) · deterministic (asked again, the same to the bit) · latents
    (are well formed) · reference (latents and x̂ are those of the reference) · rows (x̂ is the sum
    of values times decoder rows, up to a bias and a factor for each token) · independence (of
    other tokens, unless `needs_sequence`) · no state (is kept between calls) · empty (no tokens
    give no tokens) · inputs (are not modified).
    """
    facts = sae.facts
    if facts.d_in is None or facts.d_sae is None:
        raise AssertionError(f"facts: a loaded SAE knows its widths, not {facts}")
    if x is None:
        generator = torch.Generator().manual_seed(drawing())
        x = torch.randn(33, facts.d_in, generator=generator)
    before = x.clone()
    latents = sae.encode(x)
    _check_form(latents, len(x), facts.d_sae, facts.signed)
    kept = [tensor.clone() for tensor in _tensors(latents)]
    reconstruction = sae.reconstruct(latents)
    same = map(torch.equal, [before, *kept], [x, *_tensors(latents)])
    holds(all(same), "inputs: encode or reconstruct modified what it was given")
    _check_deterministic(sae, x, latents, reconstruction)

    dense, out = _dense(latents), _numpy(reconstruction)
    expected, expected_out = reference(x.double().cpu().numpy())
    _compare("reference: latents", dense, expected, rtol)
    # A latent that is active at 1e-9 of the largest may be inactive in another precision.
    floor = rtol * max(np.abs(expected).max(initial=0), 1e-30)
    other = ((dense != 0) != (expected != 0)) & (np.abs(expected) > floor)
    holds(not other.any(), "reference: other latents are active than in the reference")
    _compare("reference: reconstruction", out, expected_out, rtol)

    _check_rows(sae, latents, out, rtol)
    if facts.needs_sequence:
        untried("it needs whole documents", "independence")
    else:
        _check_independence(sae, x, dense, out, min(rtol, _ROUNDING))
    sae.reconstruct(sae.encode(x.flip(0) * 2))
    again = _numpy(sae.reconstruct(latents))
    _compare("no state: reconstruction after other calls", again, out, 0.0)
    nothing = sae.encode(x[:0])
    _check_form(nothing, 0, facts.d_sae, facts.signed)
    empty = tuple(sae.reconstruct(nothing).shape) == (0, out.shape[1])
    holds(empty, "empty: no tokens must reconstruct to no tokens")


def _check_form(latents: Latents, tokens: int, d_sae: int, signed: bool) -> None:
    found = f"{latents.tokens} tokens of width {latents.d_sae}"
    fits = latents.tokens == tokens and latents.d_sae == d_sae
    holds(fits, f"latents: {found}, not {tokens} of {d_sae}")
    offsets, indices, values = latents.offsets, latents.indices, latents.values
    rise = offsets[0] == 0 and (offsets.diff() >= 0).all() and offsets[-1] == len(indices)
    holds(bool(rise), "latents: offsets do not rise from 0 to the number of values")
    holds(len(values) == len(indices), "latents: there are not as many values as indices")
    inside = ((indices >= 0) & (indices < d_sae)).all()
    holds(bool(inside), f"latents: indices leave 0 to {d_sae - 1}")
    once = len(torch.unique(latents.token * d_sae + indices)) == len(indices)
    holds(once, "latents: an index occurs twice in one token")
    zero, negative = bool((values == 0).any()), bool((values < 0).any())
    holds(not zero, "latents: a value is zero; inactive latents are left out")
    holds(signed or not negative, "latents: a value is negative, but facts.signed is false")
    for name, rows in latents.context.items():
        holds(len(rows) == tokens, f"latents: context {name} has not one row per token")


def _check_deterministic(sae: Sae, x: Tensor, latents: Latents, reconstruction: Tensor) -> None:
    """The same activations and the same latents give the same bits, and rows are rows."""
    indices = torch.arange(latents.d_sae, device=latents.indices.device)
    asked = indices.clone()
    rows = sae.rows(indices)
    holds(torch.equal(indices, asked), "inputs: rows modified the indices that it was given")
    for _ in range(_AGAIN):
        again = sae.encode(x)
        same = map(torch.equal, _tensors(latents), _tensors(again))
        holds(all(same), "deterministic: latents of the same activations differ")
        same_out = torch.equal(sae.reconstruct(latents), reconstruction)
        holds(same_out, "deterministic: reconstructions of the same latents differ")
        holds(torch.equal(sae.rows(indices), rows), "deterministic: rows of the decoder differ")


def _check_rows(sae: Sae, latents: Latents, out: np.ndarray, rtol: float) -> None:
    """x̂(z) − x̂(nothing) = Σ z_j · rows(j), times a positive number where tokens have a context."""
    none = replace(
        latents,
        offsets=torch.zeros_like(latents.offsets),
        indices=latents.indices[:0],
        values=latents.values[:0],
    )
    difference = out - _numpy(sae.reconstruct(none))
    rows = _numpy(sae.rows(latents.indices))
    fits = rows.shape == (len(latents.indices), difference.shape[1])
    holds(fits, f"rows: shape {rows.shape}, not one row per index")
    combined = np.zeros_like(difference)
    np.add.at(combined, _numpy(latents.token).astype(int), _numpy(latents.values)[:, None] * rows)
    if latents.context:
        length = np.square(combined).sum(1)
        scale = (difference * combined).sum(1) / np.where(length > 0, length, 1)
        opposed = bool((scale[length > 0] <= 0).any())
        holds(not opposed, "rows: a token's reconstruction is no positive multiple of them")
        combined *= scale[:, None]
    _compare("rows: sum of latents times rows", difference, combined, rtol, out)


def _check_independence(
    sae: Sae, x: Tensor, dense: np.ndarray, out: np.ndarray, rtol: float
) -> None:
    turned = _dense(sae.encode(x.flip(0)))
    _compare("independence: latents of tokens in another order", turned, dense[::-1], rtol)
    for token in range(0, len(x), max(1, len(x) // 5)):
        one = slice(token, token + 1)
        alone = sae.encode(x[one])
        _compare("independence: latents of a token alone", _dense(alone), dense[one], rtol)
        rebuilt = _numpy(sae.reconstruct(alone))
        _compare("independence: reconstruction of a token alone", rebuilt, out[one], rtol, out)


def _compare(
    what: str,
    found: np.ndarray,
    expected: np.ndarray,
    rtol: float,
    reach: np.ndarray | None = None,
) -> None:
    """Equal up to `rtol` of the largest number of `reach`, by default of the expected ones."""
    same = found.shape == expected.shape
    holds(same, f"{what} has shape {found.shape}, not {expected.shape}")
    holds(bool(np.isfinite(found).all()), f"{what} is not finite")
    most = np.abs(found - expected).max(initial=0)
    scale = np.abs(expected if reach is None else reach).max(initial=0)
    holds(most <= rtol * scale, f"{what} is off by {most:.3g}, of values up to {scale:.3g}")


def _dense(latents: Latents) -> np.ndarray:
    return _numpy(latents.dense())


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _tensors(latents: Latents) -> list[Tensor]:
    return [latents.offsets, latents.indices, latents.values, *latents.context.values()]
