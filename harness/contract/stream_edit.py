"""The edit under which a stream is read: one arm of a trial that writes no completion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.contract.values import JSON


@dataclass(frozen=True)
class StreamEdit:
    """An intervention, and the direction of the task that it works on.

    The direction is found in an earlier pass. Where it came out undefined, the stream gives no
    batch; `Inputs.edits` says so, and why. What the edits do is counted as in every arm.
    """

    method: str
    """The intervention, as a task names it: `ablation`. One that needs another view's activations
    (`InterventionOptions.beside`) is refused."""
    direction: str
    """The direction, by its name in the task."""
    axes: tuple[tuple[str, JSON], ...] = ()
    """Which of its variants, by axis: exactly these. Empty for a direction without axes."""
    options: tuple[tuple[str, JSON], ...] = ()
    """The options of the intervention, by name; those that are left out have their defaults."""
