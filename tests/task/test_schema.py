"""The JSON Schema of the task language accepts what the harness accepts, and little else."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import fakes
from harness.cli.main import main
from harness.registry import Registry, discover
from harness.task.file import builtin_tasks
from harness.task.schema import task_schema

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
    "boolean": bool, "null": type(None),
}  # fmt: skip
DESCRIPTIVE = {"title", "description", "default", "examples", "$schema", "$defs"}


class Validator:
    """As much of JSON Schema (2020-12) as the task language needs; refuses to ignore anything."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.root = schema

    def errors(self, value: Any, schema: Any = None, path: str = "") -> list[str]:
        schema = self.root if schema is None else schema
        if isinstance(schema, bool):
            return [] if schema else [f"{path}: nothing is allowed here"]
        found: list[str] = []
        for keyword, wanted in schema.items():
            if keyword in DESCRIPTIVE or keyword in ("then", "else"):
                continue
            check = getattr(self, "_" + keyword.replace("$", ""), None)
            assert check is not None, f"the tests know no keyword {keyword!r}"
            found += [f"{path}{error}" for error in check(value, wanted, schema)]
        return found

    def _ref(self, value: Any, wanted: str, schema: Any) -> list[str]:
        assert wanted.startswith("#/$defs/")
        return self.errors(value, self.root["$defs"][wanted.removeprefix("#/$defs/")])

    def _type(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        names = [wanted] if isinstance(wanted, str) else wanted
        fits = any(
            isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
            for name in names
        )
        return [] if fits else [f": {value!r} is no {wanted}"]

    def _properties(self, value: Any, wanted: Mapping[str, Any], schema: Any) -> list[str]:
        if not isinstance(value, dict):
            return []
        keys = [key for key in value if key in wanted]
        return [e for key in keys for e in self.errors(value[key], wanted[key], f".{key}")]

    def _additionalProperties(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        if not isinstance(value, dict):
            return []
        patterns = schema.get("patternProperties", {})
        rest = [
            key
            for key in value
            if key not in schema.get("properties", {})
            and not any(re.search(pattern, key) for pattern in patterns)
        ]
        return [e for key in rest for e in self.errors(value[key], wanted, f".{key}")]

    def _prefixItems(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        if not isinstance(value, list):
            return []
        pairs = enumerate(zip(value, wanted, strict=False))
        return [e for i, (one, form) in pairs for e in self.errors(one, form, f"[{i}]")]

    def _patternProperties(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        if not isinstance(value, dict):
            return []
        return [
            e
            for pattern, inner in wanted.items()
            for key in value
            if re.search(pattern, key)
            for e in self.errors(value[key], inner, f".{key}")
        ]

    def _propertyNames(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        names = value if isinstance(value, dict) else ()
        return [e for key in names for e in self.errors(key, wanted, f".{key}")]

    def _required(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        missing = [key for key in wanted if isinstance(value, dict) and key not in value]
        return [f": {key} is missing" for key in missing]

    def _items(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        items = value if isinstance(value, list) else ()
        return [e for i, item in enumerate(items) for e in self.errors(item, wanted, f"[{i}]")]

    def _anyOf(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        found = [self.errors(value, one) for one in wanted]
        return [] if not all(found) else [error for errors in found for error in errors]

    _oneOf = _anyOf

    def _allOf(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        return [error for one in wanted for error in self.errors(value, one)]

    def _if(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        branch = "else" if self.errors(value, wanted) else "then"
        return self.errors(value, schema.get(branch, True))

    def _const(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        same = value == wanted and type(value) is type(wanted)
        return [] if same else [f": is not {wanted!r}"]

    def _enum(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        return [] if value in wanted else [f": {value!r} is none of {wanted}"]

    def _pattern(self, value: Any, wanted: str, schema: Any) -> list[str]:
        fits = not isinstance(value, str) or re.search(wanted, value)
        return [] if fits else [f": {value!r} does not match {wanted}"]

    def _number(self, value: Any, fits: Callable[[Any], bool], said: str) -> list[str]:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return [f": {value!r} is not {said}"] if number and not fits(value) else []

    def _minimum(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        return self._number(value, lambda v: v >= wanted, f"at least {wanted}")

    def _maximum(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        return self._number(value, lambda v: v <= wanted, f"at most {wanted}")

    def _exclusiveMinimum(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        return self._number(value, lambda v: v > wanted, f"above {wanted}")

    def _exclusiveMaximum(self, value: Any, wanted: Any, schema: Any) -> list[str]:
        return self._number(value, lambda v: v < wanted, f"below {wanted}")

    def _length(self, value: Any, kind: type, fits: Callable[[int], bool]) -> list[str]:
        return [": has another length"] if isinstance(value, kind) and not fits(len(value)) else []

    def _minItems(self, value: Any, wanted: int, schema: Any) -> list[str]:
        return self._length(value, list, lambda n: n >= wanted)

    def _maxItems(self, value: Any, wanted: int, schema: Any) -> list[str]:
        return self._length(value, list, lambda n: n <= wanted)

    def _minLength(self, value: Any, wanted: int, schema: Any) -> list[str]:
        return self._length(value, str, lambda n: n >= wanted)

    def _maxLength(self, value: Any, wanted: int, schema: Any) -> list[str]:
        return self._length(value, str, lambda n: n <= wanted)


def refused(schema: dict[str, Any], text: str) -> list[str]:
    return Validator(schema).errors(tomllib.loads(text))


@pytest.fixture(scope="module")
def installed() -> dict[str, Any]:
    return json.loads(json.dumps(task_schema(discover())))


@pytest.fixture(scope="module")
def schema(registry: Registry) -> dict[str, Any]:
    return json.loads(json.dumps(task_schema(registry)))


@pytest.mark.parametrize("name", builtin_tasks())
def test_every_built_in_task_is_accepted(installed: dict[str, Any], name: str) -> None:
    assert refused(installed, builtin_tasks()[name].read_text(encoding="utf-8")) == []


def test_the_command_prints_the_schema(
    installed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == installed
    assert installed["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_reference_of_the_schema_has_its_definition(installed: dict[str, Any]) -> None:
    wanted = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(installed)))
    assert wanted
    assert wanted <= installed["$defs"].keys()


MORE = """
extends = "other.toml"
requires = ["acme>=1"]
[directions.d]
method = "probe"
scale = 2
sweep = { scale = [1, 2] }
[directions.e]
method = "fake/probe"
[metrics.gap]
view = "base"
data = "web"
[evaluators.polite]
shrug = "x"
[experiments.e]
view = "chat"
data = "web"
directions = ["d"]
evaluators = ["polite"]
intervention = { method = "shift", strength = 2 }
[pairs]
gone = false
"""


def test_a_task_with_options_of_plugins_is_accepted(schema: dict[str, Any]) -> None:
    head, _, tail = fakes.TINY.partition("\n")
    assert refused(schema, f"{head}\n" + MORE.replace("\n[", f"\n{tail}[", 1)) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("sead = 1", ".sead"),
        ('seed = "1"', ".seed"),
        ("seed = -1", ".seed"),
        ("[models.m]\nbackend = 'fake'\nscael = 1", ".models.m.scael"),
        ("[models.m]\nbackend = 'fake'\nscale = 'x'", ".models.m.scale"),
        ("[directions.d]\nmethod = 'probe'\nscael = 1", ".directions.d.scael"),
        ("[directions.d]\nscale = 1\nmethod = 5", ".directions.d.method"),
        ("[views.v]\nmodel = 'base'\nprompt = { style = 'x' }", ".views.v.prompt.style"),
        ("[data.d]\nlimit = 0", ".data.d.limit"),
        ("[pairs]\nx = true", ".pairs.x"),
        ("[experiments.e]\nintervention = { method = 'shift', strenth = 1 }", "strenth"),
    ],
)
def test_a_task_with_a_mistake_is_refused(schema: dict[str, Any], change: str, where: str) -> None:
    found = refused(schema, f'name = "x"\n{change}\n')
    assert any(where in error for error in found), found


def test_a_pair_may_be_a_folder_of_checkpoints(schema: dict[str, Any]) -> None:
    head = 'name = "x"\n[pairs.p]\nleft = "a"\ndata = "d"\n'
    folder = head + 'from = "run/checkpoint-*"\n'
    for fine in ("", "every = 2\n", "limit = 3\n", 'prompt = { style = "chat" }\n'):
        assert refused(schema, folder + fine) == []
    for wrong in ("evry = 2\n", "limit = 0\n", 'right = "b"\n'):
        assert refused(schema, folder + wrong)
    assert refused(schema, head + 'right = "b"\nevery = 2\n')


def test_definitions_of_a_plugin_never_replace_those_of_the_core(
    fake_dist: Callable[..., Path], schema: dict[str, Any]
) -> None:
    fake_dist(
        "acme-one",
        "from pydantic import BaseModel\n"
        "from harness.contract import Component, MetricOptions, hookimpl\n"
        "class PromptSpec(BaseModel):\n"
        "    mine: int\n"
        "class Options(MetricOptions):\n"
        "    prompt: PromptSpec\n"
        "@hookimpl\n"
        "def harness_components():\n"
        "    return [Component('metric', 'm', 's', 'acme_one:Options', 'acme_one:Options')]\n",
    )
    found = task_schema(discover())
    text = 'name = "x"\n[views.v]\nmodel = "base"\nprompt = { style = "chat" }\n'
    assert refused(found, text) == []
    metric = 'name = "x"\n[metrics.m]\nmethod = "m"\npair = "p"\nprompt = { mine = 1 }\n'
    assert refused(found, metric) == []
    assert refused(found, metric.replace("mine = 1", "style = 'chat'"))


def test_the_validator_of_these_tests_refuses_what_it_should() -> None:
    simple = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    for value, fine in (({"a": 1}, True), ({"a": True}, False), ({}, False), ([], False)):
        assert (Validator(copy.deepcopy(simple)).errors(value) == []) is fine
    with pytest.raises(AssertionError, match="know no keyword"):
        Validator({"contains": {}}).errors([])
