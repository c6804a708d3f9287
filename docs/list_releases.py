"""Writes the page of sae_lens' releases anew, for the version that is installed.

    python docs/list_releases.py

Apart from `docs/build.py`, since the list is sae_lens' and changes with its version.
`tests/plugins/saes_scopes/test_saes_listed.py` fails where the page is out of date for the version
that it names.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generator.saelens import page, walk

FILE = Path(__file__).parent / "saelens.md"


def main() -> None:
    """Writes the page, and says so if it changed."""
    text = page(walk())
    if FILE.is_file() and FILE.read_text(encoding="utf-8") == text:
        return
    FILE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{FILE.relative_to(FILE.parents[1])}\n")


if __name__ == "__main__":
    main()
