"""Completions under interventions: all arms of an experiment share batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.contract import (
    Answer,
    Arm,
    Completion,
    Direction,
    Example,
    Intervention,
    Model,
    Receipt,
    SaeIntervention,
    Sampling,
    Tokens,
    Undefined,
)
from harness.planning.steps import Generation, PlannedArm
from harness.running.experiments.journal import Journal, merged_receipt
from harness.running.progress import Tick
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.task import NO_EDIT


@dataclass(frozen=True)
class ReadyArm:
    """An arm whose direction is known: its edits, and a hash of them."""

    planned: PlannedArm
    arm: Arm
    key: str


@dataclass(frozen=True)
class ArmOutcome:
    """What came out of one arm: answers in the order of the data, or why there are none."""

    planned: PlannedArm
    answers: tuple[Answer, ...] = ()
    receipt: Receipt | None = None
    idle: bool = False
    undefined: str | None = None


@dataclass(frozen=True)
class _Row:
    """One completion to make."""

    arm: int
    prompt: Tokens
    key: str


def generate(session: Session, work: Generation, journal: Journal, tick: Tick) -> list[ArmOutcome]:
    """The completions of every arm that is defined; those in the journal are not made again."""
    spec = session.task.spec.experiments[work.experiment]
    assert spec.data is not None
    model = session.view_model(spec.view)
    prompts = session.rendered(spec.view, spec.data)
    sampling = Sampling(**spec.generation.model_dump(), seed=session.task.spec.seed)
    made = ready_arms(session, work)
    ready = [arm for arm in made if isinstance(arm, ReadyArm)]
    rows = [
        _Row(index, prompt, key_of(model.fingerprint, sampling.__dict__, arm.key, prompt.ids))
        for index, arm in enumerate(ready)
        for prompt in prompts
    ]
    tick(len(rows) - len(missing := [row for row in rows if row.key not in journal.completions]))
    for batch in _batches(missing, session.task.spec.batch.generation):
        completions, receipts = _complete(model, ready, batch, sampling)
        journal.add(completions, receipts)
        tick(len(batch))
    examples = session.examples(spec.data)
    outcomes: list[ArmOutcome] = []
    for arm in made:
        if isinstance(arm, ReadyArm):
            mine = [row for row in rows if ready[row.arm] is arm]
            arm = _outcome(arm, mine, examples, journal)
        outcomes.append(arm)
    return outcomes


def ready_arms(session: Session, work: Generation) -> list[ReadyArm | ArmOutcome]:
    """The arms of an experiment: those with a direction ready, the others with their reason."""
    spec = session.task.spec.experiments[work.experiment]
    model = session.view_model(spec.view)
    return [_arm(session, work, planned, model) for planned in work.arms]


def _outcome(
    arm: ReadyArm, rows: Sequence[_Row], examples: Sequence[Example], journal: Journal
) -> ArmOutcome:
    answers = tuple(
        Answer(example, row.prompt.text, journal.completions[row.key])
        for example, row in zip(examples, rows, strict=True)
    )
    receipt = merged_receipt(arm.planned.label, journal.receipts.get(arm.key, ()))
    return ArmOutcome(arm.planned, answers, receipt, arm.arm.idle)


def _arm(
    session: Session, work: Generation, planned: PlannedArm, model: Model
) -> ReadyArm | ArmOutcome:
    if planned.direction == NO_EDIT:
        return ReadyArm(planned, Arm(planned.label, idle=True), key_of("no edit"))
    direction = session.variant(planned.direction, planned.axes)
    if isinstance(direction, Undefined):
        return ArmOutcome(planned, undefined=direction.reason)
    entry = session.task.interventions[work.experiment]
    built = entry.build()
    encoder = ""
    if entry.options.on_sae:
        asked: SaeIntervention = built
        sae = session.sae(direction.sae) if direction.sae is not None else None
        encoder = sae.fingerprint if sae is not None else ""
        arm = asked.arm(planned.label, direction, model.facts, model.dtype, sae)
    else:
        plain: Intervention = built
        arm = plain.arm(planned.label, direction, model.facts, model.dtype)
    owner = entry.owner
    what = [str(owner), owner.plugin.version, entry.options.model_dump(mode="json")]
    return ReadyArm(planned, arm, key_of(what, direction_hash(direction), encoder))


def direction_hash(direction: Direction | Undefined) -> str:
    """A hash of everything that an edit may take from a direction."""
    if isinstance(direction, Undefined):
        return f"undefined: {direction.reason}"
    digest = hashlib.sha256(direction.vectors.astype("<f8").tobytes())
    digest.update(
        repr(
            (str(direction.site), direction.reference_norm, direction.sae, direction.features)
        ).encode()
    )
    return digest.hexdigest()


def _complete(
    model: Model, ready: Sequence[ReadyArm], batch: Sequence[_Row], sampling: Sampling
) -> tuple[dict[str, Completion], dict[str, Receipt]]:
    present = list(dict.fromkeys(row.arm for row in batch))
    tokens = [replace(row.prompt, arm=present.index(row.arm)) for row in batch]
    with model.edited([ready[index].arm for index in present]) as receipts:
        completions = model.generate(tokens, sampling)
    made = dict(zip((row.key for row in batch), completions, strict=True))
    return made, dict(zip((ready[i].key for i in present), receipts, strict=True))


def _batches(rows: Sequence[_Row], size: int) -> Iterator[Sequence[_Row]]:
    """Rows in batches: arms without edits by themselves, prompts of like length together."""
    ordered = sorted(rows, key=lambda row: (row.arm > 0, len(row.prompt.ids), row.arm))
    unedited = sum(row.arm == 0 for row in ordered)
    for part in (ordered[:unedited], ordered[unedited:]):
        for start in range(0, len(part), size):
            yield part[start : start + size]
