"""Asks every installed section what it has to show; one that fails is a note, not a lost report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

from harness.contract import Figure, Grid, Panel, Prose, Results, Runs, SectionOfRuns
from harness.errors import HarnessError
from harness.registry import Owned, Registry
from harness.report.blocks import Block, prepared
from harness.report.top import folded
from harness.results import grouped
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
            why = f"{type(error).__name__}: {error}"
            blocks = (prepared(_failure(f"The section {panel.title}", why)),)
        if blocks:
            ready.append(Shown(visible(panel.title, 300), blocks, panel.order))
    return ready


@dataclass(frozen=True)
class _Failed:
    """A section that could not be shown."""

    section: Owned
    error: Exception

    @property
    def why(self) -> str:
        """What was wrong: in words where they are ours, else with the kind of error."""
        kind = "" if isinstance(self.error, HarnessError) else f"{type(self.error).__name__}: "
        return f"{kind}{self.error}"


def _sorted(registry: Registry, ask: Ask) -> list[Panel]:
    found = [one for owned in registry.of("section") for one in _asked(owned, ask)]
    failed = grouped([one for one in found if isinstance(one, _Failed)], lambda one: one.why)
    shown = [one for one in found if isinstance(one, Panel)]
    return sorted([*shown, *starmap(_not_shown, failed.items())], key=lambda panel: panel.order)


def _not_shown(why: str, failed: Sequence[_Failed]) -> Panel:
    """One warning for all sections that fail for the same reason, such as a table that is lost."""
    if len(failed) == 1:
        title = failed[0].section.component.name.replace("_", " ").capitalize()
        return Panel(title, (_failure(f"The section {failed[0].section}", why),), order=100)
    names = ", ".join(one.section.component.name for one in failed)
    what = f"{len(failed)} sections could not be shown: {why.rstrip('.')}."
    text = f"{what} They are {names}. The numbers are in results.json."
    return Panel("Not shown", (Prose(text, tone="warning"),), order=100)


def _asked(owned: Owned, ask: Ask) -> Iterator[Panel | _Failed]:
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
        yield _Failed(owned, error)


def damaged(lost: Sequence[str]) -> Iterator[Panel]:
    """A panel that says first of all which files of the run cannot be read, and so aren't shown."""
    if lost:
        notes = [Prose(f"{why} What it holds is not on this page.", tone="warning") for why in lost]
        yield Panel("Damaged tables", tuple(notes), order=0)


def _failure(what: str, why: str) -> Prose:
    text = f"{what} could not be shown: {why}"
    return Prose(f"{text} The numbers are in results.json.", tone="warning")
