"""Writes batches of completions: what any process of a run does for an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.contract import Completion, Model, Receipt, Sampling, Tokens
from harness.planning.plan import Plan
from harness.running.experiments.arms import ReadyArm, matching_arm
from harness.running.experiments.journal import Made
from harness.running.progress import Tick
from harness.running.session import Session


@dataclass(frozen=True)
class Request:
    """One completion to make: of a prompt, under an arm."""

    arm: int
    """The place of the arm in the plan of its experiment."""
    edits: str
    """A hash of the arm's edits and all that they depend on."""
    name: str
    """The key of the arm, in which equal arms are told apart."""
    prompt: Tokens
    key: str
    """A hash of all that the completion depends on."""


@dataclass(frozen=True)
class WriteBatches:
    """Writes batches of an experiment's completions."""

    experiment: str

    def open(
        self, session: Session, plan: Plan, tick: Tick
    ) -> Callable[[Sequence[Request]], list[Made]]:
        """Loads the model; the edits of an arm are made when its first completion is asked for."""
        work = next(one for one in plan.generations if one.experiment == self.experiment)
        spec = session.task.spec.experiments[self.experiment]
        model = session.view_model(spec.view)
        sampling = sampling_of(session, self.experiment)
        ready: dict[int, ReadyArm] = {}

        def write(batch: Sequence[Request]) -> list[Made]:
            for one in batch:
                if one.arm not in ready:
                    ready[one.arm] = matching_arm(session, work, one.arm, one.edits)
            made = _complete(model, ready, batch, sampling)
            tick(len(batch))
            return made

        return write


def sampling_of(session: Session, experiment: str) -> Sampling:
    """How the completions of an experiment are drawn."""
    spec = session.task.spec.experiments[experiment]
    return Sampling(**spec.generation.model_dump(), seed=session.task.spec.seed)


def _complete(
    model: Model, ready: Mapping[int, ReadyArm], batch: Sequence[Request], sampling: Sampling
) -> list[Made]:
    """One batch: for each arm in it, its completions by key and the receipt of its edits."""
    present = list(dict.fromkeys(one.arm for one in batch))
    tokens = [replace(one.prompt, arm=present.index(one.arm)) for one in batch]
    arms = [ready[place].arm for place in present]
    if any(ready[place].edits for place in present):
        with model.edited(arms) as receipts:
            completions = model.generate(tokens, sampling)
    else:  # a model need not be one that can be edited
        receipts = [Receipt(arm.name) for arm in arms]
        completions = model.generate(tokens, sampling)
    made: dict[int, dict[str, Completion]] = {place: {} for place in present}
    for one, completion in zip(batch, completions, strict=True):
        made[one.arm][one.key] = completion
    names = {one.arm: one.name for one in batch}
    return [Made(names[i], made[i], its) for i, its in zip(present, receipts, strict=True)]
