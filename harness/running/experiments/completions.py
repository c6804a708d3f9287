"""Completions under interventions: all arms of an experiment share batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import chain

from harness.contract import (
    Answer,
    Completion,
    Example,
    OneByOne,
    Receipt,
    Sampling,
    Tokens,
)
from harness.planning.steps import Generation
from harness.running.experiments.arms import ArmOutcome, ReadyArm, ready_arms
from harness.running.experiments.batch import Request, WriteBatches, sampling_of
from harness.running.experiments.journal import Journal, Made
from harness.running.experiments.receipts import merged_receipt
from harness.running.experiments.shelf import Shelf
from harness.running.progress import Tick
from harness.running.sameness import Sameness
from harness.running.session import Session
from harness.running.spread.team import Team
from harness.store.keys import apart, key_of


@dataclass(frozen=True)
class CompletionKey:
    """All that a completion depends on. `str` of it is its hash."""

    model: str
    """A hash of the model and of the backend that runs it."""
    sampling: Sampling
    arm: str
    """The edits with their direction; equal arms are told apart."""
    prompt: Sequence[int]
    """Its token ids."""
    row: str | None
    """The id of the row where completions are drawn, else None."""

    def __str__(self) -> str:
        # `astuple` of it all would copy the prompt token by token.
        return key_of(*{**vars(self), "sampling": astuple(self.sampling)}.values())


def generate(
    session: Session, team: Team, work: Generation, journal: Journal, tick: Tick
) -> list[ArmOutcome]:
    """Makes the completions of every arm that is defined; those in the journal are not made again.

    Returns one outcome for each arm, in order, with the receipts of earlier runs in it. `tick`
    counts completions. Raises InvalidRun where different rows have all become one prompt.
    """
    spec = session.task.spec.experiments[work.experiment]
    assert spec.data is not None
    model = session.view_model(spec.view)
    written = session.prompts.answered(spec.view, spec.data)
    rows, prompts = written.rows, written.sides[0]
    seen = Sameness(spec.view, spec.data)
    for example, prompt in zip(rows, prompts, strict=True):
        seen.see(example, prompt)
    seen.check()
    sampling = sampling_of(session, work.experiment)
    arms = ready_arms(session, work)
    ready = {place: arm for place, arm in enumerate(arms) if isinstance(arm, ReadyArm)}
    requests = list(_requests(session.fingerprint(spec.view), sampling, ready, prompts))
    shelf = Shelf(session, work.experiment, sampling)
    by_arm = _by_arm(requests)
    known = journal.keep(
        {name: [one.key for one in some] for name, some in by_arm},
        chain.from_iterable(shelf.made(name) for name, _ in by_arm),
    )
    if known:
        session.taken["completions"] += known
    alone = {place for place, arm in ready.items() if isinstance(model, OneByOne) and not arm.edits}
    singly = [one for one in requests if one.arm in alone and one.key not in journal.completions]
    size = session.task.spec.batch.generation
    batches = list(to_make([one for one in requests if one.arm not in alone], size, journal))
    tick(len(requests) - len(singly) - sum(map(len, batches)))
    if isinstance(model, OneByOne):
        _complete_each(model, ready, singly, sampling, journal, tick)
    for _, made in team.map(WriteBatches(work.experiment), batches, tick):
        # Of a batch that is made again, what is known already came out the same.
        new = [one for one in made if not one.completions.keys() <= journal.completions.keys()]
        journal.add_soon(new)
        shelf.keep(new)
    return [
        arm
        if isinstance(arm, ArmOutcome)
        else _outcome(arm, [one for one in requests if one.arm == place], rows, journal)
        for place, arm in enumerate(arms)
    ]


def _outcome(
    arm: ReadyArm, requests: Sequence[Request], examples: Sequence[Example], journal: Journal
) -> ArmOutcome:
    answers = tuple(
        Answer(example, one.prompt.text, journal.completions[one.key])
        for example, one in zip(examples, requests, strict=True)
    )
    receipts = journal.receipts.get(requests[0].name, ()) if requests else ()
    receipt = merged_receipt(arm.planned.label, receipts)
    return ArmOutcome(arm.planned, answers, receipt, arm.arm.idle, arm.arm.gated)


def _requests(
    model: str, sampling: Sampling, ready: Mapping[int, ReadyArm], prompts: Sequence[Tokens]
) -> Iterator[Request]:
    """Every completion of every arm, each under a key of its own: also of equal arms and prompts.

    `model` is a hash of the model and its backend. Luck goes by the row beside the prompt, so that
    the row counts where completions are drawn.
    """
    drawn = sampling.temperature > 0
    names = apart(arm.key for arm in ready.values())
    for (place, arm), name in zip(ready.items(), names, strict=True):
        keys = apart(
            str(CompletionKey(model, sampling, name, one.ids, one.example if drawn else None))
            for one in prompts
        )
        for prompt, key in zip(prompts, keys, strict=True):
            yield Request(place, arm.key, name, prompt, key)


def _by_arm(requests: Sequence[Request]) -> list[tuple[str, list[Request]]]:
    found: dict[str, list[Request]] = {}
    for one in requests:
        found.setdefault(one.name, []).append(one)
    return list(found.items())


def _complete_each(
    model: OneByOne,
    ready: Mapping[int, ReadyArm],
    requests: Sequence[Request],
    sampling: Sampling,
    journal: Journal,
    tick: Tick,
) -> None:
    """Completions without edits, each in the journal as soon as it is there.

    They stay in the run's folder, and go into no cache that other runs share: what a server serves
    under a name may be another model tomorrow.
    """

    def keep(index: int, completion: Completion) -> None:
        one = requests[index]
        made = Made(one.name, {one.key: completion}, Receipt(ready[one.arm].arm.name))
        journal.add([made])
        tick(1)

    if requests:
        prompts = [replace(one.prompt, arm=0) for one in requests]
        model.generate_each(prompts, sampling, keep)


def to_make(
    requests: Sequence[Request], size: int, journal: Journal
) -> Iterator[Sequence[Request]]:
    """The batches that hold what the journal does not.

    Batches are those of a run that knows nothing, and one of which an arm was lost is made again
    whole: how far an edit moves an activation hangs, in its last digits, on what else is in the
    batch. Where other batches made what is known, as of a run over fewer prompts, only what is
    missing is made.
    """
    scattered: list[Request] = []
    for batch in _batches(requests, size):
        missing = [one for one in batch if one.key not in journal.completions]
        if missing and _is_known_by_arms(batch, journal):
            yield batch
        else:
            scattered += missing
    yield from _batches(scattered, size)


def _is_known_by_arms(batch: Sequence[Request], journal: Journal) -> bool:
    """Whether of each arm in a batch either nothing is known, or what such a batch has made."""
    arms: dict[str, set[str]] = {}
    for one in batch:
        arms.setdefault(one.name, set()).add(one.key)
    return all(
        journal.made_with(key) in (frozenset(), keys) for keys in arms.values() for key in keys
    )


def _batches(requests: Sequence[Request], size: int) -> Iterator[Sequence[Request]]:
    """Batches of at most `size`: the arm without edits by itself, prompts of like length
    together."""
    ordered = sorted(requests, key=lambda one: (one.arm > 0, len(one.prompt.ids), one.arm))
    unedited = sum(one.arm == 0 for one in ordered)
    for part in (ordered[:unedited], ordered[unedited:]):
        for start in range(0, len(part), size):
            yield part[start : start + size]
