"""How far the activations of two sides are apart, by the length of what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents
from harness_metrics.options import DisplacementOptions

_NONE = "no token was measured"
_SAME = {"kind": "identical", "value": 0.0}


class Displacement:
    """Measures how far a token's activation moved, as a share of its length before.

    With b, c: Float[Tensor, "tokens d"] the activations of the left and the right side,

    | value | formula |
    |---|---|
    | `displacement.per_token` | `mean_t ‖c_t − b_t‖ / ‖b_t‖` |
    | `displacement.pooled` | `√(Σ_t ‖c_t − b_t‖² / Σ_t ‖b_t‖²)`: long ones weigh more |
    | `displacement.moved` | the share of tokens with `c_t ≠ b_t` in any of their d numbers |

    `displacement.moved` is exact: 0 says that nothing differs, bit for bit, and not that little
    does. Tokens whose left activation has length 0 have no ratio of their own:
    `displacement.per_token` leaves them out, and its `n` counts the others.

    Unit: ratio, from 0 without an upper limit; `moved` is a share, 0 to 1. Not symmetric. 0 when
    both sides are the same model. Undefined where nothing was measured or all of the left is 0.

    Source: the relative difference that the sentinel of a pair measures; of our own making.
    """

    values = (
        MetricValue(
            "displacement.per_token@1",
            "ratio",
            "tokens",
            f"all of the left is 0, or {_NONE}",
            _SAME,
        ),
        MetricValue(
            "displacement.pooled@1", "ratio", "tokens", f"all of the left is 0, or {_NONE}", _SAME
        ),
        MetricValue("displacement.moved@1", "share", "tokens", _NONE, _SAME),
    )

    def __init__(self, options: DisplacementOptions, target: Target) -> None:
        self._site = target.site

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Σ‖Δ‖/‖b‖, Σ‖Δ‖², Σ‖b‖², tokens that moved, that have a ratio, and all, by document."""
        assert batch.right is not None, "displacement is measured on pairs"
        left, right = (
            documents.selected(batch, one.x(self._site)) for one in (batch.left, batch.right)
        )
        right = right.to(left.device)
        change, size = documents.squared_error(left, right), documents.squared_norm(left)
        defined = size > 0
        ratio = torch.where(defined, (change / torch.where(defined, size, 1)).sqrt(), 0)
        return {
            "n": documents.counts(batch),
            "n.displacement.per_token@1": documents.sums(batch, defined),
            "ratio": documents.sums(batch, ratio),
            "change": documents.sums(batch, change),
            "size": documents.sums(batch, size),
            "moved": documents.sums(batch, (left != right).any(1)),
        }

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The mean ratio, the root of the ratio of sums, and the share that moved."""
        return [
            documents.ratio(sums["ratio"], sums["n.displacement.per_token@1"]),
            np.sqrt(documents.ratio(sums["change"], sums["size"])),
            documents.ratio(sums["moved"], sums["n"]),
        ]
