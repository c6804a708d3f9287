"""Asks every installed section what it has to show; one that fails is a note, not a lost report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.contract import Figure, Grid, Panel, Prose, Results
from harness.registry import Owned, Registry
from harness.report.blocks import Block, prepared
from harness.report.top import folded


@dataclass(frozen=True)
class Shown:
    """A panel whose blocks are ready for the template."""

    title: str
    blocks: tuple[Block, ...]


def panels(results: Results, registry: Registry) -> list[Panel]:
    """What the sections show, sorted by their order. A section that raises is a warning."""
    found = [panel for owned in registry.of("section") for panel in _asked(owned, results)]
    return sorted(found, key=lambda panel: panel.order)


def shown(panels: Iterable[Panel]) -> list[Shown]:
    """The panels, ready for the template; figures in which nothing differs are sentences."""
    ready = []
    for panel in panels:
        try:
            blocks = tuple(prepared(folded(block)) for block in panel.blocks)
        except Exception as error:
            blocks = (prepared(_failure(panel.title, error)),)
        if blocks:
            ready.append(Shown(str(panel.title), blocks))
    return ready


def _asked(owned: Owned, results: Results) -> Iterator[Panel]:
    # A stranger's section may raise anything, or return anything; the rest is shown all the same.
    try:
        panel = owned.load()(owned.options()()).panel(results)
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
