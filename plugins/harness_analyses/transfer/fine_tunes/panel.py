"""Numbers of fine-tunes × domains and their correlation, within fine-tunes or domains: pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Within = Literal["nothing", "fine-tune", "domain"]
"""Whose means are taken off first: none's but that of all samples, each fine-tune's, each domain's.
Within fine-tunes a correlation says which domains a fine-tune changes most; within domains, which
fine-tune changes a domain most."""
WITHIN: tuple[Within, ...] = ("fine-tune", "nothing", "domain")
Values = Float[np.ndarray, "*draws tunes domains"]
Used = Bool[np.ndarray, "*draws tunes domains"]
FEWEST_TUNES = 2
"""With one fine-tune the domains are all there is: `transfer_correlation` is for that."""
FEWEST_SAMPLES = 4


def centred(values: Values, used: Used, within: Within) -> Values:
    """The used values less the mean of their group, and 0 where a sample is not used."""
    axis = {"nothing": (-2, -1), "fine-tune": (-1,), "domain": (-2,)}[within]
    kept = np.where(used, values, 0.0)
    count = np.maximum(used.sum(axis, keepdims=True), 1)
    out: np.ndarray = np.where(used, kept - kept.sum(axis, keepdims=True) / count, 0.0)
    return out


def pearson(x: Values, y: Values, used: Used, within: Within) -> Float[np.ndarray, " *draws"]:
    """Pearson's r of the used samples after `centred`, in [−1, 1]; NaN where one does not vary.

    r = Σ x̃ỹ / √(Σ x̃² Σ ỹ²). What varies only as rounding does (1e-12 of the largest value) does not
    vary. All three may have axes of draws in front.
    """
    parts = [centred(values, used, within) for values in (x, y)]
    squares = [np.square(part).sum((-2, -1)) for part in parts]
    still = np.zeros(np.broadcast_shapes(*(square.shape for square in squares)), bool)
    for values, square in zip((x, y), squares, strict=True):
        largest = np.abs(np.where(used, values, 0.0)).max((-2, -1))
        still |= np.sqrt(square) <= 1e-12 * largest * np.sqrt(used.sum((-2, -1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (parts[0] * parts[1]).sum((-2, -1)) / np.sqrt(squares[0] * squares[1])
    out: np.ndarray = np.where(still, np.nan, np.clip(r, -1, 1))
    return out


def why_undefined(x: Values, y: Values, used: Used, within: Within) -> str | None:
    """Why one panel has no correlation, in words; None where it has one."""
    tunes = int(used.any(1).sum())
    if tunes < FEWEST_TUNES:
        return (
            f"{tunes} fine-tune{'s' * (tunes != 1)}; a forecast over fine-tunes needs "
            f"{FEWEST_TUNES} (transfer_correlation is for one)"
        )
    if used.sum() < FEWEST_SAMPLES:
        return f"{used.sum()} samples; a correlation over fine-tunes needs {FEWEST_SAMPLES}"
    where = {"nothing": "all samples", "fine-tune": "every fine-tune", "domain": "every domain"}
    for name, values in (("forecast", x), ("measured change", y)):
        if np.isnan(pearson(values, values, used, within)):
            return f"the {name} does not vary within {where[within]}"
    return None


def shared(values: Values, used: Used) -> float:
    """How much of what varies within fine-tunes is the same in all of them: a share in [0, 1].

    With ũ the values less their fine-tune's mean: the mean of ũ_gd ũ_hd over pairs g ≠ h of the
    same domain, over the mean of ũ_gd² (an intra-class correlation; clipped to [0, 1]). 1 where the
    domains alone decide, 0 where every fine-tune has its own. NaN where nothing varies.
    """
    u = centred(values, used, "fine-tune")
    count = used.sum(-2)
    total, square = u.sum(-2), np.square(u).sum(-2)
    pairs = float((count * (count - 1)).sum())
    if not pairs or not square.sum() > 0:
        return float("nan")
    between = float((total**2 - square).sum()) / pairs
    return float(np.clip(between * count.sum() / square.sum(), 0, 1))
