"""A notebook as a page: its words, its code, and what its code showed."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any


def markdown(text: str) -> str:
    """The Markdown of a notebook (nbformat 4), with pictures inside of it."""
    parts = []
    for cell in json.loads(text)["cells"]:
        words = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(words)
        elif cell["cell_type"] == "code":
            parts += [fenced(words, "python"), *_shown(cell["outputs"])]
    return "\n\n".join(parts) + "\n"


def fenced(text: str, language: str) -> str:
    """A block of code, with a fence that the text does not have."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _shown(outputs: list[dict[str, Any]]) -> Iterator[str]:
    """Each output in the richest form that it has: a picture, a table, else its text."""
    for output in outputs:
        forms = output.get("data", {"text/plain": output.get("text", [])})
        texts = {kind: "".join(lines) for kind, lines in forms.items()}
        if (picture := texts.get("image/svg+xml")) is not None:
            data = base64.b64encode(picture.encode()).decode()
            yield f"![What the cell shows](data:image/svg+xml;base64,{data})"
        elif (table := texts.get("text/html")) is not None:
            lines = (line for line in table.splitlines() if line.strip())  # a blank one ends HTML
            yield "<div>" + "\n".join(lines) + "</div>"
        else:
            yield fenced(texts["text/plain"], "text")
