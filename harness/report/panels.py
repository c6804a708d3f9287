"""Asks every installed section what it has to show; one that fails is a note, not a lost report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.contract import Figure, Grid, Panel, Prose, Results, Runs, SectionOfRuns
from harness.registry import Owned, Registry
from harness.report.blocks import Block, prepared
from harness.report.top import folded
from harness.text import visible

Ask = Callable[[Any], Panel | None]
"""Asks a section, which a stranger may have made, for its panel."""


@dataclass(frozen=True)
class Shown:
    """A panel whose blocks are ready for the template."""

    title: str
    blocks: tuple[Block, ...]
    order: int = 50
    """Where on the page it stands."""


def panels(results: Results, registry: Registry) -> list[Panel]:
    """What the sections show, sorted by their order. A section that raises is a warning."""
    return _sorted(registry, lambda section: section.panel(results))


def panels_of_runs(runs: Runs, registry: Registry) -> list[Panel]:
    """What those sections that know of several runs show of them, as in `panels`."""

    def ask(section: Any) -> Panel | None:
        return section.panel_of_runs(runs) if isinstance(section, SectionOfRuns) else None

    return _sorted(registry, ask)


def shown(panels: Iterable[Panel], source: str = "") -> list[Shown]:
    """The panels, ready for the template; figures in which nothing differs are sentences.

    `source` stands below pictures that are saved as files.
    """
    ready = []
    for panel in panels:
        try:
            blocks = tuple(prepared(folded(block), source) for block in panel.blocks)
        except Exception as error:
            blocks = (prepared(_failure(panel.title, error)),)
        if blocks:
            ready.append(Shown(visible(panel.title, 300), blocks, panel.order))
    return ready


def _sorted(registry: Registry, ask: Ask) -> list[Panel]:
    found = [panel for owned in registry.of("section") for panel in _asked(owned, ask)]
    return sorted(found, key=lambda panel: panel.order)


def _asked(owned: Owned, ask: Ask) -> Iterator[Panel]:
    # A stranger's section may raise anything, or return anything; the rest is shown all the same.
    try:
        panel = ask(owned.load()(owned.options()()))
        if panel is None:
            return
        if not isinstance(panel, Panel):
            raise TypeError(f"it returned {type(panel).__name__}, not a Panel")
        for block in panel.blocks:
            if not isinstance(block, (Figure, Grid, Prose)):
                raise TypeError(f"it returned a block of type {type(block).__name__}")
        yield panel
    except Exception as error:
        title = owned.component.name.replace("_", " ").capitalize()
        yield Panel(title, (_failure(str(owned), error),), order=100)


def _failure(what: str, error: Exception) -> Prose:
    text = f"The section {what} could not be shown: {type(error).__name__}: {error}"
    return Prose(f"{text} The numbers are in results.json.", tone="warning")
