"""The page of built-in components without metrics: summary, docstring and options of each."""

from __future__ import annotations

from generator.installed import built_in
from generator.markdown import anchors, code, joined, note, prose
from generator.options import options
from generator.source import loaded
from harness.contract import Kind
from harness.registry import Owned

KINDS: dict[Kind, str] = {
    "backend": "Backends",
    "sae_format": "SAE formats",
    "statistic": "Statistics",
    "direction": "Directions",
    "intervention": "Interventions",
    "evaluator": "Evaluators",
    "labels": "Labels",
    "analysis": "Analyses",
    "observer": "Observers",
    "executor": "Executors",
    "section": "Sections of the report",
    "export": "Exports",
}
INTRODUCTION = """\
These components come with the harness; [metrics](metrics.md) have a page of their own.
`harness plugins` lists what is installed, and `harness plugins NAME` shows the options of one.
[tasks.md](tasks.md) says how a task names them. [formats.md](formats.md) says how SAE formats are
recognised, and what they were tested against."""


def page() -> str:
    """All kinds, all components."""
    parts = [note("the docstrings and options of the components"), "# Components", INTRODUCTION]
    for kind, title in KINDS.items():
        parts.append(f"## {title}")
        parts += [_about(owned) for owned in built_in().of(kind)]
    return joined(parts)


def places() -> dict[tuple[Kind, str], str]:
    """The anchor of each component; two kinds may have one of the same name."""
    rows: list[tuple[Kind | None, str]] = [(None, "Components")]
    for kind, title in KINDS.items():
        rows += [(None, title), *((kind, owned.component.name) for owned in built_in().of(kind))]
    found = anchors(name for _, name in rows)
    return {(kind, name): at for (kind, name), at in zip(rows, found, strict=True) if kind}


def _about(owned: Owned) -> str:
    component = owned.component
    return joined(
        [
            f"### {component.name}",
            f"{code(str(owned))}: {component.summary}.",
            prose(loaded(component.load).doc),
            options(owned.options()),
        ]
    )
