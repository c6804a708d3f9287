"""The arms of an experiment: each an intervention along one direction, and the one without."""

from __future__ import annotations

from dataclasses import dataclass

from harness.contract import Answer, Arm, Axes, Receipt, Undefined
from harness.errors import ModelError
from harness.planning.steps import Generation, PlannedArm
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.task import NO_EDIT


@dataclass(frozen=True)
class ReadyArm:
    """An arm whose direction was found: its edits, and a hash of all that they depend on."""

    planned: PlannedArm
    arm: Arm
    key: str

    @property
    def edits(self) -> bool:
        """Whether anything is done to the model."""
        return bool(self.arm.edits or self.arm.checks)


@dataclass(frozen=True)
class ArmOutcome:
    """What came out of one arm: answers in the order of the data, or why there are none."""

    planned: PlannedArm
    answers: tuple[Answer, ...] = ()
    receipt: Receipt | None = None
    idle: bool = False
    """Whether its edits change nothing on purpose."""
    gated: bool = False
    """Whether its edits act only where a condition holds."""
    undefined: str | None = None

    def axes(self, axes: Axes, **own: str) -> Axes:
        """The axes of a record of this arm: `axes`, its direction, `own`, and its sweep's.

        An axis of the sweep that is there already is called `direction_<name>`.
        """
        known = {**axes, "direction": self.planned.direction, **own}
        swept = self.planned.axes.items()
        return {**known, **{f"direction_{k}" if k in known else k: v for k, v in swept}}


def ready_arms(session: Session, work: Generation) -> list[ReadyArm | ArmOutcome]:
    """The arms of an experiment in order: ready to run, or undefined where no direction was found.

    Raises ModelError where an intervention makes no sense on the experiment's model.
    """
    return [ready_arm(session, work, planned) for planned in work.arms]


def ready_arm(session: Session, work: Generation, planned: PlannedArm) -> ReadyArm | ArmOutcome:
    """One arm, likewise."""
    if planned.direction == NO_EDIT:
        return ReadyArm(planned, Arm(planned.label, idle=True), key_of("no edit"))
    direction = session.directions.variant(planned.direction, planned.axes)
    if isinstance(direction, Undefined):
        return ArmOutcome(planned, undefined=direction.reason)
    entry = session.task.interventions[work.experiment]
    model = session.view_model(session.task.spec.experiments[work.experiment].view)
    made = session.directed(entry, direction)
    return ReadyArm(planned, made.arm(planned.label, model), made.fingerprint)


def matching_arm(session: Session, work: Generation, place: int, edits: str) -> ReadyArm:
    """The arm at a place of the plan, whose edits have this hash at the head of the run.

    Raises ModelError where they come out otherwise in this process.
    """
    planned = work.arms[place]
    arm = ready_arm(session, work, planned)
    if not isinstance(arm, ReadyArm) or arm.key != edits:
        raise ModelError(
            f"experiments.{work.experiment}: the edits of {planned.label} come out otherwise in "
            "this process than at the head of the run. All workers need the same models and SAEs. "
            "Copy them, or name a folder that all machines share."
        )
    return arm
