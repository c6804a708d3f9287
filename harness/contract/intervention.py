"""Interventions: what turns a direction into edits of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from harness.contract.backend import ModelFacts
from harness.contract.edits import Arm
from harness.contract.options import Options
from harness.contract.sae import Sae
from harness.contract.values import Direction

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class InterventionOptions(Options):
    """Options of an intervention."""

    on_sae: ClassVar[bool] = False
    """Whether its edits run the SAE that the direction was made with (see `SaeIntervention`)."""

    def beside(self) -> str | None:
        """The view whose activations of the same tokens its edits need (see
        `PairedIntervention`); then it is for views that read, not for completions."""
        return None


@runtime_checkable
class Intervention(Protocol):
    """Turns a direction into edits of a model; built as `Class(options)`."""

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """The edits, and the promises they make; ModelError where they make no sense."""


@runtime_checkable
class SaeIntervention(Protocol):
    """An intervention whose edits run an SAE: `on_sae` in its options; `Class(options)`."""

    def arm(
        self, name: str, direction: Direction, facts: ModelFacts, dtype: str, sae: Sae | None
    ) -> Arm:
        """As `Intervention.arm`; `sae` is the direction's, None where it was made with none."""


@runtime_checkable
class PairedIntervention(Protocol):
    """An intervention that differs by token: `beside` in its options names the other view."""

    def arms(
        self,
        name: str,
        direction: Direction,
        facts: ModelFacts,
        dtype: str,
        beside: Float[Tensor, "rows pos d_site"],
    ) -> Sequence[Arm]:
        """One arm for each row; `beside` is what the other view has at the direction's site.

        Rows are padded on the right; what stands at padding is never looked at.
        """
