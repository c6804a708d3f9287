"""The JSON Schema of the task language, with the options of every installed plugin, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import PluginError
from harness.task import spec
from harness.task.checkpoint_spec import CheckpointsSpec
from harness.task.spec import PairSpec, TaskSpec

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.task.tables import PluginSpec

_TABLES: tuple[type[PluginSpec], ...] = (
    spec.ModelSpec,
    spec.SaeSpec,
    spec.DirectionSpec,
    spec.MetricSpec,
    spec.StatisticSpec,
    spec.InterventionSpec,
    spec.EditSpec,
    spec.EvaluatorSpec,
    spec.LabelsSpec,
    spec.AnalysisSpec,
    spec.ObserverSpec,
    spec.ExecutorSpec,
)
"""The tables that hold a component's options, in the order in which their options are defined."""


def task_schema(registry: Registry) -> dict[str, Any]:
    """Builds the JSON Schema (2020-12) of task files, with the options of all usable plugins."""
    schema = TaskSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "sae-harness task"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "A task file to inherit from: tables merge, lists replace, false removes.",
    }
    # With `extends`, anything may be inherited, and any inherited table removed with `= false`;
    # what is missing in the end, `harness check` says.
    schema.pop("required", None)
    definitions = schema.setdefault("$defs", {})
    _add_folders(schema["properties"]["pairs"], definitions)
    core = list(definitions.values())
    for own in _TABLES:
        _add_options(definitions, registry, own)
    for definition in core:
        definition.pop("required", None)
    for name, table in schema["properties"].items():
        for inside in ("patternProperties", "additionalProperties"):
            if isinstance(entries := table.get(inside), dict):
                table[inside] = _removable(entries, inside == "patternProperties")
        if table.get("type") == "object" or "$ref" in str(table):
            described = {key: table[key] for key in ("description", "default") if key in table}
            schema["properties"][name] = {"anyOf": [table, {"const": False}], **described}
    return schema


def _add_folders(pairs: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Lets an entry of `[pairs]` be a folder of checkpoints, which has no right side, too."""
    folder = CheckpointsSpec.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(folder.pop("$defs", {}))
    folder["properties"].pop("right")
    definitions["CheckpointsSpec"] = folder
    both = [{"$ref": f"#/$defs/{one.__name__}"} for one in (PairSpec, CheckpointsSpec)]
    for pattern in pairs["patternProperties"]:
        pairs["patternProperties"][pattern] = {"anyOf": both}


def _removable(entries: dict[str, Any], by_pattern: bool) -> dict[str, Any]:
    if by_pattern:
        return {pattern: _removable(entry, False) for pattern, entry in entries.items()}
    return {"anyOf": [entries, {"const": False}]}


def _add_options(definitions: dict[str, Any], registry: Registry, own: type[PluginSpec]) -> None:
    """Adds to the definition of a table the options of every component that it may name."""
    core, key = definitions[own.__name__], own.key
    core.pop("additionalProperties", None)
    names: list[str] = []
    branches = []
    for owned in registry.of(own.kind):
        # A plugin's own models live under its name: they never replace ours.
        prefix = f"{owned.component.kind}.{owned}".replace("/", ".")
        try:
            model = owned.options()
        except PluginError:
            continue  # told by `harness check` of a task that uses it
        options = model.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
        inner = options.pop("$defs", {})
        definitions.update({f"{prefix}.{name}": model for name, model in inner.items()})
        both = [str(owned)]
        if sum(one.component.name == owned.component.name for one in registry.of(own.kind)) == 1:
            both.insert(0, owned.component.name)
        names += both
        properties = {**options.get("properties", {}), **{k: True for k in core["properties"]}}
        branches.append(
            {
                "if": {"properties": {key: {"enum": both}}, "required": [key]},
                "then": {"properties": properties, "additionalProperties": False},
            }
        )
    core["properties"][key] = {**core["properties"].get(key, {}), "examples": names}
    core["allOf"] = branches
