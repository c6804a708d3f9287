"""Finds out what the two models of a draft are, and whether they can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydantic import ValidationError

from harness.contract import JSON, BackendOptions, ModelPlace
from harness.contract.described import fields_of
from harness.errors import UsageError
from harness.registry import Registry
from harness.task.draft.asked import Asked, DraftModel, called, located
from harness.task.spec import ModelSpec

BACKEND: str = fields_of(ModelSpec)["backend"].default
_COMPARABLE = (
    "Allowed: two models of one shape, of which one was made from the other: a base and its "
    "fine-tune, its chat model, or itself with an adapter. Name the base that the tuned one "
    "comes from."
)


def models(registry: Registry, asked: Asked) -> tuple[DraftModel, DraftModel]:
    """The model before and the model after.

    UsageError where one is not there or named twice, and where the two cannot be compared;
    ModelError where the files of one are wrong.
    """
    if (asked.tuned is None) == (asked.adapter is None):
        given = "neither of them" if asked.tuned is None else "both"
        raise UsageError(
            f"TUNED and --adapter: {given} given. Name the tuned model, or its adapter with "
            "--adapter DIR: harness diff BASE TUNED, or harness diff BASE --adapter DIR."
        )
    options = registry.find("backend", BACKEND, ours=True).options()
    assert issubclass(options, BackendOptions)
    before = _placed(options, asked.base, "BASE")
    if before.partial:
        raise UsageError(
            f"BASE {asked.base!r}: is an adapter, and no model. Name the model that it was "
            f"trained on first: harness diff MODEL --adapter {asked.base}."
        )
    place = asked.adapter or asked.tuned or ""
    what = "TUNED" if asked.adapter is None else "--adapter"
    after = _placed(options, place, what, partial=asked.adapter is not None)
    if asked.adapter is not None and not after.partial:
        raise UsageError(f"--adapter {place!r}: the backend {BACKEND} has no adapters.")
    every = dict(asked.every or {})
    base = _described(options, asked.base, {**before.keys, **every}, "BASE")
    keys = {**(before.keys if after.partial else {}), **after.keys, **every}
    tuned = replace(_described(options, place, keys, what), partial=after.partial)
    for why in _apart(base, tuned):
        raise UsageError(f"{base.name} and {tuned.name} cannot be compared: {why} {_COMPARABLE}")
    return base, tuned


def _placed(
    options: type[BackendOptions], text: str, what: str, *, partial: bool = False
) -> ModelPlace:
    place, _ = located(text, what)
    return options.at(place, partial=partial)


def _described(
    options: type[BackendOptions], text: str, keys: Mapping[str, JSON], what: str
) -> DraftModel:
    try:
        given = options(**keys)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or what
        raise UsageError(f"{what} {text!r}: {key}: {first['msg']}.") from None
    given.check()
    return DraftModel(
        called(text), dict(keys), given.describe(), given.names(), located(text, what)[1]
    )


def _apart(base: DraftModel, tuned: DraftModel) -> Iterator[str]:
    """Why the activations of two models mean different things, as far as their files tell."""
    for field, name in (("d_model", "numbers per token"), ("layers", "blocks")):
        one, other = getattr(base.facts, field), getattr(tuned.facts, field)
        if None not in (one, other) and one != other:
            yield f"they have {one} and {other} {name}."
