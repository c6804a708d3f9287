"""Edits: how an intervention changes activations, what it promises, and what was really done.

An intervention makes an `Arm` of `Edit`s and `Check`s; a model runs it (`Model.edited`) and gives
a `Receipt`. Both functions, `apply` and `measure`, should be defined once in a module and take all
that differs as parameters: rows of different arms then share one call.

What many edits share, such as an SAE, is no parameter: parameters are copied for each row. Let
`apply` be an instance of a frozen dataclass that holds the object; rows of all arms whose `apply`
are equal share a call, and the object is loaded once in a run.

An edit with a **gate** acts only where a condition holds, such as a latent that is active. It
decides for each position by that position's own activation, and returns every bit of the others as
it was. Its arm says `gated`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from harness.contract.sites import Site


@dataclass(frozen=True)
class Edit:
    """A change of the activation at one site. The model goes on with what `apply` returns."""

    site: Site
    """Where it acts: a site of the model, by block number."""
    apply: Callable[[Tensor, Mapping[str, Tensor]], Tensor]
    """`apply(x, parameters) -> x'`. x is Float[Tensor, "rows pos d"] in the model's dtype; each
    parameter has a row for each row of x: Float[Tensor, "rows ..."], float32, on x's device.
    Returns a tensor of x's shape and dtype and modifies nothing. Each row and position is changed
    on its own: while a completion is written, x is one new position."""
    parameters: Mapping[str, Tensor]
    """By name, what `apply` needs for one row, without the axis of rows: float32, finite."""


@dataclass(frozen=True)
class Check:
    """A promise that an intervention makes about its edits, measured while the model runs."""

    name: str
    """How the report calls it. Checks called `name at <site>` are one record, of the largest."""
    site: Site
    """Where it is measured: on the activation as it arrives there, before any edit of that site.
    """
    measure: Callable[[Tensor, Mapping[str, Tensor]], Tensor]
    """`measure(x, parameters) -> Float[Tensor, "rows pos"]`, with x and parameters as in `Edit`:
    a number for each position, the smaller the better. Modifies nothing."""
    parameters: Mapping[str, Tensor]
    """As in `Edit`."""
    limit: float | None = None
    """Above it at any position, the run is invalid; None only reports the largest value."""


@dataclass(frozen=True)
class Arm:
    """One arm of an experiment: all the edits under which a prompt is read or answered."""

    name: str
    """The name that the intervention was given; its receipt has the same."""
    edits: tuple[Edit, ...] = ()
    """Several at one site act one after the other. The arm of the untouched model has none."""
    checks: tuple[Check, ...] = ()
    """The promises; each has a name of its own."""
    idle: bool = False
    """Whether it is meant to change nothing, as strength 0 does. An arm that is neither idle nor
    gated and changes no activation makes the run invalid."""
    gated: bool = False
    """Whether its edits act only where a condition holds. Where that is nowhere, the run goes on,
    the share of changed tokens is 0, and a warning says so."""


@dataclass(frozen=True)
class Receipt:
    """What the edits of an arm did while the model ran. The model counts it."""

    arm: str
    """The name of the arm."""
    fired: int = 0
    """How many calls of `Edit.apply` were made for it."""
    tokens: int = 0
    """Positions that an edit was applied to, without padding, summed over sites."""
    changed: int = 0
    """Those of them whose activation came out different."""
    relative: float | None = None
    """Mean of ‖x' − x‖ / ‖x‖ over `tokens`; None where there are none."""
    checks: Mapping[str, float] = field(default_factory=dict)
    """By name of the check, the largest value that it measured."""
    broken: tuple[str, ...] = ()
    """Names of the checks that went over their limit, and `non-finite` where an edit returned NaN
    or infinity. Each makes the run invalid."""
    relative_sum: int | None = None
    """The sum of which `relative` is the mean, in units of 2⁻⁶⁰: whole numbers, whose sum is the
    same in whatever parts a run made them. None where a backend does not give it: `relative` times
    `tokens` is used then, which is as good but for rounding."""
