"""What a plan knows of the documents of a rendering: how long they are, how much is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from harness.contract import Tokens

CLOSING = 5
"""About how many tokens a chat template writes behind what is asked."""


@dataclass(frozen=True, slots=True)
class Document:
    """One row of some data, as the views of a rendering read it."""

    lengths: tuple[int, ...]
    """Tokens of its prompt in each of the views."""
    category: str = ""
    """Where the data come in categories: its own."""
    prompt: Spelled | None = None
    """The first view's prompt; None where no tokenizer was at hand."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """Where in a prompt stands what is measured; `Tokens` without the ids that do not matter."""

    length: int
    span: tuple[int, int]
    asked: tuple[int, int] | None
    answered: tuple[int, int] | None
    special: tuple[tuple[int, int], ...]
    """The tokens that some model of the task never measures: place and id."""

    @classmethod
    def of(cls, tokens: Tokens, special: Set[int]) -> Spelled:
        """What of a prompt a plan keeps."""
        found = tuple((at, token) for at, token in enumerate(tokens.ids) if token in special)
        return cls(len(tokens.ids), tokens.span, tokens.asked, tokens.answered, found)

    def masked(self, masked: frozenset[int], start: int, end: int) -> int:
        """How many tokens from `start` to `end` are among the masked ones."""
        return sum(start <= at < end and token in masked for at, token in self.special)


How = Literal["all", "last", "closing", "answer", "predicting"]
"""What a stream measures, as `Stream.tokens`."""


@dataclass(frozen=True)
class Measured:
    """How many tokens of some documents a stream measures."""

    tokens: int
    exact: bool
    """Whether it is that many, or at most that many."""


def measured(document: Document, how: How, skip: int, masked: frozenset[int] | None) -> Measured:
    """How many tokens of a document are measured, as `harness.running.reading.rows.measured` has
    them; at most so many where no tokenizer was at hand, or the masked tokens are unknown."""
    prompt = document.prompt
    if prompt is None:
        return Measured(_AT_MOST[how](document.lengths[0], skip), False)
    count = _COUNTED[how](prompt, skip, masked or frozenset())
    return Measured(count, masked is not None or how in ("last", "closing"))


def measured_of_all(
    documents: Iterable[Document], how: How, skip: int, masked: frozenset[int] | None
) -> Measured:
    """How many tokens of all these documents are measured: the sum of `measured`."""
    found = [measured(one, how, skip, masked) for one in documents]
    return Measured(sum(one.tokens for one in found), all(one.exact for one in found))


def _all(one: Spelled, skip: int, masked: frozenset[int]) -> int:
    return _between(one, max(one.span[0], 1, skip), one.span[1], masked)


def _last(one: Spelled, skip: int, masked: frozenset[int]) -> int:
    return min(1, one.length)


def _closing(one: Spelled, skip: int, masked: frozenset[int]) -> int:
    if one.asked is None:
        return 0
    return max(0, (one.answered[0] if one.answered else one.span[1]) - one.asked[1])


def _answer(one: Spelled, skip: int, masked: frozenset[int]) -> int:
    start, end = one.answered or (0, 0)
    return _between(one, max(start, one.span[0], 1, skip), min(end, one.span[1]), masked)


def _predicting(one: Spelled, skip: int, masked: frozenset[int]) -> int:
    start, end = one.answered or (0, 0)
    first = max(start - 1, skip)
    return _between(one, first + 1, end, masked)


def _between(one: Spelled, start: int, end: int, masked: frozenset[int]) -> int:
    return max(0, end - start) - one.masked(masked, start, end)


_COUNTED: Mapping[str, Callable[[Spelled, int, frozenset[int]], int]] = {
    "all": _all,
    "last": _last,
    "closing": _closing,
    "answer": _answer,
    "predicting": _predicting,
}
_AT_MOST: Mapping[str, Callable[[int, int], int]] = {
    "all": lambda length, skip: max(0, length - max(1, skip)),
    "last": lambda length, skip: min(1, length),
    # A prompt is closed with few tokens; an answer is at most all of its document.
    "closing": lambda length, skip: min(max(0, length - 1), CLOSING),
    "answer": lambda length, skip: max(0, length - max(1, skip)),
    "predicting": lambda length, skip: max(0, length - max(1, skip)),
}
