"""Rows and the tokens in them: nothing is cut, lost, counted twice, or moved by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings, strategies as st

from fakes import BOS, EOS, PAD
from harness.contract import Activations, Site, Stream, Tokens, Where
from harness.errors import ModelError
from harness.planning.queries import same_query
from harness.running.reading.rows import (
    aligned,
    check_aligned,
    measured,
    one_row,
    packed,
)

MASKED = frozenset({PAD, BOS, EOS})
STREAM = Stream("s", "v", "d")
SITE = Site("embed")
SPECIAL_OR_NOT = st.integers(0, 9)


@st.composite
def document(draw: st.DrawFn, number: int = 0) -> Tokens:
    ids = tuple(draw(st.lists(SPECIAL_OR_NOT, max_size=7)))
    ends = sorted(draw(st.tuples(*[st.integers(0, len(ids))] * 2)))
    return Tokens("", ids, (ends[0], ends[1]), "")


DOCUMENTS = st.lists(document(), max_size=8).map(
    lambda many: [replace(one, example=f"d{n}") for n, one in enumerate(many)]
)


@pytest.mark.slow
@settings(deadline=None)
@given(DOCUMENTS, st.integers(1, 20))
def test_packing_keeps_every_document_whole_and_in_order(many: list[Tokens], length: int) -> None:
    rows = packed(many, length)
    assert [part.tokens for row in rows for part in row.parts] == many
    for row in rows:
        assert row.parts
        assert len(row.tokens.ids) <= length or len(row.parts) == 1
        for part in row.parts:
            end = part.begin + len(part.tokens.ids)
            assert row.tokens.ids[part.begin : end] == part.tokens.ids
        assert len(row.tokens.ids) == sum(len(part.tokens.ids) for part in row.parts)
    for one, other in pairwise(rows):
        # A new row begins only where the next document did not fit.
        assert len(one.tokens.ids) + len(other.parts[0].tokens.ids) > length


@pytest.mark.slow
@settings(deadline=None)
@given(DOCUMENTS, st.integers(1, 20), st.integers(0, 4), st.sampled_from(["all", "last"]))
def test_packed_or_not_the_same_tokens_count(
    many: list[Tokens], length: int, skip: int, which: str
) -> None:
    stream = Stream("s", "v", "d", tokens=which, where=Where(skip_first=skip))  # type: ignore[arg-type]
    wanted = [
        (number, place, one.ids[place])
        for number, one in enumerate(many)
        for place in range(len(one.ids))
        if (
            place == len(one.ids) - 1
            if which == "last"
            else one.span[0] <= place < one.span[1]
            and place >= max(1, skip)
            and one.ids[place] not in MASKED
        )
    ]
    for rows in (packed(many, length), [one_row(one) for one in many]):
        found = measured(rows, stream, MASKED)
        keys = zip(
            found.document.tolist(), found.position.tolist(), found.ids.tolist(), strict=True
        )
        assert list(keys) == wanted
        for row, offset, one in zip(found.row, found.offset, found.ids, strict=True):
            assert rows[int(row)].tokens.ids[int(offset)] == int(one)


@pytest.mark.slow
@settings(deadline=None)
@given(DOCUMENTS, st.integers(1, 20))
def test_values_are_found_on_either_side_of_the_padding(many: list[Tokens], length: int) -> None:
    rows = packed(many, length)
    found = measured(rows, STREAM, MASKED)
    longest = max((len(row.tokens.ids) for row in rows), default=0)
    for left in (False, True):
        x = torch.full((len(rows), longest, 1), -1.0)
        start = []
        for number, row in enumerate(rows):
            begin = longest - len(row.tokens.ids) if left else 0
            start.append(begin)
            x[number, begin : begin + len(row.tokens.ids), 0] = torch.tensor(row.tokens.ids).float()
        activations = Activations({SITE: x}, tuple(start))
        assert found.take(activations, activations.sites[SITE])[:, 0].tolist() == found.ids.tolist()


def test_no_row_at_all_measures_nothing() -> None:
    assert packed([], 8) == []
    assert measured([], STREAM, MASKED).ids.tolist() == []


# ── Two renderings of one query ──────────────────────────────────────────────────────────────────

QUERY = (11, 12, 13)


def prompt(context: tuple[int, ...], query: tuple[int, ...] = QUERY, *, end: int = 0) -> Tokens:
    """A BOS, a context and a query; the whole is the span where there is no context."""
    ids = (BOS, *context, *query)
    start = 1 + len(context) if context else 0
    return Tokens("x", ids, (start, len(ids) - end), "")


CONTEXTS: list[tuple[int, ...]] = [(), (5,), (5, 6, 7, 8), (11, 12, 13, 11)]


@pytest.mark.parametrize("left", CONTEXTS)
@pytest.mark.parametrize("right", CONTEXTS)
def test_both_sides_measure_the_same_query_tokens(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    """Also where one side has no context, so that its span has the BOS in it."""
    one, other = same_query(prompt(left), prompt(right))
    rows, others = [one_row(one)], [one_row(other)]
    check_aligned(rows, others, "here")
    mine = measured(rows, STREAM, MASKED)
    theirs = aligned(rows, others, mine)
    assert [one.ids[i] for i in mine.offset] == list(QUERY)
    assert [other.ids[i] for i in theirs.offset] == list(QUERY)
    assert mine.offset.tolist() == [1 + len(left) + i for i in range(3)]
    assert theirs.offset.tolist() == [1 + len(right) + i for i in range(3)]


@pytest.mark.parametrize("swap", [False, True])
def test_the_first_token_of_either_side_is_never_measured(swap: bool) -> None:
    """Without a BOS it is part of the query: a sink on that side."""
    short = Tokens("x", QUERY, (0, 3), "")
    long = Tokens("x", (5, 6, *QUERY), (2, 5), "")
    sides = same_query(long, short) if swap else same_query(short, long)
    rows, others = [one_row(sides[0])], [one_row(sides[1])]
    check_aligned(rows, others, "here")
    mine = measured(rows, STREAM, MASKED)
    assert mine.ids.tolist() == [12, 13]
    assert 0 not in aligned(rows, others, mine).offset.tolist()


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (prompt((5,)), prompt((5, 6), (11, 12, 14)), "3 tokens on .*, 3 on .*at token 2"),
        (prompt((5,)), prompt((5, 6), (12, 13)), "3 tokens on .*, 2 on .*at token 0"),
        (prompt((5,)), prompt((5, 6), end=1), "3 tokens on .*, 2 on .*at token 2"),
        (prompt(()), prompt((5, 6), (11, 12, 14)), "at token 2"),
        (prompt(()), prompt((5, 6), end=1), "at token 0"),
        (prompt((5,), end=1), prompt(()), "at token 0"),
    ],
    ids=["another", "shorter", "cut", "alone", "slipped", "swapped"],
)  # fmt: skip
def test_spans_that_differ_by_one_token_are_refused(left: Tokens, right: Tokens, said: str) -> None:
    one, other = same_query(left, right)
    with pytest.raises(ModelError, match=rf"here: (.|\n)*Document x: (.|\n)*{said}"):
        check_aligned([one_row(one)], [one_row(other)], "here")


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 6)), max_size=6))
def test_every_token_of_every_document_is_found_on_the_other_side(
    lengths: list[tuple[int, int, int]],
) -> None:
    """Tokens are numbered apart, so that one that slips by a place is another number."""
    rows, others = [], []
    for number, (left, right, query) in enumerate(lengths):
        ids = tuple(1000 * (number + 1) + i for i in range(query))
        one, other = same_query(prompt((7,) * left, ids), prompt((8,) * right, ids))
        rows.append(one_row(one))
        others.append(one_row(other))
    check_aligned(rows, others, "here")
    mine = measured(rows, STREAM, MASKED)
    theirs = aligned(rows, others, mine)
    assert len(mine.ids) == sum(query for _, _, query in lengths)
    for row, offset, one in zip(theirs.row, theirs.offset, theirs.ids, strict=True):
        assert others[int(row)].tokens.ids[int(offset)] == int(one)
