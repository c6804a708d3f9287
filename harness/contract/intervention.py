"""Interventions: what turns a direction into edits of a model.

The core asks an intervention for the arm of each direction of an experiment, and runs the model
under its edits: to complete prompts that evaluators judge, or to read activations of an edited
view. Which of the four protocols an intervention follows, its options say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from harness.contract.options import Options

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from harness.contract.backend import ModelFacts
    from harness.contract.edits import Arm
    from harness.contract.sae import Sae
    from harness.contract.values import Direction


class InterventionOptions(Options):
    """Base of an intervention's options."""

    on_sae: ClassVar[bool] = False
    """Whether its edits run an SAE: the object is then a `SaeIntervention`."""

    def own_sae(self) -> str | None:
        """The SAE that its edits run, by its name in the task, where `on_sae`.

        None by default: the one whose features the direction is made of. One that is named must
        read the site where the direction lives; the core checks it.
        """
        return None

    def reads_vectors(self) -> bool:
        """Whether its edits read activations with the direction's own vectors.

        False by default. With True, `harness check` refuses directions that are read with others
        (`DirectionOptions.own_readers`); the object refuses them, too.
        """
        return False

    def beside(self) -> str | None:
        """The name of another view whose activations at the same tokens its edits need.

        None by default. With a name, the object is a `PairedIntervention`, or where `on_sae` a
        `PairedSaeIntervention`: it can edit what a view reads, but not completions.
        """
        return None

    def own_side(self) -> Literal["left", "right"] | None:
        """Which side of an SAE of a pair the edited view is; the view of `beside` is the other one.

        None by default: its edits run SAEs of one model alone. With a side, the core checks that
        both views are of the models that an SAE of a pair was trained on.
        """
        return None

    def encodes(self, *, of_pair: bool) -> int:
        """How often its edits let the SAE encode each position, where `on_sae`; `of_pair`: one that
        reads both sides of a pair at once. `harness plan` counts with it."""
        return 1


@runtime_checkable
class Intervention(Protocol):
    """An intervention whose edits depend on the direction alone. Built as `Class(options)`."""

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """The arm called `name`: the edits that this direction asks for, and their promises.

        Called once for each direction of an experiment, and for each batch of an edited view.
        `facts` and `dtype` are the model's. ModelError where the direction does not fit the model
        or the options.
        """


@runtime_checkable
class SaeIntervention(Protocol):
    """An intervention whose edits run an SAE (`on_sae` in its options). Built likewise."""

    def arm(
        self, name: str, direction: Direction, facts: ModelFacts, dtype: str, sae: Sae | None
    ) -> Arm:
        """As `Intervention.arm`. `sae` is that of `own_sae()`, or else of `direction.sae`; None
        where there is neither. It is loaded once and shared by all arms: see `edits`."""


@runtime_checkable
class PairedIntervention(Protocol):
    """An intervention that edits each token by what another view has there (`beside` in its
    options). Built likewise."""

    def arms(
        self,
        name: str,
        direction: Direction,
        facts: ModelFacts,
        dtype: str,
        beside: Float[Tensor, "rows pos d_site"],
    ) -> Sequence[Arm]:
        """One arm for each row of a batch that is about to be read. Called for every batch.

        `beside` has the other view's activations of these rows at the direction's site, padded on
        the right with anything. The edits of row i are given its positions from the first on, at
        most as many as `beside` has.
        """


@runtime_checkable
class PairedSaeIntervention(Protocol):
    """An intervention that edits each token by what an SAE makes of it and of what another view has
    there (`beside` and `on_sae` in its options). Built likewise."""

    def arms(
        self,
        name: str,
        direction: Direction,
        facts: ModelFacts,
        dtype: str,
        beside: Float[Tensor, "rows pos d_site"],
        sae: Sae | None,
    ) -> Sequence[Arm]:
        """As `PairedIntervention.arms`. `sae` is that of `SaeIntervention.arm`, or an SAE of a pair
        where `own_side` says which side the edited view is."""
