"""What `harness plugins` prints: plugins with their components, components with their options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from harness.contract import Component, Kind
from harness.errors import PluginError, unknown
from harness.registry import Owned, Plugin, Registry
from harness.text import for_terminal

_LONGEST = 2000
"""Characters of what a plugin says of an option that are shown."""


def list_plugins(registry: Registry) -> str:
    """One line for each plugin, with version and status, and one for each of its components."""
    lines = []
    for plugin in registry.plugins:
        lines.append(_heading(plugin))
        lines += [_line(component) for component in plugin.components]
    return "\n".join(lines) or "no plugins are installed"


def show(registry: Registry, name: str) -> str:
    """The text about `name`: a kind lists its components, a plugin what it provides, a component
    its options. PluginError where nothing is called so."""
    if name.replace("-", "_") in get_args(Kind):
        owners = registry.of(name.replace("-", "_"))  # type: ignore[arg-type]
        return "\n".join(f"{_line(one.component)}  ({one.plugin.name})" for one in owners)
    if plugins := tuple(plugin for plugin in registry.plugins if plugin.name == name):
        return list_plugins(Registry(plugins))
    return "\n\n".join("\n".join(_shown(owned)) for owned in components(registry, name))


def components(registry: Registry, name: str) -> list[Owned]:
    """The components called `name` or `plugin/name`, of any kind, or all of the plugin `name`.

    Raises PluginError where there is none, and for a plugin that cannot be used.
    """
    for plugin in registry.plugins:
        if plugin.name in (name, name.partition("/")[0]) and plugin.status != "ready":
            raise PluginError(f"{plugin.name} is {plugin.status}: {plugin.reason}.")
    everything = [owned for kind in get_args(Kind) for owned in registry.of(kind)]
    found = [one for one in everything if name in (one.component.name, str(one), one.plugin.name)]
    if not found:
        names = {one.component.name for one in everything}
        raise PluginError(
            unknown("component", name, names | {plugin.name for plugin in registry.plugins})
        )
    return found


def _heading(plugin: Plugin) -> str:
    why = f": {for_terminal(plugin.reason, 300)}" if plugin.reason else ""
    origin = for_terminal(f"{plugin.distribution} {plugin.version}")
    return f"{for_terminal(plugin.name)}  ({origin})  {plugin.status}{why}"


def _line(component: Component) -> str:
    kind = component.kind.replace("_", " ")
    name, summary = for_terminal(component.name), for_terminal(component.summary)
    return f"  {kind:<13} {name:<22} {summary}"


def _shown(owned: Owned) -> Iterator[str]:
    yield f"{owned}  ({owned.component.kind.replace('_', ' ')})"
    yield f"  {for_terminal(owned.component.summary)}"
    model = owned.options()
    schema = model.model_json_schema()
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in model.model_fields.items()
        if not field.is_required()
    }
    yield from _options(schema, schema.get("$defs", {}), defaults, "  ", ())


def _options(
    schema: dict[str, Any],
    models: dict[str, Any],
    defaults: dict[str, Any],
    indent: str,
    inside: Sequence[str],
) -> Iterator[str]:
    """A line for each option, what it means, and below it those of a table that it holds."""
    for name, about in schema.get("properties", {}).items():
        default = "required"
        if name in defaults:
            default = json.dumps(defaults[name], default=_plain)
        elif name not in schema.get("required", ()):
            default = json.dumps(about.get("default"))
        yield f"{indent}{for_terminal(f'{name}: {_type(about, models)} = {default}', _LONGEST)}"
        if description := about.get("description"):
            yield f"{indent}    {for_terminal(' '.join(description.split()), _LONGEST)}"
        for inner in _models(about):
            if inner not in inside and "properties" in models[inner]:
                yield f"{indent}    {inner}:"
                deeper = (*inside, inner)
                yield from _options(models[inner], models, {}, f"{indent}      ", deeper)


def _models(about: dict[str, Any]) -> list[str]:
    """The models that a value of this type may hold."""
    found = [about["$ref"].rpartition("/")[2]] if "$ref" in about else []
    items, values = about.get("items"), about.get("additionalProperties")
    parts = [*about.get("anyOf", ()), *about.get("allOf", ()), *about.get("oneOf", ())]
    parts += [one for one in (items, values) if isinstance(one, dict)]
    return list(dict.fromkeys([*found, *(name for one in parts for name in _models(one))]))


def _type(about: dict[str, Any], models: dict[str, Any]) -> str:
    if "enum" in about:
        return " | ".join(json.dumps(value) for value in about["enum"])
    if "const" in about:
        return json.dumps(about["const"])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in about:
            return " | ".join(dict.fromkeys(_type(option, models) for option in about[union]))
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        inner = models.get(name, {})
        return name if "properties" in inner else _type(inner, models) if inner else name
    match about.get("type"):
        case "array":
            return f"list of {_type(about.get('items', {}), models)}"
        case "object":
            values = about.get("additionalProperties")
            return f"table of {_type(values, models)}" if isinstance(values, dict) else "table"
        case kind:
            return str(kind or "any")


def _plain(value: Any) -> Any:
    """A default as a task would write it."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)
