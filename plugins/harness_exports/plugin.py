"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_EXPORTS = {
    "csv": ("records, claims, families, tables and completions as CSV", "csv.export:Csv", ""),
    "figures": ("the figures of the report as pictures, SVG or PNG", "figures.export:Figures", ""),
}
"""By name: a summary, the class, and the extra that it cannot do without. Its options are called as
it is, with `Options` behind, and are in the module `options`."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The exports."""
    return tuple(_component(name, *given) for name, given in _EXPORTS.items())


def _component(name: str, summary: str, load: str, extra: str) -> Component:
    made = load.partition(":")[2]
    return Component(
        "export",
        name,
        summary,
        f"{__package__}.{load}",
        f"{__package__}.options:{made}Options",
        extra=f"sae-harness[{extra}]" if extra else "",
        samples=f"{__package__}.samples:{name}",
    )
