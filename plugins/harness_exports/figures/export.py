"""The figures of a run's report as pictures, with an index that says where each comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.contract import ExportedRun, ExportFile, Figure, LeftOut, Panel, Results
from harness.drawing import caption, svg, undrawable
from harness.text import visible
from harness_exports.figures.index import index
from harness_exports.figures.options import FiguresOptions
from harness_exports.figures.pixels import png
from harness_exports.unshown import unshown

INDEX = "figures.json"
_LONGEST = 80


@dataclass(frozen=True)
class Drawn:
    """One figure of the report: its picture and what that is called, or why there is none."""

    panel: str
    figure: Figure
    stem: str = ""
    picture: str = ""
    why_not: str = ""


class Figures:
    """Draws every figure of the report as a file of its own, and `figures.json` beside them.

    The pictures are drawn from what the page draws, without a browser. `figures.json` says for each
    which part of the report it is, what it shows in words, and all records that it draws. A number
    that is undefined leaves a gap.

    Left out: figures with traces of a kind that is not drawn here. Source: the report.
    """

    def __init__(self, options: FiguresOptions) -> None:
        self.options = options

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """The pictures in the order of the report, then the index."""
        found = list(named(run))
        format, width = self.options.format, self.options.width
        kinds = {"svg": ("svg",), "png": ("png",), "both": ("svg", "png")}[format]
        for one in found:
            if one.why_not:
                yield LeftOut(visible(one.figure.title, 200), one.why_not)
                continue
            if "svg" in kinds:
                yield ExportFile(f"{one.stem}.svg", one.picture)
            if "png" in kinds:
                yield ExportFile(f"{one.stem}.png", png(one.picture, width))
        yield from unshown(run)
        told = index([(one.panel, one.figure, one.stem, one.why_not) for one in found], run, kinds)
        yield ExportFile(INDEX, json.dumps(told, indent=1) + "\n")


def named(run: ExportedRun) -> Iterator[Drawn]:
    """The figures in the order of the report, each with a name of its own."""
    taken: set[str] = set()
    for panel, figure in _figures(run.panels):
        picture, why = _drawn(figure, run.results)
        if why:
            yield Drawn(panel.title, figure, why_not=why)
            continue
        stem, number = _slug(f"{panel.title} {figure.title}"), 1
        name = stem
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        yield Drawn(panel.title, figure, name, picture)


def _figures(panels: Sequence[Panel]) -> Iterator[tuple[Panel, Figure]]:
    for panel in panels:
        for block in panel.blocks:
            if isinstance(block, Figure):
                yield panel, block


def _drawn(figure: Figure, results: Results) -> tuple[str, str]:
    """The picture, or why there is none. A stranger's figure may hold anything."""
    try:
        if why := undrawable(figure.data):
            return "", why
        return svg(figure, caption(figure, results)), ""
    except Exception as error:
        return "", f"it could not be drawn ({type(error).__name__}: {visible(error, 200)})"


def _slug(title: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return words[:_LONGEST].strip("-") or "figure"
