"""Draws a figure as an SVG picture that needs no script and no other file.

`svg(figure, caption(figure, results))` gives the picture, `undrawable(figure.data)` says why there
can be none. `drawing(figure, caption, wide)` gives the same in parts, with the places of its
numbers, for pages.
"""

from harness.drawing.caption import caption as caption, facts as facts, source as source
from harness.drawing.spots import Spot as Spot
from harness.drawing.svg import Drawing as Drawing, drawing as drawing, svg as svg
from harness.drawing.traces import undrawable as undrawable
