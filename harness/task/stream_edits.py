"""Edits that directions and statistics put on what they read: resolved, and held against the task.

Which there are, only the options of a reduction tell, once the facts of the models are known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.contract import Ref
from harness.errors import PluginError, TaskError, unknown
from harness.task.causes import Misfit
from harness.task.pair_saes import edit_sae
from harness.task.task import Entry, edit_key
from harness.task.validate import marks, words

if TYPE_CHECKING:
    from harness.contract import InterventionOptions, Stream, StreamEdit
    from harness.errors import Problem
    from harness.registry import Registry
    from harness.task.task import Instance, Task
    from harness.task.validate import KeyParts


def with_stream_edits(task: Task, registry: Registry) -> tuple[Task, list[Problem]]:
    """The task with the interventions of all edits of streams, and what is wrong with these.

    Of a task in which everything else fits.
    """
    found: dict[tuple[object, ...], Entry[InterventionOptions]] = {}
    wrong: dict[tuple[object, ...], Misfit] = {}
    for instance in task.instances:
        at = (instance.table, instance.entry)
        for stream in edited_streams(task, instance):
            assert stream.edit is not None
            key = edit_key(stream.edit)
            if key in found or key in wrong:
                continue
            made = _entry(stream.edit, registry)
            if isinstance(made, str):
                wrong[key] = Misfit(at, made)
                continue
            found[key] = made
            if unfit := next(_unfit(task, made, stream, at), None):
                wrong[key] = unfit
    problems = [task.source.problem(one.at, one.what) for one in wrong.values()]
    return replace(task, stream_edits=found), problems


def edited_streams(task: Task, instance: Instance) -> Sequence[Stream]:
    """The streams of a reduction that are read under an edit; none where its options are wrong,
    which is said where reductions are checked."""
    try:
        streams = instance.options.reads(task).streams
    except TaskError:
        return ()
    return [stream for stream in streams if stream.edit is not None]


def unfit_edits(task: Task, instance: Instance) -> Iterator[Misfit]:
    """What of the edits of a reduction's streams does not fit: each mistake once."""
    at = (instance.table, instance.entry)
    streams = edited_streams(task, instance)
    views = {view for stream in streams for view in (stream.view, stream.right) if view is not None}
    for view in sorted(views):
        if task.edited_by(view):
            yield Misfit(
                at,
                f"edits what {view} reads, and {view} is edited already. Allowed: a view without "
                "an edit of its own. Give its model one.",
            )
    if streams and instance.options.reads(task).paths:
        yield Misfit(
            at,
            "edits streams and follows paths of gradients through them. Allowed: one of both. "
            "Make two reductions of it.",
        )
    for edit in dict.fromkeys(stream.edit for stream in streams):
        if edit is not None:
            yield from _direction(task, edit, at)


def _entry(edit: StreamEdit, registry: Registry) -> Entry[InterventionOptions] | str:
    """The intervention of an edit with its options, or what is wrong with it."""
    try:
        owner = registry.find("intervention", edit.method, ours=True)
        model: Any = owner.options()
    except PluginError as error:
        return str(error)
    try:
        text = json.dumps(dict(edit.options))
        options = model.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{edit.method}: {where}: {first['msg']}."
    return Entry(edit.method, owner, options)


def _direction(task: Task, edit: StreamEdit, at: KeyParts) -> Iterator[Misfit]:
    """An edit with a direction that the task does not have, or with none of its variants."""
    if edit.direction not in task.directions:
        yield Misfit(at, unknown("direction", edit.direction, task.directions), edit.direction)
        return
    variants = [one for made in task.directions[edit.direction] for one in made.variants(task)]
    if dict(edit.axes) not in variants:
        yield Misfit(
            at,
            f"{edit.direction} has no variant {dict(edit.axes)}. Allowed: a direction that is not "
            "swept, with the variants that its own options tell. Remove its sweep.",
            ("variants", edit.direction),
        )


def _unfit(
    task: Task, entry: Entry[InterventionOptions], stream: Stream, at: KeyParts
) -> Iterator[Misfit]:
    """Why an intervention cannot act on a stream."""
    if entry.options.beside() is not None:
        yield Misfit(
            at,
            f"{entry.owner} needs another view's activations of the same tokens, which the edit of "
            "a stream does not have. Allowed: interventions that need a direction alone.",
        )
    for key, mark in marks(type(entry.options)):
        table = mark.table if isinstance(mark, Ref) else None
        known = getattr(task.spec, table, {}) if table is not None else {}
        for word in words(getattr(entry.options, key)) if table is not None else ():
            if word not in known:
                yield Misfit(at, unknown(f"entry of {table}", word, known))
                return
    assert stream.edit is not None
    model = task.spec.views[stream.right or stream.view].model
    yield from edit_sae(task, entry, (stream.edit.direction,), model, at)
