"""Selection in compiled code, for CPUs with numba: one look at each pre-activation.

Import this module only there. All functions hold no lock of Python and start no threads: whoever
calls them divides the rows.

The k largest of a row are found while its columns come along, some at a time. `values` and `places`
[rows, room] hold the candidates of each row in the order of their columns, `filled` how many there
are, and `limit` a number that k values of the row exceed, so that what does not exceed it is none
of the largest. Positive floats are in the order of their bits. So a limit is found by halving an
interval of integers: to count what exceeds its middle is a few vector instructions.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from harness_saes.core.compiled import compiled

PIECE = 32
"""Columns that are compared at once; where none exceeds the limit, no more is done."""
_FIRST = 512
"""Columns of a row from which its first limit is found."""

Floats = Float[np.ndarray, "..."]
Ints = Int[np.ndarray, "..."]


@compiled
def _exceeding(bits: Ints, limit: int, infinity: int) -> int:
    """How many exceed a limit; NaN, whose bits are beyond those of infinity, does not."""
    count = np.int32(0)
    for i in range(len(bits)):
        count += np.int32((bits[i] > limit) & (bits[i] <= infinity))
    return count


@compiled
def _halved(bits: Ints, k: int, low: int, infinity: int, most: int) -> tuple[int, int]:
    """A limit from `low` on, and how many exceed it: at least k if as many exceed `low`.

    And at most `most`, unless so many equal the k-th largest; the limit is then just below it.
    """
    high = infinity
    count = _exceeding(bits, low, infinity)
    while count > most and high - low > 1:
        middle = low + (high - low) // 2
        above = _exceeding(bits, middle, infinity)
        if above >= k:
            low, count = middle, above
        else:
            high = middle
    return low, count


@compiled
def _squeezed(
    values: Floats, places: Ints, bits: Ints, k: int, low: int, infinity: int, most: int
) -> tuple[int, int]:
    """Keeps the candidates above a limit that at least k exceed; returns it, and how many are left.

    These are at most `most`. Where too many equal the k-th largest, the first of them are kept.
    """
    limit, count = _halved(bits, k, low, infinity, most)
    many = count > most
    equal = k - _exceeding(bits, limit + 1, infinity)
    n = 0
    for i in range(len(bits)):
        own = bits[i]
        kept = own > limit
        if many and own == limit + 1:
            kept = equal > 0
            equal -= 1
        values[n] = values[i]
        places[n] = places[i]
        n += kept
    return limit, n


@compiled
def add_columns(
    a: Floats,
    a_bits: Ints,
    first: int,
    k: int,
    values: Floats,
    places: Ints,
    bits: Ints,
    filled: Ints,
    limit: Floats,
    limit_bits: Ints,
    infinity: int,
) -> None:
    """Adds the columns `a` [rows, some], the first of which is column `first`, to the candidates:
    columns of which all come after those that were added before.

    `a_bits`, `bits` and `limit_bits` are the memory of `a`, `values` and `limit` as integers,
    `infinity` is that number as an integer. What is not above 0, or NaN, is never a candidate.
    """
    room = values.shape[1] - PIECE
    most = k + (room - k) // 4
    for r in range(len(a)):
        row = a[r]
        if filled[r] == 0:
            # A limit from some of them: otherwise half of all would be candidates for a while.
            some = a_bits[r, : max(_FIRST, 8 * k)]
            limit_bits[r], _ = _halved(some, k, limit_bits[r], infinity, k + k // 8)
        bound, n = limit[r], filled[r]
        for start in range(0, len(row), PIECE):
            part = row[start : start + PIECE]
            hits = np.int32(0)
            for i in range(len(part)):
                hits += np.int32(part[i] > bound)
            if hits == 0:
                continue
            if n > room:
                low = limit_bits[r]
                limit_bits[r], n = _squeezed(
                    values[r], places[r], bits[r, :n], k, low, infinity, most
                )
                bound = limit[r]
            own, where = values[r, n : n + PIECE], places[r, n : n + PIECE]
            m = 0
            for i in range(len(part)):
                # Written in any case, and overwritten by the next: no branch to guess.
                own[m] = part[i]
                where[m] = first + start + i
                m += part[i] > bound
            n += m
        filled[r] = n


@compiled
def settle(
    k: int,
    values: Floats,
    places: Ints,
    bits: Ints,
    starts: Ints,
    filled: Ints,
    limit_bits: Ints,
    infinity: int,
) -> None:
    """Leaves the k largest candidates of each row, and all where there are fewer.

    Those of row r are the `filled[r]` numbers from `starts[r]` on.
    """
    for r in range(len(starts)):
        n = filled[r]
        if n > k:
            own = slice(starts[r], starts[r] + n)
            low = limit_bits[r]
            _, n = _squeezed(values[own], places[own], bits[own], k, low, infinity, k)
            filled[r] = n


@compiled
def gathered(
    values: Floats,
    places: Ints,
    starts: Ints,
    filled: Ints,
    offsets: Ints,
    out_values: Floats,
    out_places: Ints,
) -> None:
    """Writes the candidates of each row behind those of the row before it."""
    for r in range(len(starts)):
        start, at = starts[r], offsets[r]
        for i in range(filled[r]):
            out_values[at + i] = values[start + i]
            out_places[at + i] = places[start + i]


@compiled
def count_above(a: Floats, threshold: Floats, counts: Ints) -> None:
    """How many of each row exceed the threshold of their column, strictly."""
    for r in range(len(a)):
        row = a[r]
        count = np.int32(0)
        for i in range(len(row)):
            count += np.int32(row[i] > threshold[i])
        counts[r] = count


@compiled
def take_above(
    a: Floats,
    threshold: Floats,
    first: int,
    offsets: Ints,
    values: Floats,
    places: Ints,
) -> None:
    """Writes what exceeds the threshold of its column; those of row r begin at `offsets[r]`.

    Column i of `a` is column `first + i`.
    """
    for r in range(len(a)):
        at, row = offsets[r], a[r]
        for start in range(0, len(row), PIECE):
            part, limits = row[start : start + PIECE], threshold[start : start + PIECE]
            hits = np.int32(0)
            for i in range(len(part)):
                hits += np.int32(part[i] > limits[i])
            if hits == 0:
                continue
            for i in range(len(part)):
                if part[i] > limits[i]:
                    values[at] = part[i]
                    places[at] = first + start + i
                    at += 1


@compiled
def move_rows(
    values: Floats,
    places: Ints,
    offsets: Ints,
    cursor: Ints,
    out_values: Floats,
    out_places: Ints,
) -> None:
    """Writes the numbers of each row r from `cursor[r]` on, which moves behind them."""
    for r in range(len(cursor)):
        to = cursor[r]
        for i in range(offsets[r], offsets[r + 1]):
            out_values[to] = values[i]
            out_places[to] = places[i]
            to += 1
        cursor[r] = to
