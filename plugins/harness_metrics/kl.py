"""How far the next-token distributions of both sides are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness.errors import ModelError
from harness_metrics import documents
from harness_metrics.options import KlOptions

FORWARD, REVERSE, SHANNON = (
    f"kl.{name}@1" for name in ("next_token", "next_token_reverse", "jensen_shannon")
)
_WHY = "no token was selected, or one side gives no probability at all to what the other may say"
_VALUES = {
    id: MetricValue(id, "nats/token", "tokens", _WHY, {"kind": "identical", "value": 0.0})
    for id in (FORWARD, REVERSE, SHANNON)
}


def divergences(
    left: Float[Tensor, "tokens vocab"], right: Float[Tensor, "tokens vocab"], ids: Sequence[str]
) -> list[Float64[Tensor, " tokens"]]:
    """The divergences of each token, in the order of `ids`, from logits. Exactly 0 of equal ones.

    With ln p_v − ln q_v = x_v − y_v − Δ, Δ the difference of the logarithms of the normalisers,
    one exponential for each logit is enough for both directions.
    """
    x, y = documents.wide(left), documents.wide(right)
    gap = x - y
    p, log_p = _normalised(x)
    q, log_q = _normalised(y)
    delta = log_p - log_q
    found = []
    for id in ids:
        if id == FORWARD:
            found.append(_expected(p, gap) - delta)
        elif id == REVERSE:
            found.append(delta - _expected(q, gap))
        else:
            ratio = gap - delta[:, None]
            found.append(
                (_expected(p, _below_mixture(ratio)) + _expected(q, _below_mixture(-ratio))) / 2
            )
    return found


def _normalised(x: Float64[Tensor, "tokens vocab"]) -> tuple[Tensor, Float64[Tensor, " tokens"]]:
    """Probabilities, and the logarithm of what normalises them."""
    top = x.amax(1, keepdim=True)
    p = (x - top).exp_()
    total = p.sum(1, keepdim=True)
    return p.div_(total), (top + total.log()).squeeze(1)


def _expected(
    p: Float64[Tensor, "tokens vocab"], values: Float64[Tensor, "tokens vocab"]
) -> Float64[Tensor, " tokens"]:
    """Σ_v p_v · value_v; what cannot happen has no part in it, whatever its value."""
    found: Tensor = torch.linalg.vecdot(p, values)
    if not found.isfinite().all():  # 0 · ∞ is no number
        found = torch.where(p > 0, p * values, 0).sum(1)
    return found


def _below_mixture(ratio: Float64[Tensor, "tokens vocab"]) -> Float64[Tensor, "tokens vocab"]:
    """ln(p / m) with m = (p + q)/2, from ln(p / q); exactly 0 where p is q."""
    two = torch.ones((), dtype=ratio.dtype, device=ratio.device).log1p()
    # ln(1 + exp(−r)) without overflow.
    return two - (-ratio).clamp(min=0) - (-ratio.abs()).exp_().log1p_()


class Kl:
    """Measures how differently both sides continue the same text, on average over tokens.

    With p, q the next-token distributions of the left and the right side at a token,

    | value | formula | range |
    |---|---|---|
    | `kl.next_token` | `mean_t Σ_v p_v ln(p_v / q_v)` | 0 up |
    | `kl.next_token_reverse` | `mean_t Σ_v q_v ln(q_v / p_v)` | 0 up |
    | `kl.jensen_shannon` | `mean_t (KL(p, m) + KL(q, m)) / 2`, m = (p + q)/2 | 0 to ln 2 |

    Logits: Float[Tensor, "tokens vocab"]; in float64, a few tokens at a time. Only the last one is
    symmetric. 0 when both sides are the same model. Undefined where nothing was selected. Raises
    ModelError where the two vocabularies are of different sizes.

    Unit: nats per token. Source: Kullback and Leibler 1951; Lin 1991 (Jensen-Shannon).
    """

    def __init__(self, options: KlOptions, target: Target) -> None:
        self.values = tuple(_VALUES[f"kl.{name}@1"] for name in options.variants)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Σ of the divergences of each document, and the number of tokens."""
        assert batch.right is not None, "kl is measured on pairs"
        left, right = batch.left.logits(), batch.right.logits()
        if left.shape != right.shape:
            raise ModelError(
                f"metric kl: the left side's logits are over {left.shape[-1]} tokens, the right "
                f"side's over {right.shape[-1]}. Expected the same vocabulary. Choose models that "
                "share a tokenizer, or leave kl out."
            )
        ids = [value.id for value in self.values]
        parts = batch.selected.to(left.device).split(documents.at_once(left))
        each = [divergences(left[part], right[part], ids) for part in parts]
        found = {"n": documents.counts(batch)}
        for place, id in enumerate(ids):
            found[id] = documents.sums(batch, torch.cat([part[place] for part in each]))
        return found

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The chosen divergences, averaged over tokens."""
        return [documents.ratio(sums[value.id], sums["n"]) for value in self.values]
