"""What acted on a model while it wrote: interventions with their directions and receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import JSON, Axes
from harness_exports.arms.kept_directions import KeptDirection, kept_direction
from harness_exports.arms.subjects import portable
from harness_exports.arms.tables import table

PLAIN = "none"
"""What the contract calls the direction of the arm without an edit."""


@dataclass(frozen=True)
class Edit:
    """One intervention with one direction."""

    method: str
    """The intervention, as the task names it: `ablation`."""
    options: Mapping[str, Any]
    """Its options, as far as the task writes them."""
    direction: Axes
    """The direction and which of its variants."""
    site: str | None
    """Where it acts, where the direction was kept."""
    sha256: str | None
    """A hash of the direction's vectors; None where the run kept none."""
    receipt: Mapping[str, JSON]
    """What it really did: sizes and checks by name."""

    @property
    def words(self) -> str:
        """`ablation(refusal)`, with what tells it from others of its kind: options and variant."""
        rest = [f"{key}={value}" for key, value in self.direction.items() if key != "direction"]
        given = [f"{key}={value}" for key, value in self.options.items()]
        return f"{self.method}({', '.join([str(self.direction['direction']), *rest, *given])})"

    @property
    def facts(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "intervention": self.method,
            "options": dict(self.options),
            "direction": dict(self.direction),
            "site": self.site,
            "direction_sha256": self.sha256,
            "receipt": dict(self.receipt),
        }


def edits_of(
    task: Mapping[str, Any],
    experiment: Mapping[str, Any],
    view: str,
    axes: Axes,
    receipt: Mapping[str, JSON],
    found: Sequence[KeptDirection],
) -> tuple[Edit, ...]:
    """The edits of an arm: that of its view, where it has one, and that of the experiment."""
    edits = []
    if of_view := edit_of_view(task, view, found):
        edits.append(of_view)
    if axes.get("direction", PLAIN) != PLAIN:
        edits.append(_edit(table(experiment, "intervention"), axes, receipt, found))
    return tuple(edits)


def edit_of_view(
    task: Mapping[str, Any], view: str, found: Sequence[KeptDirection] = ()
) -> Edit | None:
    """The edit under which a view reads; None where it reads its model as it is."""
    spec = table(task, "views", view, "edit")
    if not spec:
        return None
    return _edit(spec, {"direction": spec.get("direction"), **table(spec, "at")}, {}, found)


def _edit(
    spec: Mapping[str, Any],
    axes: Axes,
    receipt: Mapping[str, JSON],
    found: Sequence[KeptDirection],
) -> Edit:
    own = {key: value for key, value in spec.items() if key not in ("method", "direction", "at")}
    kept = kept_direction(found, axes)
    return Edit(
        str(spec.get("method", "edit")),
        portable(own),
        axes,
        kept.site if kept else None,
        kept.sha256 if kept else None,
        receipt,
    )
