"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_EXPORTS = {
    "csv": ("records, claims, families, tables and completions as CSV", "csv.export:Csv", ""),
    "figures": ("the figures of the report as pictures, SVG or PNG", "figures.export:Figures", ""),
    "latex": ("the tables of the report for a paper, with booktabs", "latex.export:Latex", ""),
}
"""By name: a summary, the class, and the extra that it cannot do without. Its options are called as
it is, with `Options` behind, and are in the module `options`."""
_FORMS = {
    "card": ("a drift card in Markdown, for a model's README", "card.export:DriftCard", ""),
    "eee": ("scores as records of Every Eval Ever 0.3.0", "eee.export:EveryEvalEver", ""),
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
}
"""Likewise; each has the modules `options` and `samples` in a folder of its own."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The exports."""
    here = [_component(name, "", *given) for name, given in _EXPORTS.items()]
    apart = [
        _component(name, f".{given[1].partition('.')[0]}", *given) for name, given in _FORMS.items()
    ]
    return (*here, *apart)


def _component(name: str, folder: str, summary: str, load: str, extra: str) -> Component:
    """`folder` is where its options and samples are, inside this package."""
    made = load.partition(":")[2]
    return Component(
        "export",
        name,
        summary,
        f"{__package__}.{load}",
        f"{__package__}{folder}.options:{made}Options",
        extra=f"sae-harness[{extra}]" if extra else "",
        samples=f"{__package__}{folder}.samples:{name}",
    )
