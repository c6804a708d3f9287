"""First and second moments of activations: sums that add up over any split of the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harness.contract import Batch, Site, State
from harness_directions import scatter, states

ROUNDING = 1e-12
"""Relative size below which a float64 difference of sums is rounding and counts as zero."""


@dataclass(frozen=True)
class Moments:
    """The moments of one set of text, over its tokens."""

    tokens: int
    prompts: int
    mean: Float64[np.ndarray, " d"]
    second: Float64[np.ndarray, "d d"] | None
    """E x xᵀ, not centred, where it was kept."""

    @property
    def covariance(self) -> Float64[np.ndarray, "d d"]:
        """E (x − mean)(x − mean)ᵀ."""
        assert self.second is not None
        return np.asarray(self.second - np.outer(self.mean, self.mean))

    @property
    def floor(self) -> float:
        """Below it an eigenvalue of the covariance is rounding of the sums."""
        assert self.second is not None
        return float(np.finfo(np.float64).eps * len(self.mean) * np.trace(self.second))


def chosen(batch: Batch, site: Site) -> Float[Tensor, "selected d"]:
    """The activations of the batch's selected tokens, where float64 can be computed."""
    whole = batch.left.x(site)
    x = whole.index_select(0, batch.selected.to(whole.device)).detach()
    return x.cpu() if x.device.type == "mps" else x  # MPS knows no float64


def update(state: State, batch: Batch, site: Site, *, second: bool) -> State:
    """The state with the batch's tokens added to the sums of its stream; Σ x xᵀ where `second`."""
    if not len(batch.selected):
        return state
    x = chosen(batch, site)
    terms: dict[str, np.ndarray | int] = {
        "sum": x.sum(0, dtype=torch.float64).cpu().numpy(),
        "tokens": len(x),
        "prompts": states.prompts(batch),
    }
    if second:
        terms["scatter"] = scatter.scatter(x)
    return states.plus(state, terms, f"{batch.stream}_")


def of(state: State, stream: str) -> Moments | None:
    """The moments of one stream; None where it had no token."""
    tokens = states.count(state, f"{stream}_tokens")
    if not tokens:
        return None
    total = state.get(f"{stream}_scatter")
    return Moments(
        tokens,
        states.count(state, f"{stream}_prompts"),
        state[f"{stream}_sum"] / tokens,
        None if total is None else total / tokens,
    )


def together(sets: Sequence[Moments]) -> Moments:
    """The moments of the tokens of several sets."""
    tokens = sum(one.tokens for one in sets)
    mean = sum(one.tokens / tokens * one.mean for one in sets)
    known = [one.tokens / tokens * one.second for one in sets if one.second is not None]
    second = sum(known) if len(known) == len(sets) else None
    prompts = sum(one.prompts for one in sets)
    return Moments(tokens, prompts, np.asarray(mean), None if second is None else np.array(second))


def apart(positive: Moments | None, negative: Moments | None, site: Site) -> str | None:
    """Why two sets have no difference to point along; None where they have one."""
    if positive is None or negative is None:
        which = "positive" if positive is None else "negative"
        return f"no text of the {which} data has a token to measure"
    if not all(np.isfinite(one.mean).all() for one in (positive, negative)):
        return f"the activations at {site} are not finite"
    sizes = [float(np.linalg.norm(one.mean)) for one in (positive, negative)]
    if np.linalg.norm(positive.mean - negative.mean) <= ROUNDING * max(sizes):
        return f"both sets of text have the same mean at {site}"
    return None
