"""The elements of an SVG file, as text. Everything that comes from elsewhere is made harmless."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from harness.text import visible

FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
INK, SOFT, RULE, PAPER = "#1f2328", "#57606a", "#d0d7de", "#ffffff"
"""Text, lesser text, lines of the grid, and the ground: readable on light pages and dark ones."""
_WIDE = 0.56
"""The width of a letter as a share of its height, on average and a little more."""
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}){1,2}")
_RGBA = re.compile(r"rgba?\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?:,\s*(0|1|0?\.\d+|1\.0+)\s*)?\)")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def element(name: str, content: str = "", /, **attributes: str | float | None) -> str:
    """An element with its content, which is SVG already. `font_size` becomes `font-size`.

    Numbers are rounded to hundredths; attributes that are None are left out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(_value(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def number(value: float) -> str:
    """A coordinate: to hundredths, the same on every machine."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def text(
    content: object,
    x: float,
    y: float,
    *,
    size: float = 12,
    fill: str = INK,
    anchor: str = "start",
    weight: str | None = None,
    turn: float | None = None,
) -> str:
    """A line of text; `anchor` is start, middle or end, `turn` an angle in degrees."""
    return element(
        "text",
        safe(content),
        x=x,
        y=y,
        font_size=size,
        fill=fill,
        text_anchor=None if anchor == "start" else anchor,
        font_weight=weight,
        transform=None if turn is None else f"rotate({number(turn)} {number(x)} {number(y)})",
    )


def safe(content: object) -> str:
    """Hostile text as the content of an element: no markup, nothing that XML forbids."""
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", visible(content)))


def width(content: object, size: float) -> float:
    """About how wide a line of text is, in pixels."""
    return len(visible(content)) * size * _WIDE


def wrapped(content: object, size: float, room: float, most: int) -> list[str]:
    """A text in lines that fit; what does not fit in `most` lines ends with an ellipsis."""
    lines: list[str] = []
    for word in visible(content).split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and width(joined, size) <= room:
            lines[-1] = joined
        else:
            lines += _pieces(word, max(1, int(room / (size * _WIDE))))
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1][:-1]}…"]
    return lines


def paint(colour: object, kind: str = "fill") -> dict[str, str | None]:
    """The attributes of a colour for `fill` or `stroke`; grey for what is no plain colour."""
    told = str(colour)
    if _HEX.fullmatch(told):
        return {kind: told}
    if found := _RGBA.fullmatch(told):
        red, green, blue = (min(255, int(part)) for part in found.groups()[:3])
        opacity = found[4]
        return {kind: f"#{red:02x}{green:02x}{blue:02x}", f"{kind}_opacity": opacity}
    return {kind: "#767676"}


def _pieces(word: str, most: int) -> Iterator[str]:
    for start in range(0, len(word), most):
        yield word[start : start + most]


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else number(value)
