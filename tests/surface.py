"""The public surface of the contract as plain data, and what of an earlier one is broken.

`python tests/surface.py > tests/contract/contract-1.0.json` writes it anew. Do that when
something was added that is to be held from now on, never to get rid of a failure: what fails is a
promise to people who have published plugins.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import harness.contract
import harness.testing
from harness.authoring.conformance.kinds import BENCHMARK, KINDS

FILE = Path(__file__).parent / "contract" / "contract-1.0.json"
REQUIRED = "required"
Surface = dict[str, dict[str, Any]]
MODULES = (harness.contract, harness.testing)
PLAIN = {"annotations", "TYPE_CHECKING", "Any", "importlib", "pkgutil"}
"""Names in these modules that are not theirs."""


def surface() -> Surface:
    """By `module.name`, what stands there: a class with its members, a function, a value."""
    found = {}
    for module in MODULES:
        names = {*dir(module), *(["Latents"] if module is harness.contract else [])}
        for name in sorted(names - PLAIN):
            one = getattr(module, name)
            if name[0] != "_" and not inspect.ismodule(one):
                found[f"{module.__name__}.{name}"] = described(one)
    return found


def described(one: Any) -> dict[str, Any]:
    """One public object."""
    if inspect.isclass(one):
        return {
            "is": "class",
            "fields": fields(one),
            "order": order(one),
            "methods": methods(one),
        }
    if inspect.isfunction(one):
        return {"is": "function", "parameters": parameters(one), "returns": returns(one)}
    if get_origin(one) is not None:
        kind = shown(get_origin(one))
        values = [re.sub(r"\((?!table=).*", "", shown(value)) for value in get_args(one)]
        return {"is": "type", "type": f"{kind} of {', '.join(values)}", "values": values}
    return {"is": "value", "type": type(one).__name__}


def fields(cls: type) -> dict[str, dict[str, str]]:
    """What an object of the class has, those of its bases too: type, and default or `required`."""
    found = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("harness."):
            continue
        for name, kind in vars(base).get("__annotations__", {}).items():
            if name == "model_fields":  # pydantic's own
                continue
            if name[0] != "_":
                found[name] = {"type": str(kind), "default": default(cls, name)}
    return found


def order(cls: type) -> list[str]:
    """The fields of a dataclass that may be given without their names, in order."""
    made = dict(getattr(cls, "__dataclass_fields__", {}))
    return [name for name, one in made.items() if one.init and not one.kw_only]


def default(cls: type, name: str) -> str:
    """The default of a field as text; `required` where there is none."""
    made = dict(getattr(cls, "__dataclass_fields__", {})).get(name)
    if made is not None and made.default_factory is not dataclasses.MISSING:
        return f"{made.default_factory.__name__}()"
    if made is not None and made.default is not dataclasses.MISSING:
        return shown(made.default)
    model = dict(getattr(cls, "model_fields", {})).get(name)
    if model is not None:
        return REQUIRED if model.is_required() else shown(model.get_default())
    if made is not None:
        return REQUIRED
    own = [shown(vars(base)[name]) for base in cls.__mro__ if name in vars(base)]
    return own[0] if own else REQUIRED


def shown(value: Any) -> str:
    """A default as text, without what differs between two processes."""
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    named = getattr(value, "__name__", None) if callable(value) else None
    return named or re.sub(r" at 0x\w+", "", repr(value))


def methods(cls: type) -> dict[str, dict[str, Any]]:
    """The public methods and properties that the harness defines, its bases' too."""
    found: dict[str, dict[str, Any]] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("harness."):
            continue
        for name, one in list(vars(base).items()):
            inner = getattr(one, "__func__", one)
            if name[0] == "_" or name == "model_config":
                continue
            if isinstance(one, property):
                found[name] = {"is": "property", "returns": returns(one.fget)}
            elif inspect.isfunction(inner):
                found[name] = {
                    "is": type(one).__name__ if inner is not one else "method",
                    "parameters": parameters(inner),
                    "returns": returns(inner),
                }
    return found


def parameters(function: Any) -> list[dict[str, str]]:
    """Each parameter: name, how it is passed, type, and default or `required`."""
    return [
        {
            "name": one.name,
            "passed": str(one.kind.description),
            "type": "" if one.annotation is one.empty else str(one.annotation),
            "default": REQUIRED if one.default is one.empty else shown(one.default),
        }
        for one in inspect.signature(function).parameters.values()
    ]


def returns(function: Any) -> str:
    """The annotation of what comes back."""
    return str(function.__annotations__.get("return", ""))


