"""Tasks written from the grammar itself: tables of every kind, with options of every plugin.

Values fit the type that the JSON Schema of the options asks for, most of the time, so that what
is tried lies beyond validation: what options read, what fits what, what a plan makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

from campaign.mutants import as_toml
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

Draw = Any
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


class Grammar:
    """Strategies for tables, made from the models of the core and of installed plugins."""

    def __init__(self, registry: Registry) -> None:
        self._names = {table: sorted(entries) for table, entries in HEAD.items() if table != "name"}
        self._components: dict[str, list[tuple[str, st.SearchStrategy[Any]]]] = {}
        kinds: list[Kind] = ["direction", "statistic", "metric", "labels", "analysis", "evaluator"]
        for kind in [*kinds, "intervention"]:
            self._components[kind] = [
                (owned.component.name, self._table(owned.options())) for owned in registry.of(kind)
            ]
        self._own = {model: self._table(model) for model, _, _ in TABLES.values()}

    def tasks(self) -> st.SearchStrategy[bytes]:
        """The head with one to five more tables."""

        @st.composite
        def tasks(draw: Draw) -> bytes:
            task: dict[str, Any] = {key: dict(v) if key != "name" else v for key, v in HEAD.items()}
            for number in range(draw(st.integers(1, 5))):
                table = draw(st.sampled_from(sorted(TABLES)))
                entries = task.setdefault(table, {})
                entries[draw(st.sampled_from([f"new{number}", "web", "mid"]))] = self._entry(
                    draw, table
                )
            return as_toml(task)

        return tasks()

    def _entry(self, draw: Draw, table: str) -> dict[str, Any]:
        model, kind, key = TABLES[table]
        entry = draw(self._own[model])
        if kind is not None:
            entry |= self._component(draw, kind, key)
        if model is ExperimentSpec and draw(st.booleans()):
            entry["intervention"] = self._component(draw, "intervention", "method")
            entry["directions"] = ["refusal"]
        for name, spec in (("edit", "intervention"),):
            if model is ViewSpec and draw(st.integers(0, 3)) == 0:
                entry[name] = {**self._component(draw, spec, "method"), "direction": "refusal"}
        return entry

    def _component(self, draw: Draw, kind: str, key: str) -> dict[str, Any]:
        name, options = draw(st.sampled_from(self._components[kind]))
        return {**draw(options), key: name}

    def _table(self, model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
        """A table of the model's keys: those that must be there, and some of the others."""
        schema = model.model_json_schema()
        refs = {name: mark.table for name, mark in marks(model) if isinstance(mark, Ref)}
        must, may = {}, {}
        for name, inner in schema.get("properties", {}).items():
            known = self._names.get(refs.get(name, ""))
            value = self._value(inner, schema.get("$defs", {}), name, known)
            (must if name in schema.get("required", ()) else may)[name] = value
        few = st.sets(st.sampled_from(sorted(may)), max_size=3) if may else st.just(set())
        return few.flatmap(
            lambda chosen: st.fixed_dictionaries({**must, **{key: may[key] for key in chosen}})
        )

    def _value(
        self,
        schema: Mapping[str, Any],
        definitions: Mapping[str, Any],
        name: str = "",
        known: list[str] | None = None,
    ) -> st.SearchStrategy[Any]:
        right = self._right(schema, definitions, name, known)
        return st.integers(0, 24).flatmap(lambda chance: junk if chance == 0 else right)

    def _right(
        self,
        schema: Mapping[str, Any],
        definitions: Mapping[str, Any],
        name: str,
        known: list[str] | None,
    ) -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            inner = definitions.get(schema["$ref"].rpartition("/")[2], {})
            return self._right(inner, definitions, name, known)
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if many := [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]:
            return st.one_of([self._right(one, definitions, name, known) for one in many])
        match schema.get("type"):
            case "string":
                if known:
                    return st.sampled_from(known)
                return st.sampled_from(SITES if "site" in name else [*SITES, "refusal", *WORDS])
            case "integer":
                numbers = [n for n in NUMBERS if isinstance(n, int)]
                return st.one_of(st.integers(0, 8), st.sampled_from(numbers))
            case "number":
                return st.one_of(st.floats(0, 2), st.sampled_from(NUMBERS))
            case "boolean":
                return st.booleans()
            case "array":
                inside = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
                return st.lists(self._right(inside, definitions, name, known), max_size=3)
            case "object" if "properties" in schema:
                inner = {
                    key: self._right(value, definitions, key, None)
                    for key, value in schema["properties"].items()
                }
                return st.fixed_dictionaries({}, optional=inner)
        return junk
