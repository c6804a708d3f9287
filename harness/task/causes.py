"""Problems that come of one mistake, told once: where it shows first, and where else it does."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.task.file import dotted

if TYPE_CHECKING:
    from harness.task.validate import KeyParts

MOST = 6
"""Further places that a message names; more are counted."""


@dataclass(frozen=True)
class Misfit:
    """The key that does not fit, and what is wrong with it."""

    at: KeyParts
    what: str
    cause: Hashable = None
    """What all that comes of the same mistake has in common; None where nothing else comes of it.

    A width that meets another one is a cause, and so is a name that nothing has: whoever corrects
    it once has corrected it everywhere."""


def merged(misfits: Iterable[Misfit]) -> list[Misfit]:
    """The misfits in order, those of one cause as the first of them, which names the places of
    the others."""
    by_cause: dict[Hashable, list[Misfit]] = {}
    for number, misfit in enumerate(misfits):
        cause = (number,) if misfit.cause is None else (None, misfit.cause)
        by_cause.setdefault(cause, []).append(misfit)
    return [
        replace(first, what=first.what + _elsewhere(first, rest))
        for first, *rest in by_cause.values()
    ]


def _elsewhere(first: Misfit, rest: Iterable[Misfit]) -> str:
    """` Also at: a, b and 3 more.`, or nothing where all of it is at one place."""
    places = [*dict.fromkeys(dotted(one.at) for one in rest if one.at != first.at)]
    if not places:
        return ""
    more = f" and {len(places) - MOST} more" if len(places) > MOST else ""
    return f" Also at: {', '.join(places[:MOST])}{more}."
