"""The card's section about how to get the numbers again: command, versions, seed and task."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w

from harness.contract import Results
from harness_exports.arms.identity import run_hash
from harness_exports.arms.subjects import portable
from harness_exports.arms.tables import table
from harness_exports.card.markdown import fenced, table as grid, text


def origin(results: Results, with_task: bool) -> Iterator[str]:
    """What would have to be the same."""
    provenance = results.provenance
    packages = table(provenance, "packages")
    plugins = {
        key: value.get("version") if isinstance(value, Mapping) else value
        for key, value in table(provenance, "plugins").items()
    }
    rows = {
        "sae-harness": provenance.get("harness"),
        "git revision": provenance.get("git"),
        "seed": provenance.get("seed"),
        "Python": provenance.get("python"),
        "packages": ", ".join(f"{key} {value}" for key, value in packages.items()) or None,
        "plugins": ", ".join(f"{key} {value}" for key, value in plugins.items()) or None,
        "hash of the run": run_hash(results),
    }
    yield "## How to get it again"
    yield ""
    if command := provenance.get("command"):
        yield from fenced(_command(str(command)), "sh")
    yield from grid(
        ("what", "value"),
        [(key, text(value)) for key, value in rows.items() if value is not None],
    )
    if with_task:
        yield "<details><summary>The task, with the last part of each path</summary>"
        yield ""
        yield from fenced(tomli_w.dumps(_without_none(portable(results.task))), "toml")
        yield ""
        yield "</details>"
        yield ""


def _command(line: str) -> str:
    """A command with the last part of each path, also behind an equals sign."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    parts = (word.partition("=") for word in words)
    shown = [portable(name) + sign + portable(value) for name, sign, value in parts]
    return " ".join(shlex.quote(word) for word in shown)


def _without_none(value: Any) -> Any:
    """What TOML can say: a key without a value is left out."""
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value
