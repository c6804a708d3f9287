"""Writes the generated pages of this folder: `python docs/build.py`.

Contract, task language, metrics and components are described where they are defined, in docstrings,
and the architecture is read from the imports. This script collects all that into pages.
`tests/test_docs.py` fails where a page is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from generator import (
    architecture,
    components,
    contract,
    directory,
    gallery,
    metrics,
    schema,
    tasks,
)

HERE = Path(__file__).parent
PAGES: Mapping[str, Callable[[], str]] = {
    "contract.md": contract.page,
    "tasks.md": tasks.page,
    "task.schema.json": schema.page,
    "metrics.md": metrics.page,
    "components.md": components.page,
    "gallery.md": gallery.page,
    "directory.md": directory.page,
    "architecture.md": architecture.page,
    "architecture.svg": architecture.picture,
}
"""By file, what makes its text."""


def main() -> None:
    """Writes each page, and says which ones changed."""
    for name, make in PAGES.items():
        file, text = HERE / name, make()
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        file.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{file.relative_to(HERE.parent)}\n")


if __name__ == "__main__":
    main()
