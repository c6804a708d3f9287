"""Links from a page to files beside it that lead nowhere else, whatever the files are called."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def relative_link(target: Path, page: Path) -> str:
    """The path from a page's folder to a file, made of letters, digits, `_.-~/%` alone.

    It begins with a dot, so that no name can be read as a scheme (`javascript:`) or as a server.
    """
    start = os.path.abspath(page.parent)  # noqa: PTH100 - as a browser reads it: links stay links
    path = os.path.relpath(os.path.abspath(target), start)  # noqa: PTH100
    return f"./{quote(os.fsencode(path), safe='/')}"
