"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_EXPORTS = {
    "card": ("a drift card in Markdown, for a model's README", "card.export:DriftCard", ""),
    "csv": ("records, claims, families, tables and completions as CSV", "csv.export:Csv", ""),
    "eee": ("scores as records of Every Eval Ever 0.3.0", "eee.export:EveryEvalEver", ""),
    "figures": ("the figures of the report as pictures, SVG or PNG", "figures.export:Figures", ""),
    "gguf": (
        "directions as control vectors for llama.cpp",
        "control_vectors.export:ControlVectors",
        "gguf",
    ),
    "inspect": (
        "completions and verdicts as Inspect logs (.eval)",
        "inspect_log.export:InspectLogs",
        "",
    ),
    "latex": ("the tables of the report for a paper, with booktabs", "latex.export:Latex", ""),
}
"""By name: a summary, the class, and the extra that it cannot do without. Each has a folder with
two modules more: `options`, where its options are called as the class, with `Options` behind, and
`samples`."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The exports."""
    return tuple(_component(name, *given) for name, given in _EXPORTS.items())


def _component(name: str, summary: str, load: str, extra: str) -> Component:
    folder, made = f"{__package__}.{load.partition('.')[0]}", load.partition(":")[2]
    return Component(
        "export",
        name,
        summary,
        f"{__package__}.{load}",
        f"{folder}.options:{made}Options",
        extra=f"sae-harness[{extra}]" if extra else "",
        samples=f"{folder}.samples:{name}",
    )
