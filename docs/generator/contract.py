"""The reference of the contract, from the docstrings of `harness.contract` and what it names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import harness.contract
import harness.testing
from generator.markdown import anchor, code, joined, note, prose, table
from generator.members import about_class, about_function
from generator.options import type_in_words
from generator.source import Function, Module, module
from harness.authoring.conformance.kinds import BENCHMARK, KINDS, Asked

VALUES = (
    "harness.contract.values",
    "harness.contract.results",
    "harness.contract.edits",
    "harness.contract.latents",
    "harness.contract.sites",
)
TABLES = {
    "backend": "models",
    "sae_format": "saes",
    "analysis": "analyses",
    "labels": "labels",
    "intervention": "experiments.NAME.intervention",
}
"""Where a task names a component of a kind; all others: the plural of the kind."""


def page() -> str:
    """Hook, kinds, options, objects, values, errors and checks."""
    found = module("harness.contract")
    return joined(
        [
            note("the docstrings of harness.contract"),
            "# The contract",
            prose(found.doc),
            "How to write a plugin: [plugins.md](plugins.md).",
            "## The hook",
            about_function(_function(found, "harness_components")),
            about_class(found.classes[0]),
            "## Kinds",
            _kinds(),
            "## Options",
            prose(module("harness.contract.options").doc),
            _references(module("harness.contract.options")),
            *(about_class(one) for one in module("harness.contract.options").classes),
            *_objects(found),
            *_values(),
            "## Errors",
            f"```text\n{module('harness.errors').doc}\n```",
            "## Checks",
            prose(module("harness.testing").doc),
            *_checks(),
        ]
    )


def _function(found: Module, name: str) -> Function:
    member = found.get(name)
    assert isinstance(member, Function)
    return member


def _kinds() -> str:
    rows = [_kind(kind.replace("_", " "), TABLES.get(kind, f"{kind}s"), asked)
            for kind, asked in KINDS.items()]  # fmt: skip
    rows.append(_kind("evaluator that is a benchmark", "evaluators", BENCHMARK))
    head = ("kind", "in a task", "its options are", "its object is", "its check")
    return table(head, rows)


def _kind(name: str, where: str, asked: Asked) -> tuple[str, ...]:
    written = code(f"[{where}]") if asked.table else "nowhere: every report asks it"
    objects = [_link(protocol.__name__) for protocol in asked.protocols]
    checks = [_link(check) for check in asked.checks]
    return name, written, _link(asked.options.__name__), " or ".join(objects), ", ".join(checks)


def _link(name: str) -> str:
    return f"[`{name}`](#{anchor(name)})"


def _references(found: Module) -> str:
    """The types that mark a field as a reference or a place."""
    marked = [one for one in found.aliases if (one.default or "").startswith("Annotated")]
    return joined(
        [
            "Types of fields that name something else:",
            table(("type", "what a task writes"), [_reference(one.name) for one in marked]),
        ]
    )


def _reference(name: str) -> tuple[str, str]:
    return code(name), type_in_words(getattr(harness.contract, name), {})


def _objects(found: Module) -> Iterator[str]:
    """The classes below each section of the file, in its order."""
    edges = [*found.sections, (10**9, "")]
    for (line, title), (end, _) in pairwise(edges):
        yield f"## {title}"
        for one in found.classes:
            if line < one.line < end:
                yield about_class(one)
        for alias in found.aliases:
            if alias.doc and line < alias.line < end:
                yield joined([f"### {alias.name}", code(alias.default or ""), prose(alias.doc)])


def _values() -> Iterator[str]:
    for name in VALUES:
        found = module(name)
        yield f"## {name}"
        yield prose(found.doc)
        yield from (about_class(one) for one in found.classes)
        yield from (about_function(one) for one in found.functions)


def _checks() -> Iterator[str]:
    for name, home in sorted(harness.testing._HOMES.items()):
        yield about_function(_function(module(f"harness.testing.{home}"), name))
