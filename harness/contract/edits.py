"""What an intervention is made of: edits of activations, promises about them, and receipts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.contract.sites import Site

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Edit:
    """A change of the activation at a site, as a pure function.

    `apply(x, parameters) -> x'` with x: Float[Tensor, "rows pos d"], and each parameter stacked
    over the rows of the batch (arms with the same `apply` and shapes share one call):
    Float[Tensor, "rows ..."], float32, on x's device. Must return x's shape and dtype.
    """

    site: Site
    apply: Callable[[Tensor, Mapping[str, Tensor]], Tensor]
    parameters: Mapping[str, Tensor]


@dataclass(frozen=True)
class Check:
    """A promise that an intervention makes, measured where the model reads the activation.

    A `name` that ends in ` at <site>` is reported once for all sites, with the largest value.

    `measure(x, parameters) -> Float[Tensor, "rows pos"]` sees x at `site` before any edit there;
    a value above `limit` makes the run invalid; without a limit it is only reported.
    """

    name: str
    site: Site
    measure: Callable[[Tensor, Mapping[str, Tensor]], Tensor]
    parameters: Mapping[str, Tensor]
    limit: float | None = None


@dataclass(frozen=True)
class Arm:
    """The edits of one arm of an experiment; none for the arm that is left as it is."""

    name: str
    edits: tuple[Edit, ...] = ()
    checks: tuple[Check, ...] = ()
    idle: bool = False
    """Whether it asks for no change, as strength 0 does; any other arm must change something."""


@dataclass(frozen=True)
class Receipt:
    """What the edits of an arm really did."""

    arm: str
    fired: int = 0
    """How often an edit ran."""
    tokens: int = 0
    """Token positions changed or looked at by an edit, padding left out, summed over sites."""
    changed: int = 0
    """Those where the activation came out different."""
    relative: float | None = None
    """Mean ‖Δ‖/‖x‖ over those tokens."""
    checks: Mapping[str, float] = field(default_factory=dict)
    """The largest value that each check measured."""
    broken: tuple[str, ...] = ()
    """Checks that went over their limit, and non-finite results."""
