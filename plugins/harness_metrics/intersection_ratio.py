"""How many latents the two sides share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness.contract.latents import shared
from harness_metrics import documents
from harness_metrics.options import IntersectionRatioOptions

EACH, MICRO, CHANCE = (f"intersection_ratio.{name}@1" for name in ("per_token", "micro", "chance"))
_NOTHING = "no token has an active latent on either side, or none was selected"
_SAME = {"kind": "identical", "value": 1.0}
_VALUES = {
    EACH: MetricValue(EACH, "ratio", "tokens", _NOTHING, _SAME),
    MICRO: MetricValue(MICRO, "ratio", "tokens", _NOTHING, _SAME),
    CHANCE: MetricValue(CHANCE, "ratio", "tokens", _NOTHING, no_interval=documents.TOO_WIDE),
}


class IntersectionRatio:
    """Counts the latents that are active on both sides, out of those active on either.

    With F_b, F_c the sets {j : z_j ≠ 0} of a token on the left and the right side, from one SAE
    (negative values exist only in SAEs that count them as active), and N selected tokens:

    | value | formula |
    |---|---|
    | `intersection_ratio.per_token` | `mean_t \\|F_b ∩ F_c\\| / \\|F_b ∪ F_c\\|` |
    | `intersection_ratio.micro` | `Σ_t \\|F_b ∩ F_c\\| / Σ_t \\|F_b ∪ F_c\\|` |
    | `intersection_ratio.chance` | what micro would be were the tokens of one side shuffled |

    Tokens with nothing active on either side have no ratio and are left out; `n` counts the
    others. Chance in closed form: shuffled, a latent that is active n_b,j and n_c,j times is on
    both sides `n_b,j n_c,j / N` times, so with `I = Σ_j n_b,j n_c,j / N` it is
    `I / (Σ|F_b| + Σ|F_c| − I)`. Latents that are active everywhere are what lifts it above 0; a
    ratio near it says that the two sides share no more than any two tokens do.

    Unit: ratio, 0 to 1; k of k shared latents in TopK SAEs give n/(2k − n). Symmetric. 1 when both
    sides are the same model. Undefined where nothing is active.

    Source: Feature Drift, eq. 4; METHODS section 1.
    """

    def __init__(self, options: IntersectionRatioOptions, target: Target) -> None:
        assert target.sae is not None, "intersection_ratio is measured on an SAE"
        self._site, self._sae = target.site, target.sae
        self.values = tuple(_VALUES[f"intersection_ratio.{name}@1"] for name in options.variants)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Sizes of intersections and unions, and their ratios, of each document."""
        assert batch.right is not None, "intersection_ratio is measured on pairs"
        left, right = (one.latents(self._sae, self._site) for one in (batch.left, batch.right))
        both = shared(left, right)
        either = left.counts + right.counts - both
        exists = documents.sums(batch, either > 0)
        found = {
            "n": documents.counts(batch),
            "both": documents.sums(batch, both),
            "either": documents.sums(batch, either),
            "ratio": documents.sums(batch, documents.wide(both) / either.clamp(min=1)),
            f"n.{EACH}": exists,
            f"n.{MICRO}": exists,
        }
        if _VALUES[CHANCE] in self.values:
            for name, latents in (("left", left), ("right", right)):
                ones = torch.ones_like(latents.indices)
                found[f"total.{name}"] = documents.latent_sums(latents, ones)
        return found

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The mean ratio of tokens, the ratio of all together, and chance; those chosen."""
        defined = sums[f"n.{EACH}"]
        found = {
            EACH: documents.ratio(sums["ratio"], defined),
            # Tokens have an active latent exactly where their union is not empty.
            MICRO: documents.ratio(sums["both"], sums["either"]),
        }
        if "total.left" in sums:
            left, right = sums["total.left"], sums["total.right"]
            with np.errstate(divide="ignore", invalid="ignore"):
                known = chance(left, right, sums["n"][: len(left)])
            found[CHANCE] = documents.without_draws(known, len(sums["n"]))
        return [found[value.id] for value in self.values]


def chance(
    left: Float[np.ndarray, "draws d_sae"],
    right: Float[np.ndarray, "draws d_sae"],
    n: Float[np.ndarray, " draws"],
) -> Float[np.ndarray, " draws"]:
    """The expected intersection of shuffled tokens over the union that goes with it."""
    both = (left * right).sum(-1) / n
    either = left.sum(-1) + right.sum(-1) - both
    return np.where(either > 0, both / either, np.nan)
