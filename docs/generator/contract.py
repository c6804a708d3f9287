"""The reference of the contract, from the docstrings of `harness.contract` and what it names."""

from __future__ import annotations

from collections.abc import Iterator

import harness.contract
import harness.testing
from generator.markdown import anchor, code, joined, note, prose, table
from generator.members import about_class, about_function
from generator.options import type_in_words
from generator.source import Field, Function, Module, module
from harness.authoring.conformance.kinds import BENCHMARK, KINDS, Asked

FILES = (
    "options",
    "values",
    "prompts",
    "thoughts",
    "sites",
    "capabilities",
    "backend",
    "writing",
    "gradients",
    "ahead",
    "wrapping",
    "checkpoint",
    "sae",
    "latents",
    "reduction",
    "encodes",
    "stream_edit",
    "paths",
    "scalars",
    "attributed",
    "metric",
    "edits",
    "intervention",
    "evaluator",
    "findings",
    "section",
    "observer",
    "executor",
    "export",
    "results",
    "claims",
    "families",
    "several",
    "version",
)
"""The files of the contract, each a part of the page, in the order in which to read them."""
TABLES = {
    "backend": "models",
    "sae_format": "saes",
    "analysis": "analyses",
    "labels": "labels",
    "intervention": "experiments.NAME.intervention",
}
"""Where a task names a component of a kind; all others: the plural of the kind."""
NOWHERE = {
    "section": "nowhere: every report asks it",
    "export": "nowhere: `harness export RUN --to NAME`",
}
"""Kinds that no task names, and what uses them instead."""


def page() -> str:
    """Hook, kinds, one part for each file of the contract, errors and checks."""
    component = module("harness.contract.component")
    return joined(
        [
            note("the docstrings of harness.contract"),
            "# The contract",
            prose(module("harness.contract").doc),
            "How to write a plugin: [plugins.md](plugins.md).",
            "## The hook",
            about_function(_function(component, "harness_components")),
            *(about_class(one) for one in component.classes),
            "## Kinds",
            _kinds(),
            *(_file(module(f"harness.contract.{name}"), name) for name in FILES),
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
    written = code(f"[{where}]") if asked.table else NOWHERE[asked.kind]
    objects = [_link(protocol.__name__) for protocol in asked.protocols]
    options, check = _link(asked.options.__name__), _link(asked.check)
    return name, written, options, " or ".join(objects), check


def _link(name: str) -> str:
    return f"[`{name}`](#{anchor(name)})"


def _references(found: Module) -> str:
    """The types that mark a field as a reference or a place; nothing where there are none."""
    rows = [_reference(one.name) for one in found.aliases if _is_reference(one)]
    if not rows:
        return ""
    head = ("type", "what a task writes")
    return joined(["Types of fields that name something else:", table(head, rows)])


def _is_reference(alias: Field) -> bool:
    return (alias.default or "").startswith("Annotated")


def _reference(name: str) -> tuple[str, str]:
    return code(name), type_in_words(getattr(harness.contract, name), {})


def _file(found: Module, name: str) -> str:
    """The classes, types and functions of a file, in its order."""
    return joined(
        [
            f"## harness.contract.{name}",
            prose(found.doc),
            _references(found),
            *(about_class(one) for one in found.classes),
            *(_alias(one) for one in found.aliases if one.doc and not _is_reference(one)),
            *(about_function(one) for one in found.functions),
        ]
    )


def _alias(found: Field) -> str:
    return joined([f"### {found.name}", code(found.default or ""), prose(found.doc)])


def _checks() -> Iterator[str]:
    for name, home in sorted(harness.testing._HOMES.items()):
        yield about_function(_function(module(f"harness.testing.{home}"), name))