# ── What is broken ───────────────────────────────────────────────────────────────────────────────


def broken(before: Surface, now: Surface) -> Iterator[str]:
    """A sentence for each thing that a plugin may rely on and that is gone, or is another one."""
    for name, old in before.items():
        new = now.get(name)
        if new is None:
            yield f"{name} is gone. Keep the name."
        elif old["is"] != new["is"]:
            yield f"{name} was a {old['is']} and is a {new['is']}."
        elif old["is"] == "class":
            if old["order"] != new["order"][: len(old["order"])]:
                what = f"{', '.join(new['order'])}, after {', '.join(old['order'])}"
                yield f"{name}: its fields stand in another order: {what}. Add new ones at the end."
            yield from _fields(name, old["fields"], new["fields"])
            yield from _methods(name, old["methods"], new["methods"])
        elif old["is"] == "function":
            yield from _signature(name, old, new)
        elif old.get("values"):
            gone = sorted(set(old["values"]) - set(new["values"]))
            if gone:
                yield f"{name} no longer has {', '.join(gone)}."


def _fields(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name, was in old.items():
        now = new.get(name)
        if now is None:
            yield f"{where}.{name} is gone. Keep the field."
            continue
        if not grown(was["type"], now["type"]):
            yield f"{where}.{name} was {was['type']} and is {now['type']}."
        if was["default"] not in (REQUIRED, now["default"]):
            yield f"{where}.{name} had the default {was['default']} and has {now['default']}."
    for name in new.keys() - old.keys():
        if new[name]["default"] == REQUIRED:
            yield f"{where}.{name} is new and has no default: what was written before lacks it."


def _methods(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name, was in old.items():
        now = new.get(name)
        if now is None:
            yield f"{where}.{name} is gone. Keep the method."
        elif was["is"] != now["is"]:
            yield f"{where}.{name} was a {was['is']} and is a {now['is']}."
        elif "parameters" in was:
            yield from _signature(f"{where}.{name}", was, now)
        elif not grown(was["returns"], now["returns"]):
            yield f"{where}.{name} was {was['returns']} and is {now['returns']}."
    if where in IMPLEMENTED:
        for name in new.keys() - old.keys():
            yield (
                f"{where}.{name} is new, and published plugins do not have it. Write a protocol of "
                "its own for it, as `Calibrated` is one."
            )


def _signature(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    now = {one["name"]: (place, one) for place, one in enumerate(new["parameters"])}
    for place, was in enumerate(old["parameters"]):
        there, one = now.get(was["name"], (place, None))
        if one is None:
            yield f"{where}: the parameter {was['name']} is gone. Keep it."
            continue
        if was["passed"] != one["passed"] or ("keyword" not in was["passed"] and there != place):
            yield f"{where}: the parameter {was['name']} is passed in another way."
        if "positional" in was["passed"] and there != place:
            yield f"{where}: the parameter {was['name']} stands in another place."
        if not grown(was["type"], one["type"]):
            yield f"{where}: {was['name']} was {was['type']} and is {one['type']}."
        if was["default"] not in (REQUIRED, one["default"]):
            yield (
                f"{where}: {was['name']} had the default {was['default']} and has {one['default']}."
            )
    before = {one["name"] for one in old["parameters"]}
    for name, (_, one) in now.items():
        if name not in before and one["default"] == REQUIRED and "variadic" not in one["passed"]:
            yield f"{where}: {name} is new and has no default: calls of before lack it."
    if not grown(old["returns"], new["returns"]):
        yield f"{where} gave {old['returns']} and gives {new['returns']}."


def grown(old: str, new: str) -> bool:
    """Whether a type allows all that an earlier one did: it is the same, or a wider union."""
    return _alternatives(old) <= _alternatives(new)


def _alternatives(text: str) -> set[str]:
    """The members of a union, and the values of a `Literal` in it."""
    found, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "[(") - (letter in "])")
        if letter == "|" and not depth:
            found.append(text[start:place].strip())
            start = place + 1
    found.append(text[start:].strip())
    members: set[str] = set()
    for one in found:
        inside = re.fullmatch(r"Literal\[(.*)\]", one, re.DOTALL)
        members |= {f"= {value.strip()}" for value in inside[1].split(",")} if inside else {one}
    return members


IMPLEMENTED = {
    f"harness.contract.{protocol.__name__}"
    for asked in (*KINDS.values(), BENCHMARK)
    for protocol in asked.protocols
}
"""Protocols of which `harness plugins check` asks every member."""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(surface(), indent=1, sort_keys=True) + "\n")
