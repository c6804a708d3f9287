"""An intervention together with the direction that it works on: the one place that builds arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.contract import Arm, Direction, InterventionOptions, Model, Sae
from harness.running.directions import direction_hash
from harness.store.keys import key_of
from harness.task.contents import by_content
from harness.task.task import Entry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DirectedIntervention:
    """An intervention of the task, its direction, and the SAE that its edits run, if they do."""

    entry: Entry[InterventionOptions]
    direction: Direction
    sae: Sae | None = None
    """One object, however many arms there are."""
    sae_key: str = ""
    """A hash of all that the SAE's numbers depend on."""

    @property
    def fingerprint(self) -> str:
        """A hash of everything that the edits depend on, beside the model that they edit."""
        owner = self.entry.owner
        # The one SAE that its options may name is that of `sae_key`.
        options = by_content(self.entry.options, named=self._named)
        what = [str(owner), owner.plugin.version, options]
        return key_of(what, direction_hash(self.direction), self.sae_key)

    def _named(self, table: str, name: str) -> str | None:
        own = table == "saes" and name == self.entry.options.own_sae()
        return f"sae {self.sae_key}" if own else None

    def arm(self, name: str, model: Model) -> Arm:
        """The edits of a model, under this name. Raises ModelError where they make no sense."""
        built: Any = self.entry.build()
        own = [self.sae] if self.entry.options.on_sae else []
        arm: Arm = built.arm(name, self.direction, model.facts, model.dtype, *own)
        return arm

    def arms_beside(self, name: str, model: Model, beside: Tensor) -> Sequence[Arm]:
        """The edits of a model that differ by token: one arm for each row of the batch.

        `beside` is what the other view has at the direction's site: [rows, pos, d_site].
        """
        paired: Any = self.entry.build()
        own = [self.sae] if self.entry.options.on_sae else []
        arms: Sequence[Arm] = paired.arms(
            name, self.direction, model.facts, model.dtype, beside, *own
        )
        return arms
