"""Chooses the scale of an SAE whose files leave it open, by what its own model has at its sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Calibrated, Model, Sae, SaeFacts, Site, Stream, Tokens
from harness.running.reading.joined import SideOf, joined
from harness.running.reading.rows import measured, one_row
from harness.running.reading.sides import Forward

TOKENS = 8192
"""Tokens from which a scale is chosen, at most."""


def calibrated(
    sae: Calibrated, model: Model, tokens: Sequence[Tokens], site: Site, out: Site | None, size: int
) -> Sae:
    """The SAE in the scale that explains its model's activations best.

    The model reads the prompts `tokens`, `size` at a time, up to `site`, where the SAE reads, and
    `out`, where it writes if that is elsewhere. An SAE that needs whole sequences is given every
    token of the longest prompt.
    """
    whole = _facts(sae).needs_sequence
    if whole:
        tokens = [max(tokens, key=lambda prompt: len(prompt.ids))]
    sites = [site] if out is None else [site, out]
    found = [_read(model, tokens[i : i + size], sites, whole) for i in range(0, len(tokens), size)]
    x, *target = (torch.cat(values)[:TOKENS] for values in zip(*found, strict=True))
    return sae.calibrated(x, target[0] if target else None)


def calibrated_on_pair(
    sae: Calibrated, models: Sequence[Model], tokens: Sequence[Tokens], site: Site, size: int
) -> Sae:
    """The same of an SAE of a pair: both models, left and right, read the same prompts."""
    batches = [tokens[i : i + size] for i in range(0, len(tokens), size)]
    masked = frozenset[int]().union(*(model.masked_ids for model in models))
    sides = [
        torch.cat([_at(model, some, [site], masked)[0] for some in batches]) for model in models
    ]
    parts: dict[SideOf | None, Tensor] = {"left": sides[0][:TOKENS], "right": sides[1][:TOKENS]}
    return sae.calibrated(joined(_facts(sae), parts))


def _facts(sae: Calibrated) -> SaeFacts:
    """What is known of it. `isinstance` would read all that an `Sae` has, up to the fingerprint of
    an SAE that nobody uses, for which all weights are hashed."""
    return cast(Sae, sae).facts


def _read(
    model: Model, tokens: Sequence[Tokens], sites: Sequence[Site], whole: bool
) -> list[Float[Tensor, "tokens d"]]:
    """The activations at each site, of no special token unless the sequence is kept whole."""
    return _at(model, tokens, sites, frozenset[int]() if whole else model.masked_ids)


def _at(
    model: Model, tokens: Sequence[Tokens], sites: Sequence[Site], masked: frozenset[int]
) -> list[Float[Tensor, "tokens d"]]:
    """The activations at each site, of the tokens that are not masked."""
    rows = [one_row(prompt) for prompt in tokens]
    forward = Forward(model.activations([row.tokens for row in rows], sites), rows)
    kept = measured(rows, Stream("text", "", ""), masked)
    return [forward.at(kept, site).float() for site in sites]
