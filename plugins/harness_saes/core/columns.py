"""Encoding by columns: some of all latents at a time, looked at while they are in the cache.

The product of some tokens is made for some latents, and what is active among them is found at once,
in compiled code (`kernels`), by the same thread. So the matrix of pre-activations never exists as a
whole, and each of its numbers is read once. For CPUs where numba is installed; the numbers are
those of `picks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract.latents import Latents, joined
from harness.store.notes import note
from harness.text import for_terminal
from harness_saes.core import picks
from harness_saes.core.cells import COLUMNS, Cell, cells
from harness_saes.core.compiled import kept
from harness_saes.core.threads import side_by_side

LEAST = 2**23
"""Pre-activations of a call for which numba is worth its import, of half a second."""
_INTEGERS = {"float32": np.int32, "float64": np.int64}
"""Integers that are as wide, by what kernels work on."""


@dataclass(frozen=True)
class Active:
    """What is active of some tokens: of row r, from `offsets[r]` to `offsets[r + 1]`."""

    values: Float[np.ndarray, " nnz"]
    places: Int[np.ndarray, " nnz"]
    """Latents, ascending in each row."""
    offsets: Int[np.ndarray, " rows_plus_1"]

    @classmethod
    def room(
        cls, counts: Int[np.ndarray, " rows"], dtype: np.dtype, places: type = np.int64
    ) -> Active:
        """Memory for so many of each row."""
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return cls(np.empty(offsets[-1], dtype), np.empty(offsets[-1], places), offsets)

    @property
    def counts(self) -> Int[np.ndarray, " rows"]:
        """How many of each row."""
        return np.diff(self.offsets)


def pays(x: Float[Tensor, "tokens d_in"], d_sae: int) -> bool:
    """Whether to encode tokens by columns: many numbers, on a CPU, with compiled code at hand."""
    if x.device.type != "cpu" or len(x) * d_sae < LEAST:
        return False
    return x.dtype in (torch.float32, torch.float64) and kept() is not None and works(x.dtype)


@cache
def works(dtype: torch.dtype) -> bool:
    """Whether compiled code gives the right latents of a few tokens; noted where it does not.

    numba may be installed and not fit numpy, its files be torn, the disk be full, the processor
    be unknown to it: no reason for a run to end.
    """
    x = torch.tensor([[1.0], [-1.0]], dtype=dtype)
    w, bias = torch.arange(-40, 40, dtype=dtype)[None], torch.ones(80, dtype=dtype)
    a = x * w + bias
    try:
        from numba.core import config

        right = not config.DISABLE_JIT and all(
            torch.equal(found.dense(), picks.active(a, positions).dense())
            for found, positions in (
                (top(x, w, bias, 5), picks.top(a, 5)),
                (above(x, w, bias, 3 * bias), picks.above(a, 3 * bias)),
            )
        )
        why = "it is turned off (NUMBA_DISABLE_JIT)" if config.DISABLE_JIT else "its numbers differ"
    except Exception as error:
        right, why = False, for_terminal(f"{type(error).__name__}: {error}", 200)
    if not right:
        note(
            f"compiled code cannot be used here: {why}. The run goes on without it, with the same "
            f"numbers, more slowly. To have it, remove the folder {kept()}, or install another "
            "version of numba."
        )
    return right


def top(
    x: Float[Tensor, "tokens d_in"],
    w: Float[Tensor, "d_in d_sae"],
    bias: Float[Tensor, " d_sae"],
    k: int,
) -> Latents:
    """Of `a = x w + bias`, the k largest of each token, those that are positive.

    Of equal ones the first are taken. NaN is never active.
    """
    from harness_saes.core import kernels

    def largest(cell: Cell) -> Active:
        rows = x[cell.rows]
        own = _Candidates.none(len(rows), k, rows.numpy().dtype)
        bits, limit_bits, infinity = own.as_integers()
        state = own.values, own.places, bits, own.filled, own.limit, limit_bits, infinity
        for first, a in _products(rows, w, bias, cell.columns):
            kernels.add_columns(a, a.view(bits.dtype), first, k, *state)
        return own.largest(k)

    def together(parts: Sequence[Active]) -> Active:
        return parts[0] if len(parts) == 1 else _Candidates.of(_beside(parts)).largest(k)

    return _encoded(x, w.shape[1], largest, together)


def above(
    x: Float[Tensor, "tokens d_in"],
    w: Float[Tensor, "d_in d_sae"],
    bias: Float[Tensor, " d_sae"],
    threshold: Float[Tensor, " d_sae"],
) -> Latents:
    """Of `a = x w + bias`, everything above the threshold of its latent, strictly."""
    from harness_saes.core import kernels

    limits = threshold.numpy()

    def exceeding(cell: Cell) -> Active:
        rows, parts = x[cell.rows], []
        counts = np.empty(len(rows), np.int64)
        for first, a in _products(rows, w, bias, cell.columns):
            own = limits[first : first + a.shape[1]]
            kernels.count_above(a, own, counts)
            found = Active.room(counts, a.dtype, np.int32)
            kernels.take_above(a, own, first, found.offsets, found.values, found.places)
            parts.append(found)
        return _beside(parts)

    return _encoded(x, w.shape[1], exceeding, _beside)


def _encoded(
    x: Float[Tensor, "tokens d_in"],
    d_sae: int,
    find: Callable[[Cell], Active],
    together: Callable[[Sequence[Active]], Active],
) -> Latents:
    """What is found in each cell, on as many threads as torch uses, as the latents of all tokens.

    `together` makes one of what was found for the same tokens, given in the order of latents.
    """
    by_rows = cells(len(x), d_sae, torch.get_num_threads())
    found = iter(side_by_side(find, [cell for row in by_rows for cell in row]))
    rows = [together([next(found) for _ in row]) for row in by_rows]
    return joined([_latents(one, d_sae) for one in rows])


@dataclass(frozen=True)
class _Candidates:
    """What may be among the k largest of each row, as `kernels` keeps it.

    Those of row r are the first `filled[r]` from `starts[r]` on.
    """

    values: Float[np.ndarray, " *room"]
    places: Int[np.ndarray, " *room"]
    starts: Int[np.ndarray, " rows"]
    filled: Int[np.ndarray, " rows"]
    limit: Float[np.ndarray, " rows"]

    @classmethod
    def none(cls, rows: int, k: int, dtype: np.dtype) -> _Candidates:
        """Rows of which nothing was seen: above 0, everything may be among the largest."""
        from harness_saes.core.kernels import PIECE

        room = 2 * k + 2 * PIECE
        return cls(
            np.empty((rows, room), dtype),
            np.empty((rows, room), np.int32),
            np.arange(rows) * room,
            np.zeros(rows, np.int64),
            np.zeros(rows, dtype),
        )

    @classmethod
    def of(cls, active: Active) -> _Candidates:
        """What is active, as candidates."""
        limit = np.zeros(len(active.counts), active.values.dtype)
        return cls(active.values, active.places, active.offsets[:-1], active.counts, limit)

    def as_integers(self) -> tuple[np.ndarray, np.ndarray, np.integer]:
        """The memory of values and limits as integers, and infinity as one."""
        integer = _INTEGERS[self.values.dtype.name]
        infinity = np.array(np.inf, self.values.dtype).view(integer)[()]
        return self.values.view(integer), self.limit.view(integer), infinity

    def largest(self, k: int) -> Active:
        """The k largest of each row, and all where there are fewer. Orders what is in memory."""
        from harness_saes.core import kernels

        bits, limit_bits, infinity = self.as_integers()
        own = self.values.reshape(-1), self.places.reshape(-1)
        rows = self.starts, self.filled
        kernels.settle(k, *own, bits.reshape(-1), *rows, limit_bits, infinity)
        found = Active.room(self.filled, self.values.dtype)
        kernels.gathered(*own, *rows, found.offsets, found.values, found.places)
        return found


def _products(
    rows: Tensor, w: Tensor, bias: Tensor, columns: slice
) -> Iterator[tuple[int, Float[np.ndarray, "rows some"]]]:
    """The pre-activations of some of these latents after others, in one buffer, with the first's
    number."""
    w, bias = w[:, columns], bias[columns]
    buffer = rows.new_empty(len(rows) * min(COLUMNS, w.shape[1]))
    for first in range(0, w.shape[1], COLUMNS):
        some = w[:, first : first + COLUMNS]
        a = buffer[: len(rows) * some.shape[1]].view(len(rows), some.shape[1])
        torch.addmm(bias[first : first + COLUMNS], rows, some, out=a)
        yield columns.start + first, a.numpy()


def _beside(parts: Sequence[Active]) -> Active:
    """What is active of the same rows, in one: the latents of each part after those before it."""
    from harness_saes.core import kernels

    found = Active.room(np.sum([part.counts for part in parts], axis=0), parts[0].values.dtype)
    cursor = found.offsets[:-1].copy()
    for part in parts:
        own = part.values, part.places, part.offsets
        kernels.move_rows(*own, cursor, found.values, found.places)
    return found


def _latents(active: Active, d_sae: int) -> Latents:
    parts = active.offsets, active.places, active.values
    return Latents(*(torch.from_numpy(each) for each in parts), d_sae)
