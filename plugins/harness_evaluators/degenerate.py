"""Whether a text is broken: loops, stuck letters, nonsense. No language is assumed.

A steered model often falls into repetition, and a phrase found in such a text says nothing about
what the model wanted. The rules look for repetition that writing does not have. They are a
heuristic, made to be silent on ordinary answers: lists, code, tables, verse, numbers, one word.
Fluent nonsense without repetition is not found.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MOST = 20_000
"""Characters that are looked at: half from the start and half from the end of a longer text."""

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_CODE = re.compile(r"\w+")
_LETTERS = re.compile(r"[^\W\d_]+")
_RUN = re.compile(r"(.)\1{3,}", re.DOTALL)
"""One character four times in a row and more."""


@dataclass(frozen=True)
class Loop:
    """A stretch of a sequence that repeats its first `period` items, the last time maybe partly."""

    start: int
    length: int
    period: int

    @property
    def end(self) -> int:
        """Where the stretch is over."""
        return self.start + self.length

    @property
    def times(self) -> float:
        """How often the period fits into the stretch; at least 2."""
        return self.length / self.period


def broken(text: str) -> str | None:
    """Why a text is broken, in words that quote nothing of it; None where it is not.

    The rules, on the text in lower case with all white space made single blanks:

    - *empty*: nothing to read.
    - *undecodable*: over 5% replacement or control characters.
    - *stuck letter*: one letter 5 times in a row where the text ends with it ("thatteeeee"), 12
      times anywhere, or runs of 4 and more that are 8 letters and a tenth of all. Not one "sooooo".
    - *stuck syllable*: 2 to 12 letters 4 times in a row, 16 letters or more in all, where the text
      ends with it or a third of it is that.
    - *word loop*: one word 4 times in a row over more than 0.4 of the text, 6 times where the text
      ends with it, 12 times anywhere, or 3 times with nothing else.
    - *phrase loop*: 2 to 60 words 3 times in a row over a third of the text (9 words or more), or
      4 times where the text ends with it (16 words or more).
    - *symbols*: 1 to 4 characters, no letter or digit among them, in a row for 20 characters and
      more than half of the text.
    - *few phrases*: of 60 words or more, fewer than 3 in 10 runs of four words are different.
    - *no word*: more than 60 lower-case letters without a break, or 16 and more of 4 kinds.

    Time is linear in the length of the text, of which at most `MOST` characters are read.
    """
    written = " ".join(_cut(text).split())
    if not written:
        return "empty"
    text = written.lower()
    words = _WORD.findall(text)
    return (
        _undecodable(text)
        or _stuck(text)
        or _word_loop(words)
        or _symbols(text)
        or _few_phrases(words)
        or _no_word(written)
    )


def loops(items: Sequence[object], longest: int, shortest: int) -> Iterator[Loop]:
    """Every stretch that repeats a period of at most `longest` items, `shortest` items or more.

    Compares the sequence with itself, moved by each period: len(items) · longest steps.
    """
    array = _codes(items)
    most, width = min(longest, len(array) // 2), len(array) + 1
    # A row for each period. It begins and ends with no, so that none runs on into the next.
    same = np.zeros((most, width), bool)
    for period in range(1, most + 1):
        np.equal(array[period:], array[:-period], out=same[period - 1, 1 : width - period])
    flat = same.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = edges[::2], edges[1::2]
    periods = starts // width + 1
    lengths = ends - starts + periods
    found = np.flatnonzero(lengths >= np.maximum(2 * periods, shortest))
    at = (starts[found] % width, lengths[found], periods[found])
    yield from map(Loop, *(one.tolist() for one in at))


def _codes(items: Sequence[object]) -> np.ndarray:
    """A number for each item, equal where the items are."""
    if isinstance(items, str):
        return np.frombuffer(items.encode("utf-32-le", "surrogatepass"), np.uint32)
    codes: dict[object, int] = {}
    return np.array([codes.setdefault(item, len(codes)) for item in items], np.uint32)


def _undecodable(text: str) -> str | None:
    # Not all of category C: Persian and emoji need their joiners.
    bad = sum(
        times
        for one, times in Counter(text).items()
        if one == "\ufffd" or unicodedata.category(one) in ("Cc", "Co", "Cs")
    )
    return "undecodable characters" if bad > 0.05 * len(text) else None


def _stuck(text: str) -> str | None:
    # Hexadecimal numbers and other codes may repeat a letter.
    text = _CODE.sub(lambda word: word[0] if word[0].isalpha() else " " * len(word[0]), text)
    end = next((i for i in range(len(text), 0, -1) if text[i - 1].isalnum()), 0)
    runs = [len(run[0]) for run in _RUN.finditer(text) if run[1].isalpha()]
    if sum(runs) >= 8 and max(runs) < sum(runs) >= sum(map(str.isalpha, text)) / 10:
        return "stuck letters"
    for loop in loops(text, 12, 5):
        unit = text[loop.start : loop.start + loop.period]
        at_end = loop.end >= end
        if not all(unicodedata.category(one)[0] in "LM" for one in unit):
            continue
        if loop.period == 1:
            if loop.length >= 12 or at_end:
                return "stuck letter"
        elif loop.times >= 4 and loop.length >= 16 and (at_end or loop.length >= len(text) / 3):
            return "stuck syllable"
    return None


def _word_loop(words: Sequence[str]) -> str | None:
    for loop in loops(words, 60, 3):
        unit = words[loop.start : loop.start + loop.period]
        if not any(_LETTERS.search(word) for word in unit):
            continue  # rows of numbers are data
        # The last word may be cut off by the token limit.
        at_end = loop.end >= len(words) - 1
        if loop.period == 1:
            alone = loop.length == len(words)
            most = loop.times >= 4 and loop.length > 0.4 * len(words)
            if most or alone or loop.times >= (6 if at_end else 12):
                return "word loop"
        else:
            much = loop.times >= 3 and loop.length >= max(9, len(words) / 3)
            if much or (loop.times >= 4 and loop.length >= 16 and at_end):
                return "phrase loop"
    return None


def _symbols(text: str) -> str | None:
    if 2 * sum(map(str.isalnum, text)) >= len(text):
        return None  # what is more than half of it has letters or digits
    for loop in loops(text, 4, 20):
        unit = text[loop.start : loop.start + loop.period]
        if loop.length > len(text) / 2 and not any(one.isalnum() for one in unit):
            return "symbols"
    return None


def _few_phrases(words: Sequence[str]) -> str | None:
    if len(words) < 60:
        return None
    phrases = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return "few phrases" if len(set(phrases)) < 0.3 * len(phrases) else None


def _no_word(written: str) -> str | None:
    for run in _LETTERS.findall(written):
        # Only scripts with cases, in lower case: others write without blanks, and capitals and
        # mixtures are acronyms, sequences and codes.
        if len(run) >= 16 and run.islower() and (len(run) > 60 or len(set(run)) <= 4):
            return "no word"
    return None


def _cut(text: str) -> str:
    return text if len(text) <= MOST else text[: MOST // 2] + text[-MOST // 2 :]
