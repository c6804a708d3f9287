"""What a loaded model gives for some prompts, without padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Activations, Model, Tokens
from harness.testing.support.laws import law


def rows_of(
    found: Activations, values: Float[Tensor, "batch pos d"], tokens: Sequence[Tokens]
) -> list[Tensor]:
    """For each prompt what stands at its tokens, `[tokens, d]` on the CPU."""
    rows = zip(values, found.start, tokens, strict=True)
    return [row[start : start + len(one.ids)].detach().cpu() for row, start, one in rows]


def logits_of(model: Model, tokens: Sequence[Tokens]) -> Float[Tensor, "tokens vocab"]:
    """The next-token logits of all tokens, one prompt after another, on the CPU."""
    found = model.activations(tokens, [], logits=True)
    law(found.logits is not None, "logits come when asked for", "the backend gave none")
    assert found.logits is not None
    return torch.cat(rows_of(found, found.logits, tokens))


def close(name: str, model: Model, rows: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    """Raises AssertionError, naming the law, where numbers differ by more than rounding does."""
    tolerance = 1e-4 if model.dtype in ("float32", "float64") else 5e-2
    for a, b in zip(rows, others, strict=True):
        law(a.shape == b.shape, name, f"{tuple(a.shape)} and {tuple(b.shape)}")
        gap = float((a.double() - b.double()).abs().max())
        scale = float(a.double().abs().max())
        what = f"differs by {gap:.3g} where the largest is {scale:.3g}"
        law(gap <= tolerance * scale, name, what)
