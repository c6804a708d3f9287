"""SAEs that read several activations of a token at once: both sides of a pair, or several sites."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import SaeFacts
from harness.contract.latents import Latents
from harness_saes.core.linear import LinearSae


@dataclass(frozen=True)
class Scaling:
    """How activations are normalised before they are encoded, and back: the same for all tokens.

    Read: `(x − shift) · gain`. Written back: `x̂ / (gain + guard) + shift`. All have the width of
    what is joined.
    """

    shift: Float[Tensor, " d_in"]
    gain: Float[Tensor, " d_in"]
    guard: float = 0.0
    """What the original adds to the gain when it divides, but not when it multiplies."""
    times: int = 1
    """How often the original normalises before it encodes."""

    def read(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Activations as the encoder was trained on them."""
        for _ in range(self.times):
            x = (x - self.shift) * self.gain
        return x

    def written(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Reconstructions in the units of the activations."""
        return self.directions(x) + self.shift

    def directions(self, rows: Float[Tensor, "m d_in"]) -> Float[Tensor, "m d_in"]:
        """Differences of reconstructions, such as decoder rows, in the units of the activations."""
        return rows / (self.gain + self.guard)

    def cast(self, dtype: torch.dtype) -> Scaling:
        """The same in another precision."""
        return Scaling(self.shift.to(dtype), self.gain.to(dtype), self.guard, self.times)


class JoinedSae:
    """An SAE of joined activations: `inner` reads them normalised by `scaling`, one after another.

    `z = inner.encode(scaling.read(x))`, `x̂ = scaling.written(inner.reconstruct(z))`; decoder rows
    are in the units of the activations. `facts` say what is joined. Without a scaling x is read as
    it is.
    """

    def __init__(
        self,
        inner: LinearSae,
        facts: SaeFacts,
        scaling: Scaling | None = None,
        *,
        notes: Sequence[str] = (),
    ) -> None:
        self.facts = facts
        self.notes = (*inner.notes, *notes)
        self._inner = inner
        self._scaling = scaling
        self.fingerprint = _fingerprint(inner.fingerprint, facts, scaling)

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """The latents of joined activations; ModelError where x has another width than d_in."""
        if self._scaling is not None and x.ndim == 2 and x.shape[1] == self.facts.d_in:
            x = self._scaling.read(x.to(self._scaling.shift.dtype))
        return self._inner.encode(x)

    @torch.no_grad()
    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_in"]:
        """x̂, joined as the activations are."""
        out = self._inner.reconstruct(latents)
        return out if self._scaling is None else self._scaling.written(out)

    @torch.no_grad()
    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_in"]:
        """Decoder rows: what one unit of a latent adds to x̂, joined as the activations are."""
        rows = self._inner.rows(indices)
        return rows if self._scaling is None else self._scaling.directions(rows)


def _fingerprint(inner: str, facts: SaeFacts, scaling: Scaling | None) -> str:
    """Hash of the inner SAE, of what is joined how, and of the scaling."""
    joined = [(one.side, str(one.site), one.width) for one in facts.inputs]
    digest = hashlib.sha256(repr((inner, joined, facts.join)).encode())
    if scaling is not None:
        digest.update(repr((scaling.guard, scaling.times)).encode())
        for tensor in (scaling.shift, scaling.gain):
            digest.update(tensor.detach().cpu().contiguous().double().numpy().tobytes())
    return digest.hexdigest()
