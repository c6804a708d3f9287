"""Sums of an SAE's latents over sets of prompts, by which features are chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from harness.contract import Batch, State
from harness_directions import states


@dataclass(frozen=True)
class LatentMeans:
    """Latents of one set of prompts, averaged over its tokens."""

    mean: Float[np.ndarray, " d_sae"]
    """E z_j over all tokens, zeros included."""
    active: Float[np.ndarray, " d_sae"]
    """Share of the tokens on which latent j is not zero, in [0, 1]."""
    tokens: int
    prompts: int


def update(state: State, batch: Batch, sae: str) -> State:
    """The state with the batch's latents added to the sums of its stream.

    Adds Σ z_j (float64 `[d_sae]`), how often z_j ≠ 0 (int64 `[d_sae]`), tokens and prompts.
    """
    if not len(batch.selected):
        return state
    latents = batch.left.latents(sae)
    indices = latents.indices.cpu().numpy()
    values = latents.values.detach().cpu().double().numpy()
    terms: states.Terms = {
        "sum": np.bincount(indices, weights=values, minlength=latents.d_sae),
        "active": np.bincount(indices, minlength=latents.d_sae),
        "tokens": len(batch.selected),
        "prompts": states.prompts(batch),
    }
    return states.plus(state, terms, f"{batch.stream}_")


def means(state: State, stream: str) -> LatentMeans | None:
    """The averages of one stream, or None where it had no token."""
    tokens = states.count(state, f"{stream}_tokens")
    if not tokens:
        return None
    return LatentMeans(
        mean=state[f"{stream}_sum"] / tokens,
        active=state[f"{stream}_active"] / tokens,
        tokens=tokens,
        prompts=states.count(state, f"{stream}_prompts"),
    )


def positive_latents(
    positive: LatentMeans, negative: LatentMeans
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " d_sae"]]:
    """The latents with d_j > 0, largest first and ties by index, and d = mean⁺ z − mean⁻ z.

    A difference within the rounding of its own sums is no difference: otherwise the split into
    batches could decide whether a latent that fires equally on both sides counts.
    """
    with np.errstate(invalid="ignore"):
        difference = positive.mean - negative.mean
    rounding = 1e-12 * np.maximum(np.abs(positive.mean), np.abs(negative.mean))
    eligible = np.flatnonzero(difference > rounding)
    order = np.argsort(-difference[eligible], kind="stable")
    return eligible[order], difference
