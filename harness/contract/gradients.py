"""Gradients of a number that a model's predictions make, at activations inside it.

For methods that ask which activation moves a behaviour: attribution, integrated gradients,
activation patching. Only models that offer `gradients` have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from harness.contract.sites import Site
    from harness.contract.values import Tokens

    Scalar = Callable[[Float[Tensor, "pos vocab"], Tokens], Float[Tensor, ""]]
else:
    Scalar = Callable


@dataclass(frozen=True)
class Gradients:
    """What `Differentiable.gradients` found, for a batch whose row i belongs to the i-th prompt."""

    values: Float[Tensor, " batch"]
    """M, the number of each prompt, float64 on the CPU."""
    sites: Mapping[Site, Tensor]
    """By site, ∂M/∂h: Float[Tensor, "batch pos d_site"] in the model's dtype, laid out as
    `Activations.sites`. 0 at padding, and where M does not depend on h."""
    activations: Mapping[Site, Tensor]
    """By site, the h at which the gradient was taken, laid out likewise; padding holds anything."""
    start: tuple[int, ...]
    """For each row, the column of its first token, as in `Activations`."""


class Differentiable(Protocol):
    """A model that offers `gradients`: what it has beside the methods of `Model`."""

    def gradients(
        self,
        tokens: Sequence[Tokens],
        scalar: Scalar,
        sites: Sequence[Site],
        *,
        put: Mapping[Site, Tensor] | None = None,
    ) -> Gradients:
        """The number that `scalar` makes of each prompt's logits, and its gradients at some sites.

        `scalar(logits, tokens)` is called for one prompt at a time with the logits at its own
        tokens, Float[Tensor, "pos vocab"] in at least float32, and gives one differentiable
        number. It never sees padding or another prompt, so the gradient of a prompt is that of its
        own number.

        `put` replaces activations at all positions before the model goes on: by site, a tensor
        laid out as `Activations.sites` are for these prompts. Gradients at such a site are taken at
        what was put there. Without `sites` nothing is differentiated, and only numbers come out:
        what they would be, had the model these activations.

        Inside `Model.edited` the edits act, and gradients go through them; what is put at an
        edited site replaces what the edit made. The model is left as it was: no gradient of a
        weight is computed. Half precision is useless for small gradients: load the model in
        float32. ModelError where a site does not exist, or what is put does not fit.
        """
