"""The query that two prompts of the same row have in common: what of them is measured as a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.contract import Tokens


def same_query(left: Tokens, right: Tokens) -> tuple[Tokens, Tokens]:
    """Two prompts of one query, with spans of the same tokens wherever there are such.

    Both spans begin with the query, and so do their texts. What stands before it may be merged
    with its beginning on one side, or a blank be written there: the first token of that side is
    left out, and what the other side has for it; of a query of one token nothing may be left.
    Where a backend does not tell the query's text, a prompt without a context is all span, and
    loses what stands before the query, such as a BOS.
    The first token of a prompt is in neither span: it is a sink, whatever it is.
    """
    sides = (left, right)
    lengths = [one.span[1] - one.span[0] for one in sides]
    if left.query is None or right.query is None:
        begins = [one.span[0] or one.span[1] - min(lengths) for one in sides]
    else:
        begins = [one.span[0] for one in sides]
        alike = _common_end(*(one.ids[slice(*one.span)] for one in sides))
        if min(lengths) - alike <= 1:
            begins = [one.span[1] - alike for one in sides]
    first = max(0, *(1 - begin for begin in begins))
    pairs = zip(sides, begins, strict=True)
    one, other = (replace(side, span=(begin + first, side.span[1])) for side, begin in pairs)
    return one, other


def _common_end(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the longest common end."""
    pairs = zip(reversed(left), reversed(right), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
