"""A picture of the layers as one SVG: a band for each layer, an arrow for each import.

Two kinds of imports have no arrow, because they would hide the others: those that follow from
others (where `cli` imports `running` and `running` imports `task`, none leads from `cli` to
`task`), and those of the lowest layer, which nearly all parts import. The picture brings its own
background, and dark colours for readers who prefer them, so it can be read on any page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from generator.imports import Graph, reachable
from generator.layers import Layer

WIDTH = 900
BAND, GAP, MARGIN = 58, 36, 20
SIDE = 190
"""Width of the column on the left with the names of the layers."""
BOX = 34
LETTER = 8.4
"""Pixels that a letter of a part's name takes, with its share of the box's edge."""
STYLE = """\
  .page { fill: #ffffff; stroke: #d0d7de; }
  .band { fill: #f3f6f9; }
  .box { fill: #ffffff; stroke: #57606a; }
  .name { fill: #1f2328; font: 600 14px ui-monospace, SFMono-Regular, Menlo, monospace; }
  .layer { fill: #57606a; font: 13px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
  .arrow { fill: none; stroke: #0969da; stroke-width: 1.3; opacity: 0.55; }
  .head { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d; }
    .band { fill: #161b22; }
    .box { fill: #0d1117; stroke: #8b949e; }
    .name { fill: #e6edf3; }
    .layer { fill: #9da7b1; }
    .arrow { stroke: #58a6ff; }
    .head { fill: #58a6ff; }
  }"""


@dataclass(frozen=True)
class Box:
    """Where a part is drawn: the middle of its upper edge, and its width."""

    x: float
    y: float
    width: float


def svg(layers: Sequence[Layer], graph: Graph, labels: Mapping[str, str]) -> str:
    """The picture of parts in layers, the lowest layer at the bottom.

    `labels` renames parts that are not called as readers know them.
    """
    boxes = dict(_boxes(layers, labels))
    height = 2 * MARGIN + len(layers) * (BAND + GAP) - GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title">',
        '<title id="title">The parts of the harness in layers; every arrow points down.</title>',
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>',
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        *_bands(layers),
        *_curves(arrows(layers, graph), boxes),
        *(_box(labels.get(part, part), box) for part, box in boxes.items()),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def arrows(layers: Sequence[Layer], graph: Graph) -> Iterator[tuple[str, str]]:
    """The imports to draw, each from the importer to the imported."""
    for part in sorted(graph):
        for target in sorted(graph[part] - set(layers[0].parts)):
            others = graph[part] - {target}
            if not any(target in reachable(graph, other) for other in others):
                yield part, target


def _top(layers: Sequence[Layer], number: int) -> float:
    """The upper edge of a layer's band."""
    return MARGIN + (len(layers) - 1 - number) * (BAND + GAP)


def _boxes(layers: Sequence[Layer], labels: Mapping[str, str]) -> Iterator[tuple[str, Box]]:
    """The box of every part: those of a layer share its width evenly."""
    for number, layer in enumerate(layers):
        share = (WIDTH - 2 * MARGIN - SIDE) / len(layer.parts)
        for place, part in enumerate(layer.parts):
            middle = MARGIN + SIDE + share * (place + 0.5)
            width = LETTER * len(labels.get(part, part)) + 28
            yield part, Box(middle, _top(layers, number) + (BAND - BOX) / 2, width)


def _bands(layers: Sequence[Layer]) -> Iterator[str]:
    for number, layer in enumerate(layers):
        top = _top(layers, number)
        yield (
            f'<rect class="band" x="{MARGIN}" y="{top:g}" width="{WIDTH - 2 * MARGIN}" '
            f'height="{BAND}" rx="6"/>'
        )
        words = [f"{number + 1} · {layer.name}"]
        if "," in layer.name:
            first, _, second = words[0].partition(", ")
            words = [f"{first},", second]
        for row, text in enumerate(words):
            y = top + BAND / 2 + 5 + 18 * (row - (len(words) - 1) / 2)
            yield f'<text class="layer" x="{MARGIN + 12}" y="{y:g}">{escape(text)}</text>'


def _curves(drawn: Iterable[tuple[str, str]], boxes: Mapping[str, Box]) -> Iterator[str]:
    """Curves from a lower edge to an upper edge; those that share an edge are spread along it."""
    drawn = list(drawn)
    for part, target in drawn:
        leaving = sorted((to for at, to in drawn if at == part), key=lambda to: boxes[to].x)
        coming = sorted((at for at, to in drawn if to == target), key=lambda at: boxes[at].x)
        x, end = _spread(boxes[part], leaving, target), _spread(boxes[target], coming, part)
        top, bottom = boxes[part].y + BOX, boxes[target].y - 1
        bend = (bottom - top) / 2
        yield (
            f'<path class="arrow" marker-end="url(#head)" d="M{x:.1f} {top:.1f} '
            f'C{x:.1f} {top + bend:.1f} {end:.1f} {bottom - bend:.1f} {end:.1f} {bottom:.1f}"/>'
        )


def _spread(box: Box, names: Sequence[str], name: str) -> float:
    """Where on a box's edge the arrow of one name among several starts or ends."""
    step = min(14.0, (box.width - 16) / len(names))
    return box.x + step * (names.index(name) - (len(names) - 1) / 2)


def _box(name: str, box: Box) -> str:
    left = box.x - box.width / 2
    return (
        f'<rect class="box" x="{left:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{BOX}" rx="6"/>'
        f'<text class="name" x="{box.x:.1f}" y="{box.y + 22:.1f}" text-anchor="middle">'
        f"{escape(name)}</text>"
    )
