"""On which side of its point each label of a scatter stands, so that few of them overlap."""

from __future__ import annotations

from collections.abc import Sequence

_SIDES = {
    "top right": (1, 1),
    "bottom right": (1, -1),
    "top left": (-1, 1),
    "bottom left": (-1, -1),
}
"""Plotly's names, and the way from the point. Corners keep clear of bars of intervals."""
_LETTER, _LINE = 0.022, 0.05
"""Width of a letter and height of a line, as shares of a phone's figure."""
_Box = tuple[float, float, float, float]


def label_sides(
    xs: Sequence[float],
    ys: Sequence[float],
    texts: Sequence[str],
    x_range: Sequence[float],
    y_range: Sequence[float],
) -> list[str]:
    """A side for each label: the first one in the least of others' way, label by label.

    Labels that would leave the figure count as in the way.
    """
    places = [
        ((x - x_range[0]) / (x_range[1] - x_range[0]), (y - y_range[0]) / (y_range[1] - y_range[0]))
        for x, y in zip(xs, ys, strict=True)
    ]
    taken = [(x - 0.015, y - 0.02, x + 0.015, y + 0.02) for x, y in places]
    chosen = []
    for place, text in zip(places, texts, strict=True):
        boxes = {side: _box(place, text, way) for side, way in _SIDES.items()}
        best = min(boxes, key=lambda side: _in_the_way(boxes[side], taken))
        taken.append(boxes[best])
        chosen.append(best)
    return chosen


def _box(place: tuple[float, float], text: str, way: tuple[int, int]) -> _Box:
    (x, y), width = place, _LETTER * len(text)
    left = x if way[0] > 0 else x - width
    bottom = y if way[1] > 0 else y - _LINE
    return left, bottom, left + width, bottom + _LINE


def _in_the_way(box: _Box, taken: Sequence[_Box]) -> float:
    """The area shared with others, and what lies outside the figure."""
    width, height = box[2] - box[0], box[3] - box[1]
    inside = _shared(box, (0.0, 0.0, 1.0, 1.0))
    return width * height - inside + sum(_shared(box, other) for other in taken)


def _shared(one: _Box, other: _Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
