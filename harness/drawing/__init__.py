"""Draws a figure as an SVG picture that needs no script and no other file.

`svg(figure, caption(figure, results))` gives the picture, `undrawable(figure.data)` says why there
can be none.
"""

from harness.drawing.caption import caption as caption
from harness.drawing.svg import svg as svg
from harness.drawing.traces import undrawable as undrawable
