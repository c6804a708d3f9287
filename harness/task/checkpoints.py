"""A folder of checkpoints as pairs: `[pairs.NAME] from = "run/checkpoint-*"` written out.

What is found becomes plain tables of models, views and pairs, and whatever names the folder names
them; from there on a task is like one that was written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract import BackendOptions
from harness.errors import HarnessError
from harness.task.checkpoint_spec import CheckpointsSpec
from harness.task.components import configured
from harness.task.file import tables
from harness.task.folders import Folder
from harness.task.validate import validated

if TYPE_CHECKING:
    from harness.errors import Problem
    from harness.registry import Registry
    from harness.task.file import KeyPath, Origin, Source

FROM = "from"
AXIS = "checkpoint"
"""The axis that has the step of a checkpoint."""


@dataclass(frozen=True)
class _Found:
    """One checkpoint: where it is, the keys of its model, and its step."""

    place: Path
    keys: Mapping[str, Any]
    step: int


def with_checkpoints(
    source: Source, registry: Registry
) -> tuple[Source, tuple[Folder, ...], list[Problem]]:
    """The source with each folder of checkpoints as models, views and pairs; the folders; and
    what is wrong with them."""
    folders: list[Folder] = []
    problems: list[Problem] = []
    for name, table in list(tables(source.values, "pairs")):
        if not isinstance(table, dict) or FROM not in table:
            continue
        spec, wrong = validated(CheckpointsSpec, table, source, ("pairs", name))
        problems += wrong
        options = _base(source, registry, spec) if spec is not None else None
        if spec is None or options is None:
            # What is wrong with its left side is told there, and nothing else for want of it.
            source = _as_one_pair(source, name, table)
            continue
        found, wrong = _found(source, options, name, spec)
        wrong = wrong or [*_taken(source, name, found)]
        problems += wrong
        prompt = spec.prompt.model_dump(exclude_unset=True) if spec.prompt is not None else None
        absolute = {**table, FROM: str(_pattern(source, name, spec))}
        source = _written(source, name, table, found, {} if prompt is None else {"prompt": prompt})
        folders.append(Folder(name, tuple(f"{name}.{one.step}" for one in found), absolute))
    return source, tuple(folders), problems


# ── What is there ────────────────────────────────────────────────────────────────────────────────


def _pattern(source: Source, name: str, spec: CheckpointsSpec) -> Path:
    """The pattern as an absolute path, beside the file that wrote it."""
    origin = source.origin(("pairs", name, FROM))
    folder = origin.file.parent if origin.file else Path.cwd()
    return folder.absolute() / Path(spec.from_).expanduser()


def _found(
    source: Source, options: BackendOptions, name: str, spec: CheckpointsSpec
) -> tuple[list[_Found], list[Problem]]:
    """The checkpoints in the order of their steps, or what is wrong with them."""
    at = ("pairs", name, FROM)
    pattern = _pattern(source, name, spec)
    try:
        whole = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
        places = sorted(one.resolve() for one in whole if one.is_dir())
    except (OSError, ValueError, RuntimeError, re.error) as error:
        return [], [source.problem(at, f"{spec.from_!r} is no pattern of folders: {error}.")]
    if not places:
        what = (
            f"no folder fits {spec.from_!r}. Allowed: a pattern of folders such as "
            f"'run/checkpoint-*'. Paths are relative to {source.file.parent.absolute()}."
        )
        return [], [source.problem(at, what)]
    found: list[_Found] = []
    problems: list[Problem] = []
    for place in places:
        try:
            one = options.saved_in(place)
        except HarnessError as error:
            problems.append(source.problem(at, str(error)))
            continue
        named = re.search(r"(\d+)$", place.name)
        step = int(named[1]) if one.step is None and named else one.step
        if step is None:
            what = (
                f"checkpoint {place}: nothing says its step. Allowed: what the trainer writes down "
                "(trainer_state.json), or a number at the end of its name. Rename it."
            )
            problems.append(source.problem(at, what))
        elif step % spec.every == 0:
            found.append(_Found(place, one.keys, step))
    found.sort(key=lambda one: one.step)
    problems += [source.problem(at, what) for what in _not_alone(spec, found)]
    if not found and not problems:
        what = f"none of {len(places)} checkpoints is at a multiple of every = {spec.every} steps."
        problems.append(source.problem(("pairs", name, "every"), what))
    return ([], problems) if problems else (found, [])


def _not_alone(spec: CheckpointsSpec, found: Sequence[_Found]) -> Iterator[str]:
    for one, other in pairwise(found):
        if one.step == other.step:
            yield (
                f"{one.place} and {other.place} are both of step {one.step}. Allowed: the "
                "checkpoints of one training. Write a pattern that fits one of them."
            )
    if len(found) > spec.limit:
        yield (
            f"{len(found)} checkpoints fit, limit allows {spec.limit}. Raise limit, or take fewer: "
            f"every = {_every(found, spec.limit)} takes "
            f"{sum(one.step % _every(found, spec.limit) == 0 for one in found)} of them."
        )


def _every(found: Sequence[_Found], most: int) -> int:
    """The smallest multiple of the distance between steps that leaves at most so many of them."""
    steps = [one.step for one in found]
    apart = min((b - a for a, b in pairwise(steps) if b > a), default=1)
    every = apart
    while sum(step % every == 0 for step in steps) > most:
        every += apart
    return every


def _base(source: Source, registry: Registry, spec: CheckpointsSpec) -> BackendOptions | None:
    """The options of the model that the left view looks at, where they are understood."""
    view = dict(tables(source.values, "views")).get(spec.left)
    model = view.get("model") if isinstance(view, dict) else None
    found = configured(source, registry, "models", model) if isinstance(model, str) else None
    options = found.options if found is not None else None
    return options if isinstance(options, BackendOptions) else None


def _taken(source: Source, name: str, found: Sequence[_Found]) -> Iterator[Problem]:
    """Names that the checkpoints would have and the task has given to others."""
    for part in ("models", "views", "pairs"):
        known = dict(tables(source.values, part))
        both = [one for one in found if f"{name}.{one.step}" in known]
        if both:
            what = (
                f"its checkpoint of step {both[0].step} comes to be {part}.{name}.{both[0].step}, "
                "which the task has already. Rename one of the two."
            )
            yield source.problem(("pairs", name), what)


# ── Written out ──────────────────────────────────────────────────────────────────────────────────


def _written(
    source: Source,
    name: str,
    table: Mapping[str, Any],
    found: Sequence[_Found],
    said: Mapping[str, Any],
) -> Source:
    """The source with the checkpoints' tables in the place of the folder's."""
    view = dict(tables(source.values, "views"))[table["left"]]
    base = dict(tables(source.values, "models"))[view["model"]]
    # What a base states of itself (`expect`) holds of its checkpoints, too.
    own = {key: base[key] for key in ("backend", "expect") if key in base}
    spoken = {**({"prompt": view["prompt"]} if "prompt" in view else {}), **said}
    mine = {k: v for k, v in table.items() if k not in _OWN}
    parts: dict[str, dict[str, Any]] = {"models": {}, "views": {}, "pairs": {}}
    origins: dict[KeyPath, Origin] = {
        at: origin for at, origin in source.origins.items() if at[:2] != ("pairs", name)
    }
    for one in found:
        new = f"{name}.{one.step}"
        parts["models"][new] = {**own, **one.keys}
        parts["views"][new] = {"model": new, **spoken}
        axes = {**mine.get("axes", {}), AXIS: one.step}
        parts["pairs"][new] = {**mine, "right": new, "axes": axes}
        origin = source.origin(("pairs", name, FROM))
        origins |= {(part, new): origin for part in parts}
        origins |= {
            ("pairs", new, *at[2:]): here
            for at, here in source.origins.items()
            if at[:2] == ("pairs", name) and len(at) > 2
        }
    values = dict(source.values)
    for part, more in parts.items():
        values[part] = {**_without(values.get(part), name if part == "pairs" else None, more)}
    return replace(source, values=values, origins=origins)


def _as_one_pair(source: Source, name: str, table: Mapping[str, Any]) -> Source:
    """The source with a pair of the left side alone, so that what names it still names one."""
    mine = {key: value for key, value in table.items() if key not in _OWN}
    pairs = {**source.values["pairs"], name: {**mine, "right": table.get("left")}}
    return replace(source, values={**source.values, "pairs": pairs})


_OWN = (FROM, "prompt", "every", "limit", "right")
"""Keys of a folder of checkpoints that its pairs do not have."""


def _without(entries: Any, name: str | None, more: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entries of a table with others in the place of one, or behind the last."""
    given = entries if isinstance(entries, dict) else {}
    if name is None:
        return {**given, **more}
    found: dict[str, Any] = {}
    for key, value in given.items():
        found |= more if key == name else {key: value}
    return found
