"""What `harness plugins` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from harness.contract import Kind
from harness.errors import PluginError, unknown
from harness.registry import Owned, Registry
from harness.safe_text import for_terminal


def list_plugins(registry: Registry) -> str:
    """Every plugin with its version, status and components."""
    lines = []
    for plugin in registry.plugins:
        why = f": {for_terminal(plugin.reason, 300)}" if plugin.reason else ""
        lines.append(
            f"{plugin.name}  ({plugin.distribution} {plugin.version})  {plugin.status}{why}"
        )
        for component in plugin.components:
            kind = component.kind.replace("_", " ")
            name, summary = for_terminal(component.name), for_terminal(component.summary)
            lines.append(f"  {kind:<13} {name:<22} {summary}")
    return "\n".join(lines) or "no plugins are installed"


def show_component(registry: Registry, name: str) -> str:
    """The options of every component called `name`, with types, defaults and what they mean."""
    short = name.rpartition("/")[2]
    found = [
        owned
        for kind in get_args(Kind)
        for owned in registry.of(kind)
        if owned.component.name == short and name in (short, str(owned))
    ]
    if not found:
        names = {o.component.name for kind in get_args(Kind) for o in registry.of(kind)}
        names |= {plugin.name for plugin in registry.plugins}
        if mine := [plugin for plugin in registry.plugins if plugin.name == name]:
            return list_plugins(Registry(tuple(mine)))
        raise PluginError(unknown("component", name, names))
    return "\n\n".join("\n".join(_options(owned)) for owned in found)


def _options(owned: Owned) -> Iterator[str]:
    yield f"{owned}  ({owned.component.kind.replace('_', ' ')})"
    yield f"  {for_terminal(owned.component.summary)}"
    model = owned.options()
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        properties = schema["properties"][name]
        default = (
            "required"
            if field.is_required()
            else json.dumps(field.get_default(call_default_factory=True), default=str)
        )
        yield f"  {name}: {_type(properties)} = {default}"
        if description := properties.get("description"):
            yield f"      {' '.join(description.split())}"


def _type(properties: dict[str, Any]) -> str:
    if "enum" in properties:
        return " | ".join(json.dumps(value) for value in properties["enum"])
    if "const" in properties:
        return json.dumps(properties["const"])
    if "anyOf" in properties:
        return " | ".join(_type(option) for option in properties["anyOf"])
    if properties.get("type") == "array":
        return f"list of {_type(properties.get('items', {}))}"
    return str(properties.get("type", properties.get("$ref", "any")).rpartition("/")[2])
