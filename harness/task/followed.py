"""Paths that a reduction follows between both sides of a pair: whether its streams allow them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.task.causes import Misfit

if TYPE_CHECKING:
    from harness.contract import Reads, Stream
    from harness.task.task import Task
    from harness.task.validate import KeyParts

HALF = 4
"""Bytes of a number below which small gradients are lost."""


def unfollowed(task: Task, reads: Reads, at: KeyParts) -> Iterator[Misfit]:
    """Why the paths of a reduction, the entry at `at`, cannot be followed."""
    if not reads.paths:
        return
    for stream in reads.streams:
        yield from _stream(stream, at)
        views = [one for one in (stream.view, stream.right) if one in task.spec.views]
        for view in dict.fromkeys(views):
            yield from _model(task, str(view), at)


def _stream(stream: Stream, at: KeyParts) -> Iterator[Misfit]:
    if stream.right is None:
        yield Misfit(
            at,
            f"follows a path from one model to another, and {stream.view} is one view. Allowed: a "
            "pair. Give it one",
        )
    if stream.pack is not None:
        yield Misfit(
            at,
            f"follows a path by gradients, and its pair packs documents into rows of {stream.pack} "
            "tokens, where each sees those before it. Allowed: a pair without pack. Add one for it",
        )
    if stream.align != "tokens":
        yield Misfit(
            at,
            "puts activations of one side into the model of the other, at all positions, and its "
            f'pair has align = "{stream.align}", whose sides read different prompts. Allowed: '
            'align = "tokens". Add a pair with it',
        )


def _model(task: Task, view: str, at: KeyParts) -> Iterator[Misfit]:
    name = task.spec.views[view].model
    if task.spec.views[view].edit is not None:
        yield Misfit(
            at,
            f"puts activations into the model of view {view}, which is edited while it reads. "
            "Allowed: views without edit. Compare the models themselves",
        )
    size = task.models[name].options.needs().number_bytes
    if size is not None and size < HALF:
        yield Misfit(
            at,
            f"needs gradients, and model {name} computes in numbers of {size} bytes, in which "
            f'small ones are lost. Allowed: float32. Write dtype = "float32" in [models.{name}]',
            ("gradients in half precision", name),
        )
