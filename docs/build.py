"""Writes the generated pages of this folder: `python docs/build.py`.

The contract, the task language, metrics and components are documented where they are defined, in
docstrings; these pages are made from them. `tests/test_docs.py` fails where one is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from generator import components, contract, metrics, schema, tasks

HERE = Path(__file__).parent
PAGES: Mapping[str, Callable[[], str]] = {
    "contract.md": contract.page,
    "tasks.md": tasks.page,
    "task.schema.json": schema.page,
    "metrics.md": metrics.page,
    "components.md": components.page,
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
