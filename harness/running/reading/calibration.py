"""Chooses the scale of an SAE whose files leave it open, by what its own model has at its sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Calibrated, Model, Sae, Site, Stream, Tokens
from harness.running.reading.rows import measured, one_row
from harness.running.reading.sides import Forward

TOKENS = 8192
"""Tokens from which a scale is chosen, at most."""


@dataclass(frozen=True)
class _Sample:
    """Activations where an SAE reads, and where it writes if that is elsewhere."""

    x: Float[Tensor, "tokens d_in"]
    target: Float[Tensor, "tokens d_out"] | None


def calibrated(
    sae: Calibrated, model: Model, tokens: Sequence[Tokens], site: Site, out: Site | None, size: int
) -> Sae:
    """The SAE in the scale that explains its model's activations best.

    The model reads the prompts `tokens`, `size` at a time, up to `site`, where the SAE reads, and
    `out`, where it writes if that is elsewhere. An SAE that needs whole sequences is given every
    token of the longest prompt.
    """
    assert isinstance(sae, Sae)
    whole = sae.facts.needs_sequence
    if whole:
        tokens = [max(tokens, key=lambda prompt: len(prompt.ids))]
    found = [
        _read(model, tokens[i : i + size], site, out, whole) for i in range(0, len(tokens), size)
    ]
    x = torch.cat([one.x for one in found])[:TOKENS]
    targets = [one.target for one in found if one.target is not None]
    return sae.calibrated(x, torch.cat(targets)[:TOKENS] if targets else None)


def _read(
    model: Model, tokens: Sequence[Tokens], site: Site, out: Site | None, whole: bool
) -> _Sample:
    """One forward over some prompts, without special tokens unless the sequence is kept whole."""
    rows = [one_row(prompt) for prompt in tokens]
    sites = [site] if out is None else [site, out]
    forward = Forward(model.activations([row.tokens for row in rows], sites), rows)
    masked = frozenset[int]() if whole else model.masked_ids
    kept = measured(rows, Stream("text", "", ""), masked)
    values = [forward.at(kept, one).float() for one in sites]
    return _Sample(values[0], values[1] if out is not None else None)
