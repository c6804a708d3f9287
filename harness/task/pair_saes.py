"""Whether SAEs that join several activations fit what uses them: crosscoders, and SAEs of changes.

They read both sides of a pair at once, or several sites of one model; `joins` says in words what
cannot be done with them, and this says where a task tries to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from harness.errors import TaskError
from harness.task.causes import Misfit
from harness.task.joins import unfit_metric, unfit_reduction, unrebuilt
from harness.task.sizes import sae_width, sae_widths

if TYPE_CHECKING:
    from harness.contract import InterventionOptions, MetricOptions, Reads, Stream
    from harness.task.task import Entry, Instance, Task
    from harness.task.validate import KeyParts


def two_models(task: Task, sae: str, at: KeyParts) -> Iterator[Misfit]:
    """An SAE of a pair whose two views are of one model, or not of those it was trained on."""
    spec = task.spec.saes[sae]
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
    elif what := task.paired_elsewhere(sae):
        yield Misfit((*at, "pair"), what)


def joined_metric(
    task: Task, entry: Entry[MetricOptions], saes: Iterable[str], stream: Stream, at: KeyParts
) -> Iterator[Misfit]:
    """SAEs that join several activations, where a metric cannot measure them on `stream`."""
    for sae in saes:
        facts, of_pair = task.sae_facts(sae), task.of_pair(sae)
        paired = stream.right is not None
        what = unfit_metric(entry.owner, entry.options, sae, facts, of_pair, paired)
        if what := what or unrebuilt(entry.owner, entry.options, sae, facts):
            yield Misfit(at, what)
        elif of_pair and entry.options.on_sae and stream.right is not None:
            yield from _viewed(task, sae, (stream.view, stream.right), at)


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
        views = (stream.view, str(stream.right))
        if set(views) <= task.spec.views.keys():
            yield from sae_widths(task, [sae], views, at)
            yield from _viewed(task, sae, views, at)


def _viewed(task: Task, sae: str, views: tuple[str, str], at: KeyParts) -> Iterator[Misfit]:
    """Two views, left and right, whose models are not those that an SAE of a pair reads."""
    left, right = (task.spec.views[view].model for view in views)
    yield from _its_models(task, sae, (left, right), at)


def _its_models(task: Task, sae: str, found: tuple[str, str], at: KeyParts) -> Iterator[Misfit]:
    """Two models, left and right, that are not those of the pair that an SAE was trained on."""
    mine = task.sae_models(sae)
    if all(_same(task, *both) for both in zip(mine, found, strict=True)):
        return
    turned = all(_same(task, *both) for both in zip(mine, found[::-1], strict=True))
    hint = "Turn the two round." if turned else "Use views of these two models, or another SAE."
    yield Misfit(
        at,
        f"the SAE {sae} was trained on {mine[0]} (left) and {mine[1]} (right), the models of pair "
        f"{task.spec.saes[sae].pair}, and here {found[0]} is on the left and {found[1]} on the "
        f"right. Allowed: {mine[0]} on the left and {mine[1]} on the right. {hint}",
    )


def _same(task: Task, one: str, other: str) -> bool:
    """Whether two models of a task are one, perhaps in two dtypes: they lie at the same place."""
    mine, theirs = (task.models[name].options for name in (one, other))
    told = [(options.names(), options.adapted_from()) for options in (mine, theirs)]
    return one == other or (bool(told[0][0]) and told[0] == told[1])


def edit_sae(
    task: Task,
    entry: Entry[InterventionOptions],
    directions: Iterable[str],
    model: str,
    at: KeyParts,
) -> Iterator[Misfit]:
    """An edit that runs an SAE, its own or that of its directions, on what one model has at one
    site: an SAE that reads more than that, or an own one of another width. One that has another
    view beside it may run an SAE of a pair, of the same two models."""
    if not entry.options.on_sae:
        return
    own, side = entry.options.own_sae(), entry.options.own_side()
    if own is None:
        for name in directions:
            for sae in _saes_of(task, name):
                if side is not None and task.of_pair(sae):
                    yield from _edited_pair(task, entry, sae, model, side, at)
                elif _reads_more(task, sae):
                    yield Misfit(
                        at,
                        f"{entry.owner} encodes what one model has at one site, and the SAE {sae} "
                        f"of {name} reads more than that. Allowed: ablation of the direction, or "
                        "an SAE of one model.",
                    )
    elif side is not None and task.of_pair(own):
        yield from _edited_pair(task, entry, own, model, side, at)
    elif _reads_more(task, own):
        yield Misfit(
            at,
            f"{entry.owner} encodes what one model has at one site, and the SAE {own} reads more "
            "than that. Allowed: an SAE of one site of one model.",
        )
    else:
        yield from sae_width(task, own, model, at)


def _edited_pair(
    task: Task,
    entry: Entry[InterventionOptions],
    sae: str,
    model: str,
    side: Literal["left", "right"],
    at: KeyParts,
) -> Iterator[Misfit]:
    """An edit that runs an SAE of a pair on its view, which is `side`, and on the one beside it."""
    view = entry.options.beside()
    if view not in task.spec.views:
        return  # said where references are checked
    across = task.spec.views[view].model
    yield from _its_models(task, sae, (model, across) if side == "left" else (across, model), at)


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
