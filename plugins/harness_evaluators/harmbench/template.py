"""The prompts of the HarmBench classifiers. They are its interface, and match to the byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.judges.templates import (
    fill as fill,
    sha256 as sha256,
    template_text as template_text,
)

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
