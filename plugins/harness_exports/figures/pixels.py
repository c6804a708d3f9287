"""An SVG picture as PNG, without a browser: drawn by resvg, with the letters of Arimo.

Both come with the extra `png`. The letters are always the same ones, whatever fonts a machine has;
what Arimo lacks, such as Chinese, is taken from the machine's.
"""

from __future__ import annotations

import re
from importlib.resources import files

from harness.errors import PluginError

FAMILY = "Arimo"
"""As wide as Arial and Helvetica, for which the pictures are laid out."""


def png(picture: str, width: int) -> bytes:
    """The picture of an SVG, `width` pixels wide and as tall as that makes it.

    PluginError where the extra is not installed.
    """
    try:
        from resvg_py import svg_to_bytes

        font = files("fontpkg_arimo") / "files" / "Arimo[wght].ttf"
    except ImportError as error:
        raise PluginError(
            f"export figures: a PNG cannot be drawn here: {error}. Allowed without it: format=svg. "
            "Install it with: pip install 'sae-harness[png]'."
        ) from None
    drawn = re.sub(
        r'(<svg[^>]*?) font-family="[^"]*"', rf'\1 font-family="{FAMILY}"', picture, count=1
    )
    return bytes(
        svg_to_bytes(
            svg_string=drawn, width=width, font_files=[str(font)], sans_serif_family=FAMILY
        )
    )
