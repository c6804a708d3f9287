"""The laws of a declaration: what holds of every component before it is given anything."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

from pydantic import BaseModel

from harness.authoring.conformance.kinds import asked_of
from harness.authoring.conformance.law import Law, NotTried
from harness.authoring.conformance.lightness import Imports
from harness.registry import Owned
from harness.testing.support.laws import holds


def declared_laws(owned: Owned, imports: Imports) -> Iterator[Law]:
    """The laws, in the order in which they are worth reading."""
    kind = owned.component.kind
    yield Law("declaring the plugin imports nothing heavy", lambda: _light(imports.by()))
    module = owned.component.options.partition(":")[0]
    yield Law("its options import nothing heavy", lambda: _light(imports.by(module)))
    yield Law("it has a summary", lambda: holds(bool(owned.component.summary), "it is empty"))
    yield Law("its options are those of its kind", lambda: _of_its_kind(owned))
    yield Law("every option is described", lambda: _described(owned.options()))
    yield Law("unknown options are errors", lambda: _closed(owned.options()))
    yield Law("its options have a JSON Schema", lambda: _schema(owned.options()))
    yield Law("no option is called like a key of the core", lambda: _no_key_of_the_core(owned))
    if kind in ("section", "export"):
        name = f"{'a section' if kind == 'section' else 'an export'}'s options all have defaults"
        yield Law(name, lambda: _defaults(owned.options()))
    yield Law("what it names can be loaded", lambda: _loaded(owned))
    what = kind.replace("_", " ")
    yield Law(f"it has what the contract asks of its kind ({what})", lambda: _members(owned))


def _light(heavy: list[str]) -> None:
    where = "Import it in the module that `load` names, not in that of the plugin or its options"
    holds(not heavy, f"it imports {', '.join(heavy)}. {where}")


def _of_its_kind(owned: Owned) -> None:
    options = owned.options()
    base = asked_of(owned).options
    holds(issubclass(options, base), f"{options.__name__} is no {base.__name__}")


def _described(options: type[BaseModel]) -> None:
    if not options.model_fields:
        raise NotTried("it has no options")
    missing = [name for name, one in options.model_fields.items() if not one.description]
    holds(bool(options.__dict__.get("__doc__")), f"{options.__name__} has no docstring")
    what = f"{', '.join(missing)}: no docstring below the field. Write what it means, and its unit"
    holds(not missing, what)


def _closed(options: type[BaseModel]) -> None:
    extra = options.model_config.get("extra")
    holds(extra == "forbid", f"extra is {extra!r}, so a typing error would go unnoticed")


def _schema(options: type[BaseModel]) -> None:
    try:
        json.dumps(options.model_json_schema())
    except Exception as error:  # pydantic has one for every reason
        raise AssertionError(str(error)) from error


def _no_key_of_the_core(owned: Owned) -> None:
    table = asked_of(owned).table
    if table is None or not owned.options().model_fields:
        what = "has no options" if table else "is of a kind for which a task has no table"
        raise NotTried(f"it {what}")
    taken = set(owned.options().model_fields) & set(table.model_fields if table else ())
    holds(not taken, f"{', '.join(sorted(taken))}: the core keeps it. Use another name")


def _defaults(options: type[BaseModel]) -> None:
    if not options.model_fields:
        raise NotTried("it has no options")
    required = [name for name, one in options.model_fields.items() if one.is_required()]
    holds(not required, f"{', '.join(required)}: no task gives it")


def _loaded(owned: Owned) -> None:
    found = owned.load()
    holds(isinstance(found, type), f"{owned.component.load} is {found!r:.100}, no class")


def _members(owned: Owned) -> None:
    """Methods with the parameters of the contract; what else an object has, its samples show."""
    found, wrong = owned.load(), []
    for protocol in asked_of(owned).protocols:
        missing = [what for name in _methods(protocol) if (what := _misfit(found, protocol, name))]
        if not missing:
            return
        wrong += missing
    holds(False, "; ".join(dict.fromkeys(wrong)))


def _methods(protocol: type) -> list[str]:
    return [name for name, one in vars(protocol).items() if callable(one) and name[0] != "_"]


def _misfit(found: type, protocol: type, name: str) -> str:
    """What is wrong with a method; empty where nothing is."""
    method = getattr(found, name, None)
    if not callable(method):
        return f"{found.__name__} has no method {name}"
    wanted = inspect.signature(getattr(protocol, name)).parameters
    try:
        inspect.signature(method).bind(*wanted)
    except TypeError:
        mine = f"{name}{inspect.signature(method)}"
        return f"{mine} does not take what {protocol.__name__} gives: {', '.join(wanted)}"
    return ""
