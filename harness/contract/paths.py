"""Paths between two models' activations, along which a number of the predictions is followed.

For methods that ask which part of a change inside a model moves what it says. Let `M_θ(h)` be a
number of the predictions of the model whose layers above a site are those of the side θ (`left` or
`right` of a pair), when the activations at the site are h at **all** positions. A path leads from
the left side's activations to the right side's, `h_left + α (h_right − h_left)`, and the core
gives `M_θ` at both its ends and `∂M_θ/∂h` along it, for both θ.

A reduction asks for paths in `Reads.paths`, and finds them in `Batch.paths`. The models must offer
`gradients`; they read one document a row, and both sides read the same tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jaxtyping import Float, Float64
    from torch import Tensor

    from harness.contract.backend import Model
    from harness.contract.gradients import Scalar
    from harness.contract.sites import Site


@runtime_checkable
class PathScalar(Protocol):
    """A number of a prompt's predictions, before any model is loaded: frozen, hashable plain data
    whose `repr` tells all of it. Built-in ones are in `harness.contract.scalars`."""

    @property
    def on_answer(self) -> bool:
        """Whether it needs `Tokens.answered`, the place of the answer that a conversation has."""

    def on(self, model: Model) -> Scalar:
        """The number as a function of a prompt's logits, with this model's tokens for its words.

        Called once for a reader. A prompt for which it gives NaN is left out of the path.
        ModelError where the model's tokenizer has no such token.
        """


@dataclass(frozen=True)
class GradientPath:
    """A number that is followed from the left side's activations at a site to the right side's."""

    site: Site
    """Where activations are put in the place of the model's own, at all positions."""
    scalar: PathScalar
    """The number M."""
    points: tuple[float, ...] = (0.0,)
    """The α at which gradients are taken, from 0 (left) to 1 (right), over which they are averaged:
    0 alone is the first order, attribution patching; see `midpoints` for integrated gradients."""


def midpoints(steps: int) -> tuple[float, ...]:
    """(k + ½)/K for k from 0 to K − 1: the middle of each of K equal parts of a path.

    The error of the sum falls as 1/K², that of the left ends k/K only as 1/K.
    """
    return tuple((k + 0.5) / steps for k in range(steps))


@dataclass(frozen=True, eq=False)
class PathTail:
    """What the layers above the site of one side θ make of a path. Numbers of documents are
    float64 on the CPU, NaN where M is not defined for a document."""

    gradient: Float[Tensor, "tokens d_site"]
    """ḡ = ∂M_θ/∂h, averaged over the points, at the measured tokens; float32, or what the model
    computes in where that is more. 0 where M is not defined."""
    at_left: Float64[Tensor, " documents"]
    """M_θ(h_left)."""
    at_right: Float64[Tensor, " documents"]
    """M_θ(h_right)."""
    plain: Float64[Tensor, " documents"]
    """M of the side as it runs by itself, when nothing is put in. It equals M_θ(h_θ), or else h
    does not determine what the layers above the site do."""
    along: Float64[Tensor, " documents"]
    """Σ_t ḡ_t · (h_right − h_left)_t over all positions, measured or not: what the gradients say
    of M_θ(h_right) − M_θ(h_left)."""


@dataclass(frozen=True, eq=False)
class FollowedPath:
    """A path, followed by the layers above its site of both sides of a pair."""

    left: PathTail
    """By those of the left side's model."""
    right: PathTail
    """By those of the right side's model."""
