"""The tokens with the lowest cosines: how low these are, found in one pass with little memory."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harness.contract import Batch, Inputs, Outcome, Record, Site, State

_LEAST, _MOST, _WIDTH = 1e-12, 2.0, 1e-3
EDGES: Float64[np.ndarray, " edges"] = np.exp(
    np.linspace(
        math.log(_LEAST),
        math.log(_MOST),
        math.ceil((math.log(_MOST) - math.log(_LEAST)) / _WIDTH) + 1,
    )
)
"""The edges of the bins of 1 − cos: each 0.1% further than the one before, from 1e-12 to 2."""
_ALIKE = "the two sides have the same direction on every token, or no token was read"


def apart(
    left: Float[Tensor, "tokens d"], right: Float[Tensor, "tokens d"]
) -> Float[Tensor, " tokens"]:
    """How far the directions of both sides are apart: 1 − cos(x_left, x_right), in float32.

    As ‖x_left/‖x_left‖ − x_right/‖x_right‖‖²/2, which does not cancel where the cosine is near 1,
    and is 0 exactly where both sides are the same. NaN for a zero vector. Range [0, 2].
    """
    x, y = left.float(), right.float().to(left.device)
    x = x / x.norm(dim=1, keepdim=True)
    far: Tensor = (x - y / y.norm(dim=1, keepdim=True)).square().sum(1) / 2
    return far


class CosineThreshold:
    """The cosine below which the share `q` of the tokens lies, as a reduction of a pair.

    `cosine_threshold@1` is 1 − t, where t is the largest edge of a bin (`EDGES`) such that at least
    the share q of all tokens have 1 − cos ≥ t. Whole bins alone are counted, so that tokens with
    the same cosine are chosen together, and the share that is chosen is q or a little more; t is
    within 0.1% of the exact quantile of 1 − cos. Tokens on which both sides have the same direction
    (1 − cos below 1e-12) are never among the lowest: where too few others are left, all of those
    are chosen, which is a smaller share than q. Tokens whose cosine is undefined count nowhere.

    The counts are whole numbers, so that nothing depends on batches, shards or the order of
    documents beyond the rounding of the cosine itself. Unit: cosine of a token, range [-1, 1).
    Undefined where no token differs, as between identical models; then nothing is chosen.
    """

    def __init__(self, share: float, site: Site) -> None:
        self._share = share
        self._site = site

    def start(self, inputs: Inputs) -> State:
        """No tokens, by bin; the first bin is that of tokens that are alike."""
        return {"bins": np.zeros(len(EDGES) + 1, np.int64), "documents": np.zeros(1, np.int64)}

    def update(self, state: State, batch: Batch) -> State:
        """Counts the measured tokens of a batch."""
        assert batch.right is not None
        far = apart(batch.left.x(self._site), batch.right.x(self._site)).double().cpu().numpy()
        sizes = np.bincount(batch.document.cpu(), minlength=len(batch.documents))
        found = np.searchsorted(EDGES, far[~np.isnan(far)], side="right")
        return {
            "bins": state["bins"] + np.bincount(found, minlength=len(EDGES) + 1),
            "documents": state["documents"] + batch.clusters(sizes),
        }

    def merge(self, left: State, right: State) -> State:
        """The counts of both."""
        return {name: left[name] + right[name] for name in left}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One record, the cosine of the threshold."""
        edge = self.threshold(state)
        exists = math.isfinite(edge)
        return Outcome(
            (
                Record(
                    "cosine_threshold@1",
                    1 - edge if exists else None,
                    int(state["bins"].sum()),
                    "tokens",
                    "cosine of a token",
                    clusters=int(state["documents"][0]),
                    ci_why="the threshold of a filter, not an estimate",
                    undefined=None if exists else _ALIKE,
                    options={"cosine_quantile": self._share},
                ),
            )
        )

    def threshold(self, state: State) -> float:
        """The smallest 1 − cos of the tokens that are chosen; infinite where none is."""
        bins = state["bins"]
        wanted = math.ceil(self._share * int(bins.sum()) * (1 - 1e-12))
        from_far = np.cumsum(bins[:0:-1])  # of all bins but that of the tokens that are alike
        if not from_far[-1]:
            return math.inf
        last = int(np.argmax(from_far >= min(wanted, from_far[-1])))
        return float(EDGES[len(EDGES) - 1 - last])


def lowest(
    left: Float[Tensor, "tokens d"], right: Float[Tensor, "tokens d"], threshold: float
) -> Tensor:
    """Whether each token is at least as far apart as the threshold of `CosineThreshold`."""
    return apart(left, right).double() >= torch.tensor(threshold, dtype=torch.float64)
