"""A part of the model card that a step of its own measures and writes, kept in a README."""

from __future__ import annotations

import re
from pathlib import Path

HEADER = """\
---
library_name: transformers
tags: [sae-harness, model-organism]
---

"""


def write_readme(folder: Path, section: str) -> None:
    """Keep a section beside what it describes; its heading becomes the file's title."""
    text = HEADER + section.replace("## ", "# ", 1)
    (folder / "README.md").write_text(text, encoding="utf-8")


def add_section(card: Path, readme: Path) -> None:
    """Put a README's section into the card, before its limits, in place of an older one."""
    if not (card.exists() and readme.exists()):
        return
    section = readme.read_text(encoding="utf-8").removeprefix(HEADER).replace("# ", "## ", 1)
    heading = re.escape(section.splitlines()[0])
    text = re.sub(rf"(?ms)^{heading}\n.*?(?=^## |\Z)", "", card.read_text(encoding="utf-8"))
    head, limits, rest = text.partition("## Limits\n")
    card.write_text(
        f"{head.rstrip()}\n\n{section.rstrip()}\n\n{limits}{rest}".rstrip() + "\n",
        encoding="utf-8",
    )
