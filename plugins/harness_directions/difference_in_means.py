"""The difference in means between two sets of prompts."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from harness.contract import (
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    Record,
    Site,
    State,
    Undefined,
)
from harness.contract.sites import parse_site
from harness_directions import states
from harness_directions.options import DifferenceInMeansOptions
from harness_directions.places import located
from harness_directions.states import Sums

ROUNDING = 1e-12
"""Relative size below which a float64 difference of sums is rounding and counts as zero."""

_CLASSES = ("positive", "negative")


class DifferenceInMeans(Sums[DifferenceInMeansOptions]):
    """Finds r = mean⁺ x − mean⁻ x, raw: its length is part of the result.

    mean⁺ and mean⁻ are over the tokens of each set of prompts (with `tokens = "last"` one a
    prompt), x: Float[Tensor, "tokens d_site"], sums in float64; r: Float64 `[1, d_site]`. mean⁻ is
    the direction's origin.
    Record: `direction.norm@1`, ‖r‖ in the units of the activation, in [0, ∞).
    Undefined: without prompts in either set, where the means are equal, and where they are not
    finite. Raises ModelError for a fraction of depth in a model of unknown depth.
    Source: Arditi et al. 2024, section 2.3; Feature Drift, equations 7 to 9.
    """

    def __init__(self, given: DifferenceInMeansOptions) -> None:
        super().__init__(given)
        self.site = parse_site(given.site)

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's activations to the sum of their class."""
        if not len(batch.selected):
            return state
        whole = batch.left.x(self.site)
        x = whole.index_select(0, batch.selected.to(whole.device))
        x = x.detach().cpu() if x.device.type == "mps" else x.detach()  # MPS knows no float64
        total = x.sum(0, dtype=torch.float64).cpu().numpy()
        terms: states.Terms = {"sum": total, "tokens": len(x), "prompts": states.prompts(batch)}
        return states.plus(state, terms, f"{batch.stream}_")

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The direction, its length, and a table of the two classes."""
        site = located(self.site, inputs.facts.get(self.options.view))
        found, norm = self._direction(state, site)
        record = Record(
            id="direction.norm@1",
            value=norm,
            n=sum(states.count(state, f"{name}_prompts") for name in _CLASSES),
            n_of="prompts",
            unit="activation",
            options={"tokens": self.options.tokens},
            ci_why="the length of one vector; no interval is computed for it",
            undefined=found.reason if norm is None and isinstance(found, Undefined) else None,
            axes={"view": self.options.view, "site": str(site)},
        )
        return Outcome(
            tables={"classes": [self._row(state, name) for name in _CLASSES]},
            directions=(Found(found, records=(record,)),),
        )

    def _direction(self, state: State, site: Site) -> tuple[Direction | Undefined, float | None]:
        """The direction, or why there is none; and its length, where it has one."""
        for name in _CLASSES:
            if not states.count(state, f"{name}_tokens"):
                data = getattr(self.options, name)
                why = f"no prompt of the {name} data {data!r} has a token to measure"
                return Undefined(why), None
        positive, negative = (_mean(state, name) for name in _CLASSES)
        with np.errstate(invalid="ignore"):  # inf − inf: reported below, in words
            vector = positive - negative
        norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm):
            return Undefined(f"the activations at {site} are not finite"), None
        if norm <= ROUNDING * max(np.linalg.norm(positive), np.linalg.norm(negative)):
            return Undefined(f"both sets of prompts have the same mean at {site}"), 0.0
        return Direction(site, vector[None], reference_norm=norm, origin=negative), norm

    def _row(self, state: State, name: str) -> dict[str, str | int | float | None]:
        tokens = states.count(state, f"{name}_tokens")
        norm = float(np.linalg.norm(_mean(state, name))) if tokens else None
        return {
            "class": name,
            "data": getattr(self.options, name),
            "prompts": states.count(state, f"{name}_prompts"),
            "tokens": tokens,
            "mean_norm": norm if norm is not None and np.isfinite(norm) else None,
        }


def _mean(state: State, name: str) -> Float[np.ndarray, " d_site"]:
    mean: np.ndarray = state[f"{name}_sum"] / state[f"{name}_tokens"]
    return mean
