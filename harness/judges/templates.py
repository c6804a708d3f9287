"""Templates of judges: read from files, filled at once, and known by their hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


def template_text(file: str) -> str:
    """A template file's text. One line end at its end is an editor's, not the template's."""
    # With bytes: text mode would also turn a lone \r into a line end.
    text = Path(file).read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n")
    return text.removesuffix("\n")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fills all places `{name}` of a template at once, so that none in a filled-in text is one.

    Only the names in `values` are places; other braces stay as they are.
    """
    places = re.compile(rf"\{{({'|'.join(map(re.escape, values))})\}}")
    return places.sub(lambda place: values[place[1]], template)


def missing_places(template: str, names: Sequence[str]) -> Iterator[str]:
    """Says which places a template lacks, in words that go on after its name."""
    for name in names:
        if f"{{{name}}}" not in template:
            yield f"has no {{{name}}}"


def sha256(text: str) -> str:
    """Hash of a text, of lone surrogates, too."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
