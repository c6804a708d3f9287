"""Completions under interventions: all arms of an experiment share batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.contract import Answer, Completion, Example, Model, Receipt, Sampling, Tokens
from harness.planning.steps import Generation
from harness.running.experiments.arms import ArmOutcome, ReadyArm, ready_arms
from harness.running.experiments.journal import Journal
from harness.running.experiments.receipts import merged_receipt
from harness.running.progress import Tick
from harness.running.session import Session
from harness.store.keys import key_of


@dataclass(frozen=True)
class _Request:
    """One completion to make: of a prompt, under an arm given by its index."""

    arm: int
    prompt: Tokens
    key: str


def generate(session: Session, work: Generation, journal: Journal, tick: Tick) -> list[ArmOutcome]:
    """Makes the completions of every arm that is defined; those in the journal are not made again.

    Returns one outcome for each arm, in order, with the receipts of earlier runs in it. `tick`
    counts completions.
    """
    spec = session.task.spec.experiments[work.experiment]
    assert spec.data is not None
    model = session.view_model(spec.view)
    prompts = session.prompts.to_answer(spec.view, spec.data)
    sampling = Sampling(**spec.generation.model_dump(), seed=session.task.spec.seed)
    arms = ready_arms(session, work)
    ready = [arm for arm in arms if isinstance(arm, ReadyArm)]
    requests = [
        _Request(index, prompt, key_of(model.fingerprint, sampling.__dict__, arm.key, prompt.ids))
        for index, arm in enumerate(ready)
        for prompt in prompts
    ]
    missing = [one for one in requests if one.key not in journal.completions]
    tick(len(requests) - len(missing))
    for batch in _batches(missing, session.task.spec.batch.generation):
        completions, receipts = _complete(model, ready, batch, sampling)
        journal.add(completions, receipts)
        tick(len(batch))
    examples = session.data.examples(spec.data)
    return [
        arm
        if isinstance(arm, ArmOutcome)
        else _outcome(arm, [one for one in requests if ready[one.arm] is arm], examples, journal)
        for arm in arms
    ]


def _outcome(
    arm: ReadyArm, requests: Sequence[_Request], examples: Sequence[Example], journal: Journal
) -> ArmOutcome:
    answers = tuple(
        Answer(example, one.prompt.text, journal.completions[one.key])
        for example, one in zip(examples, requests, strict=True)
    )
    receipt = merged_receipt(arm.planned.label, journal.receipts.get(arm.key, ()))
    return ArmOutcome(arm.planned, answers, receipt, arm.arm.idle)


def _complete(
    model: Model, ready: Sequence[ReadyArm], batch: Sequence[_Request], sampling: Sampling
) -> tuple[dict[str, Completion], dict[str, Receipt]]:
    """One batch: its completions by key, and a receipt for each arm in it by the arm's key."""
    present = list(dict.fromkeys(one.arm for one in batch))
    tokens = [replace(one.prompt, arm=present.index(one.arm)) for one in batch]
    with model.edited([ready[index].arm for index in present]) as receipts:
        completions = model.generate(tokens, sampling)
    made = dict(zip((one.key for one in batch), completions, strict=True))
    return made, dict(zip((ready[i].key for i in present), receipts, strict=True))


def _batches(requests: Sequence[_Request], size: int) -> Iterator[Sequence[_Request]]:
    """Batches of at most `size`: the arm without edits by itself, prompts of like length
    together."""
    ordered = sorted(requests, key=lambda one: (one.arm > 0, len(one.prompt.ids), one.arm))
    unedited = sum(one.arm == 0 for one in ordered)
    for part in (ordered[:unedited], ordered[unedited:]):
        for start in range(0, len(part), size):
            yield part[start : start + size]
