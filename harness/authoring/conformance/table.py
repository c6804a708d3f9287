"""What came out of the laws, as tables of 80 columns: passed, failed, or not tried and why."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from harness.authoring.conformance.check import LawResult
from harness.text import for_terminal

WIDTH = 80
_COLUMN = len("not tried") + 2
"""Where the names of laws begin, two columns after the longest outcome."""
_HEADS = ("passed", "failed", "not tried")


class Counts(Counter[str]):
    """How many laws of a component came out in each way."""

    def count(self, results: Iterable[LawResult]) -> Iterator[LawResult]:
        """Counts results as they go by."""
        for result in results:
            self[result.outcome] += 1
            yield result


def laws(results: Iterable[LawResult]) -> Iterator[str]:
    """A row for each law: its outcome and its name; below it, indented, why it did not pass.

    Laws one after the other that were not tried for one reason share the reason.
    """
    for (outcome, why), alike in groupby(results, key=lambda one: (one.outcome, one.why)):
        for one in alike:
            yield from _wrapped(outcome, one.law, 200)
        if why:
            yield from _wrapped("", why, 600)


def summary(counts: Mapping[str, Counts]) -> Iterator[str]:
    """A row for each component with its counts, where there are several, and all together."""
    total = sum(counts.values(), Counts())
    if len(counts) > 1:
        names = max(len("component"), *(len(for_terminal(name)) for name in counts))
        yield ""
        yield f"{'component':<{names}}" + "".join(f"{head:>11}" for head in _HEADS)
        for name, one in counts.items():
            numbers = (one["passed"], one["FAILED"], one["not tried"])
            yield f"{for_terminal(name):<{names}}" + "".join(f"{n:>11}" for n in numbers)
    passed, failed, untried = total["passed"], total["FAILED"], total["not tried"]
    yield f"{passed} laws passed, {failed} failed, {untried} not tried."


def _wrapped(outcome: str, text: str, longest: int) -> Iterator[str]:
    """A text in lines of `WIDTH`, after its outcome; a text without spaces is not broken."""
    first = f"{outcome:>{_COLUMN}}  "
    yield from textwrap.wrap(
        for_terminal(text, longest),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
