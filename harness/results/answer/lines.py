"""Sentences as lines of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from harness.results.answer.sentence import Sentence
from harness.text import for_terminal

_LONGEST = 400


def lines(sentences: Iterable[Sentence], width: int) -> Iterator[str]:
    """Each sentence on lines of its own, the second and later ones indented; made harmless."""
    for sentence in sentences:
        yield from textwrap.wrap(
            for_terminal(sentence.text, _LONGEST), width, subsequent_indent="  "
        ) or [""]


def fitting(sentences: Sequence[Sentence], width: int, most: int) -> list[str]:
    """The lines of as many sentences, from the first on, as make at most so many lines."""
    found: list[str] = []
    for sentence in sentences:
        more = list(lines([sentence], width))
        if len(found) + len(more) > most:
            break
        found += more
    return found
