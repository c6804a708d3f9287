"""The language of families: `of = "refusal_score[experiment=bypass]"`, numbers asked at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.task.terms import AXES, ID, Term, read_term

if TYPE_CHECKING:
    from harness.contract import Dependence, PValues

EXAMPLE = "refusal_score[experiment=bypass, direction=chat_features]"
_FORM = re.compile(rf"\s*(?P<id>{ID})\s*(?P<axes>{AXES})?\s*")


@dataclass(frozen=True)
class Family:
    """Numbers that a task asks at once: every one that a term fits, each with a p of its own."""

    name: str
    text: str
    """What is asked, in words."""
    of: tuple[str, ...]
    """Its terms, as the task writes them."""
    terms: tuple[Term, ...]
    rate: float
    """Of all discoveries, at most this share is false on average."""
    against: str | None = None
    """The control that arms are held against, or `none` for the un-edited arm."""
    dependence: Dependence = "positive"
    source: str | None = None


def parse(
    name: str,
    text: str,
    of: Sequence[str],
    rate: float = 0.05,
    against: str | None = None,
    dependence: Dependence = "positive",
    source: str | None = None,
) -> Family:
    """A family from what the task writes. ValueError says what is wrong with it, in words.

    Each of `of` is `id[axis=value, …]`: a record's id, or that of p values of a statistic.
    """
    written = [" ".join(one.split()) for one in of]
    if not written:
        raise ValueError(f"of is empty. Name the numbers, such as {EXAMPLE!r}")
    for one in written:
        if written.count(one) > 1:
            raise ValueError(f"{one!r} stands there twice. Each number counts once: write it once")
    terms = tuple(map(_term, written))
    return Family(name, text, tuple(written), terms, rate, against, dependence, source)


def asks(term: Term, tests: PValues) -> bool:
    """Whether a term fits some of many tests; by the axis of their items it may say which."""
    if term.id not in (tests.id, tests.id.partition("@")[0]):
        return False
    shared = {axis: value for axis, value in term.axes.items() if axis != tests.item}
    return Term(term.id, shared).fits(tests.axes)


def _term(text: str) -> Term:
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} names no numbers. Write an id and axes in brackets, such as {EXAMPLE!r}; a "
            "family has no bound and no difference: those are for claims"
        )
    return read_term(text, found["id"], found["axes"])
