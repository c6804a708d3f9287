"""Whether SAEs that join several activations fit what uses them: crosscoders, and SAEs of changes.

They read both sides of a pair at once, or several sites of one model; `joins` says in words what
cannot be done with them, and this says where a task tries to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.contract import InterventionOptions, MetricOptions, Reads
from harness.errors import TaskError
from harness.task.causes import Misfit
from harness.task.joins import unfit_metric, unfit_reduction
from harness.task.sizes import sae_width, sae_widths
from harness.task.spec import SaeSpec
from harness.task.task import Entry, Instance, Task
from harness.task.validate import KeyParts


def two_models(task: Task, spec: SaeSpec, at: KeyParts) -> Iterator[Misfit]:
    """An SAE of a pair whose two views are of one model: it was trained on two."""
    if spec.pair is None:
        return
    pair = task.spec.pairs[spec.pair]
    left, right = (task.spec.views[view] for view in (pair.left, pair.right))
    if left.model == right.model:
        yield Misfit(
            (*at, "pair"),
            f"{spec.pair} has {left.model} on both sides, and the SAE was trained on two models. "
            "Allowed: a pair of different models.",
        )


def joined_metric(
    task: Task, entry: Entry[MetricOptions], saes: Iterable[str], paired: bool, at: KeyParts
) -> Iterator[Misfit]:
    """SAEs that join several activations, where a metric cannot measure them.

    `paired` is whether it measures a pair rather than one view.
    """
    for sae in saes:
        facts, of_pair = task.sae_facts(sae), task.of_pair(sae)
        if what := unfit_metric(entry.owner, entry.options, sae, facts, of_pair, paired):
            yield Misfit(at, what)


def joined(task: Task, instance: Instance, reads: Reads, at: KeyParts) -> Iterator[Misfit]:
    """SAEs that join several activations, where the method cannot, or only one side is read.

    Of those of a pair, each side is held against the model that a stream has there.
    """
    for sae in reads.saes:
        facts, of_pair = task.sae_facts(sae), task.of_pair(sae)
        able = instance.options.joined_saes
        if what := unfit_reduction(instance.owner, able, sae, facts, of_pair):
            yield Misfit(at, what)
        elif of_pair:
            yield from _both_sides(task, sae, reads, at)


def _both_sides(task: Task, sae: str, reads: Reads, at: KeyParts) -> Iterator[Misfit]:
    alone = [stream.view for stream in reads.streams if stream.right is None]
    if alone:
        yield Misfit(
            at,
            f"the SAE {sae} reads both sides of a pair at once, and the view {alone[0]} has no "
            "other side. Give it a pair.",
        )
        return
    for stream in reads.streams:
        if {stream.view, stream.right} <= task.spec.views.keys():
            yield from sae_widths(task, [sae], (stream.view, stream.right), at)


def edit_sae(
    task: Task,
    entry: Entry[InterventionOptions],
    directions: Iterable[str],
    model: str,
    at: KeyParts,
) -> Iterator[Misfit]:
    """An edit that runs an SAE, its own or that of its directions, on what one model has at one
    site: an SAE that reads more than that, or an own one of another width."""
    if not entry.options.on_sae:
        return
    own = entry.options.own_sae()
    if own is None:
        for name in directions:
            for sae in _saes_of(task, name):
                if _reads_more(task, sae):
                    yield Misfit(
                        at,
                        f"{entry.owner} encodes what one model has at one site, and the SAE {sae} "
                        f"of {name} reads more than that. Allowed: ablation of the direction, or "
                        "an SAE of one model.",
                    )
    elif _reads_more(task, own):
        yield Misfit(
            at,
            f"{entry.owner} encodes what one model has at one site, and the SAE {own} reads more "
            "than that. Allowed: an SAE of one site of one model.",
        )
    else:
        yield from sae_width(task, own, model, at)


def _reads_more(task: Task, sae: str) -> bool:
    """Whether an SAE reads more than one site of one model."""
    return task.of_pair(sae) or bool(task.sae_facts(sae).inputs)


def _saes_of(task: Task, direction: str) -> Sequence[str]:
    """The SAEs that a direction reads; none where it cannot be said."""
    for instance in task.directions.get(direction, ())[:1]:
        try:
            return instance.options.reads(task).saes
        except TaskError:
            return ()  # reported with the direction
    return ()
