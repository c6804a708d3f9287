"""Tasks written from the grammar itself: tables of every kind, with options of every plugin.

Values fit the type that the JSON Schema of the options asks for, most of the time, so that what
is tried lies beyond validation: what options read, what fits what, what a plan makes of it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from campaign.changed import as_toml
from campaign.values import NUMBERS, WORDS, junk
from harness.contract import Kind, Ref
from harness.registry import Registry
from harness.task.spec import (
    AnalysisSpec,
    DirectionSpec,
    ExperimentSpec,
    LabelsSpec,
    MetricSpec,
    PairSpec,
    StatisticSpec,
    ViewSpec,
)
from harness.task.tables import PluginSpec
from harness.task.validate import marks

HEAD: dict[str, Any] = {
    "name": "written",
    "models": {
        "base": {"path": "organism/base"},
        "chat": {"path": "organism/chat"},
        "unread": {"path": "no/such-model"},
    },
    "views": {
        "base": {"model": "base"},
        "chat": {"model": "chat", "prompt": {"style": "chat"}},
        "unread": {"model": "unread"},
    },
    "saes": {
        "mid": {"path": "organism/saes/resid_post.4", "model": "base"},
        "late": {"path": "organism/saes/resid_post.5", "model": "base"},
    },
    "data": {
        "web": {"file": "organism/data/web.jsonl", "limit": 3},
        "unread": {"hub": "no/such-data"},
    },
    "pairs": {
        "web": {"left": "base", "right": "chat", "data": "web", "saes": ["mid", "late"]},
        "bare": {"left": "base", "right": "unread", "data": "unread"},
    },
    "directions": {"refusal": {"method": "difference_in_means", "view": "chat",
                               "site": "resid_post.4", "positive": "web", "negative": "unread"}},
}  # fmt: skip
"""What the written tables refer to."""
SITES = ["resid_post.4", "resid_post.5", "resid_post@0.5", "embed", "mlp_out.0", "resid_post.99"]
TABLES: dict[str, tuple[type[BaseModel], Kind | None, str]] = {
    "views": (ViewSpec, None, ""),
    "pairs": (PairSpec, None, ""),
    "directions": (DirectionSpec, "direction", "method"),
    "statistics": (StatisticSpec, "statistic", "method"),
    "metrics": (MetricSpec, "metric", "method"),
    "labels": (LabelsSpec, "labels", "method"),
    "analyses": (AnalysisSpec, "analysis", "method"),
    "evaluators": (PluginSpec, "evaluator", "method"),
    "experiments": (ExperimentSpec, None, ""),
}


@dataclass(frozen=True)
class Keys:
    """The keys of a table: which there must be, which there may be, and what each holds."""

    schemas: Mapping[str, Mapping[str, Any]]
    must: tuple[str, ...]
    definitions: Mapping[str, Any]
    known: Mapping[str, list[str]]
    """Of keys that name an entry of another table: the entries that there are."""


class Grammar:
    """Writes tables, from the models of the core and of installed plugins."""

    def __init__(self, registry: Registry) -> None:
        self._names = {table: sorted(entries) for table, entries in HEAD.items() if table != "name"}
        self._components: dict[str, list[tuple[str, Keys]]] = {}
        kinds: list[Kind] = ["direction", "statistic", "metric", "labels", "analysis", "evaluator"]
        for kind in [*kinds, "intervention"]:
            self._components[kind] = [
                (owned.component.name, self._keys(owned.options())) for owned in registry.of(kind)
            ]
        self._own = {model: self._keys(model) for model, _, _ in TABLES.values()}

    def task(self, chance: random.Random) -> bytes:
        """The head with one to five more tables."""
        task: dict[str, Any] = {key: dict(v) if key != "name" else v for key, v in HEAD.items()}
        for number in range(chance.randint(1, 5)):
            table = chance.choice(sorted(TABLES))
            entries = task.setdefault(table, {})
            entries[chance.choice([f"new{number}", "web", "mid"])] = self._entry(chance, table)
        return as_toml(task)

    def _entry(self, chance: random.Random, table: str) -> dict[str, Any]:
        model, kind, key = TABLES[table]
        entry = self._table(chance, self._own[model])
        if kind is not None:
            entry |= self._component(chance, kind, key)
        if model is ExperimentSpec and chance.random() < 0.5:
            entry["intervention"] = self._component(chance, "intervention", "method")
            entry["directions"] = ["refusal"]
        if model is ViewSpec and chance.random() < 0.25:
            edit = self._component(chance, "intervention", "method")
            entry["edit"] = {**edit, "direction": "refusal"}
        return entry

    def _component(self, chance: random.Random, kind: str, key: str) -> dict[str, Any]:
        name, options = chance.choice(self._components[kind])
        return {**self._table(chance, options), key: name}

    def _keys(self, model: type[BaseModel]) -> Keys:
        schema = model.model_json_schema()
        refs = {name: mark.table for name, mark in marks(model) if isinstance(mark, Ref)}
        known = {name: self._names[table] for name, table in refs.items() if table in self._names}
        must = tuple(schema.get("required", ()))
        return Keys(schema.get("properties", {}), must, schema.get("$defs", {}), known)

    def _table(self, chance: random.Random, keys: Keys) -> dict[str, Any]:
        """A table of the model's keys: those that must be there, and some of the others."""
        may = [name for name in keys.schemas if name not in keys.must]
        few = chance.sample(may, min(len(may), chance.randint(0, 3)))
        return {
            name: junk(chance) if chance.random() < 0.04 else self._right(
                chance, keys.schemas[name], keys.definitions, name, keys.known.get(name)
            )
            for name in (*keys.must, *few)
        }  # fmt: skip

    def _right(
        self,
        chance: random.Random,
        schema: Mapping[str, Any],
        definitions: Mapping[str, Any],
        name: str,
        known: list[str] | None,
    ) -> Any:
        """A value of the type that is asked for."""

        def inner(schema: Mapping[str, Any]) -> Any:
            return self._right(chance, schema, definitions, name, known)

        if "$ref" in schema:
            return inner(definitions.get(schema["$ref"].rpartition("/")[2], {}))
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return chance.choice(schema["enum"])
        if many := [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]:
            return inner(chance.choice(many))
        odd = chance.random() < 0.5
        match schema.get("type"):
            case "string":
                words = known or (SITES if "site" in name else [*SITES, "refusal", *WORDS])
                return chance.choice(words)
            case "integer":
                wholes = [n for n in NUMBERS if isinstance(n, int)]
                return chance.choice(wholes) if odd else chance.randint(0, 8)
            case "number":
                return chance.choice(NUMBERS) if odd else chance.uniform(0, 2)
            case "boolean":
                return odd
            case "array":
                inside = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
                return [inner(inside) for _ in range(chance.randint(0, 3))]
            case "object" if "properties" in schema:
                return {
                    key: self._right(chance, value, definitions, key, None)
                    for key, value in schema["properties"].items()
                    if chance.random() < 0.5
                }
        return junk(chance)
