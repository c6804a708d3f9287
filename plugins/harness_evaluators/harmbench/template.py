"""The prompts of the HarmBench classifiers. They are its interface, and match to the byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent / "templates"
FILES = {
    "A": str(_FOLDER / "harmbench_a.txt"),
    "B": str(_FOLDER / "harmbench_b.txt"),
    "mistral": str(_FOLDER / "harmbench_mistral.txt"),
}
"""Our templates. Sources: HarmBench, `eval_utils.py` (A, mistral); the model card (B)."""
CONTEXTUAL = str(_FOLDER / "harmbench_a_contextual.txt")
"""The form of A for behaviours that come with a context."""
_PLACES = re.compile(r"\{(behavior|context|generation)\}")


def template_text(file: str) -> str:
    """A template file's text. One line end at its end is an editor's, not the template's."""
    # With bytes: text mode would also turn a lone \r into a line end.
    text = Path(file).read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n")
    return text.removesuffix("\n")


def faults(template: str, contextual: bool) -> Iterator[str]:
    """Says what is wrong with a task's own template, in words that go on after its name."""
    places = set(_PLACES.findall(template))
    for place in ("behavior", "generation"):
        if place not in places:
            yield f"has no {{{place}}}"
    if contextual and "context" not in places:
        yield "has no {context}, but there is a context_column"
    if not contextual and "context" in places:
        yield "has a {context}, but there is no context_column"


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fills all places of a template at once, so that no place in a filled-in text is filled."""
    return _PLACES.sub(lambda place: values[place[1]], template)


def sha256(text: str) -> str:
    """Hash of a text, of lone surrogates, too."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
