"""Which token each row of a batch writes next: the likeliest, or one drawn by its own luck."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.generation import TopPLogitsWarper

from harness.contract import Sampling, Tokens


class Chooser:
    """Chooses tokens step by step, for the rows that are still in the batch.

    Drawn tokens go by each row's own random numbers, so that a completion does not depend on the
    batch, and arms with the same prompt share luck.
    """

    def __init__(self, sampling: Sampling, tokens: Sequence[Tokens], device: torch.device) -> None:
        self._temperature = sampling.temperature
        self._top_p = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None
        self._luck: Tensor | None = None
        if sampling.temperature > 0:
            luck = [_uniform(sampling, one) for one in tokens]
            self._luck = torch.stack(luck, dim=1).to(device)
        self._broken = torch.zeros(len(tokens), dtype=torch.bool, device=device)
        self._rows: Tensor | None = None
        """Which rows of `tokens` are still there; None for all of them."""
        self._step = 0

    def __call__(
        self, logits: Float[Tensor, "row vocab"], live: Sequence[bool]
    ) -> Int[Tensor, " row"]:
        """The next token of each row; notes those of the `live` rows whose logits are not finite.

        The largest of such logits still is a token, so nothing else would show it.
        """
        scores = logits.float()
        # NaN and infinity both are their row's largest number.
        largest, likeliest = scores.max(-1)
        odd = ~largest.isfinite()
        if not all(live):
            odd &= torch.tensor(live, device=odd.device)
        if self._rows is None:
            self._broken |= odd
        else:
            self._broken[self._rows] |= odd
        step, self._step = self._step, self._step + 1
        return likeliest if self._luck is None else self._drawn(scores, self._luck[step])

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Goes on with these of the rows alone."""
        self._rows = rows if self._rows is None else self._rows[rows]
        if self._luck is not None:
            self._luck = self._luck[:, rows]

    def broken(self) -> list[int]:
        """The rows whose logits were not finite while they were written."""
        return [row for row, one in enumerate(self._broken.tolist()) if one]

    def _drawn(
        self, scores: Float[Tensor, "row vocab"], luck: Float[Tensor, " row"]
    ) -> Int[Tensor, " row"]:
        scores = scores / self._temperature
        if self._top_p is not None:
            scores = self._top_p(None, scores)
        below = scores.softmax(-1).cumsum(-1)
        # right=True never lands on a token without probability.
        drawn = torch.searchsorted(below, luck[:, None] * below[:, -1:], right=True)
        return drawn.clamp_max(scores.shape[-1] - 1).squeeze(-1)


def _uniform(sampling: Sampling, tokens: Tokens) -> Tensor:
    """The random numbers of one prompt, the same on every device."""
    words = f"{sampling.seed} {tokens.example} {tokens.ids}".encode()
    seed = int.from_bytes(hashlib.sha256(words).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(sampling.max_new_tokens, generator=generator)
