"""Encoding by columns: some of all latents at a time, looked at while they are in the cache.

The product of some tokens is made for some latents, and what is active among them is found at once,
in compiled code (`kernels`). So the matrix of pre-activations never exists as a whole, and each of
its numbers is read once. For CPUs where numba is installed; the numbers are those of `picks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract.latents import Latents, joined
from harness.store.notes import note
from harness.text import for_terminal
from harness_saes.core import picks
from harness_saes.core.compiled import kept

ROWS, COLUMNS = 1024, 1024
"""Tokens and latents of one product: 4 MB of float32."""
LEAST = 2**23
"""Pre-activations of a call for which numba is worth its import, of half a second."""
_INTEGERS = {"float32": np.int32, "float64": np.int64}
"""Integers that are as wide, by what kernels work on."""

Split = Callable[..., None]
"""Calls a kernel with what follows it, on all of so many `rows`."""


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

    parts = []
    with _splitting() as split:
        for rows in x.split(ROWS):
            found = _Candidates.none(len(rows), k, rows.numpy().dtype)
            for first, a in _products(rows, w, bias):
                own = a, a.view(found.bits.dtype), first, k
                state = found.values, found.places, found.bits, found.filled, found.limit
                ends = found.limit_bits, found.infinity
                split(kernels.add_columns, *own, *state, *ends, rows=len(rows))
            state = found.values, found.places, found.bits, found.filled
            split(kernels.settle, k, *state, found.limit_bits, found.infinity, rows=len(rows))
            offsets = _offsets(found.filled)
            values, places = _room(offsets, found.values.dtype)
            own = found.values, found.places, found.filled, offsets
            split(kernels.gathered, *own, values, places, rows=len(rows))
            parts.append(_latents(offsets, places, values, w.shape[1]))
    return joined(parts)


def above(
    x: Float[Tensor, "tokens d_in"],
    w: Float[Tensor, "d_in d_sae"],
    bias: Float[Tensor, " d_sae"],
    threshold: Float[Tensor, " d_sae"],
) -> Latents:
    """Of `a = x w + bias`, everything above the threshold of its latent, strictly."""
    from harness_saes.core import kernels

    limits = threshold.numpy()
    parts = []
    with _splitting() as split:
        for rows in x.split(ROWS):
            blocks = []
            counts = np.empty(len(rows), np.int64)
            for first, a in _products(rows, w, bias):
                own = a, limits[first : first + a.shape[1]]
                split(kernels.count_above, *own, counts, rows=len(rows))
                offsets = _offsets(counts)
                some = _room(offsets, a.dtype, np.int32)
                split(kernels.take_above, *own, first, offsets, *some, rows=len(rows))
                blocks.append((*some, offsets))
            offsets = _offsets(sum(np.diff(own) for *_, own in blocks))
            cursor, (values, places) = offsets[:-1].copy(), _room(offsets, blocks[0][0].dtype)
            for block in blocks:
                split(kernels.move_rows, *block, cursor, values, places, rows=len(rows))
            parts.append(_latents(offsets, places, values, w.shape[1]))
    return joined(parts)


@dataclass(frozen=True)
class _Candidates:
    """What may be among the k largest of each row, as `kernels` keeps it."""

    values: Float[np.ndarray, "rows room"]
    places: Int[np.ndarray, "rows room"]
    filled: Int[np.ndarray, " rows"]
    limit: Float[np.ndarray, " rows"]
    bits: Int[np.ndarray, "rows room"]
    limit_bits: Int[np.ndarray, " rows"]
    infinity: np.integer

    @classmethod
    def none(cls, rows: int, k: int, dtype: np.dtype) -> _Candidates:
        """Rows of which nothing was seen: above 0, everything may be among the largest."""
        from harness_saes.core.kernels import PIECE

        integer = _INTEGERS[dtype.name]
        values, limit = np.empty((rows, 2 * k + 2 * PIECE), dtype), np.zeros(rows, dtype)
        return cls(
            values,
            np.empty(values.shape, np.int32),
            np.zeros(rows, np.int64),
            limit,
            values.view(integer),
            limit.view(integer),
            np.array(np.inf, dtype).view(integer)[()],
        )


def _products(
    rows: Tensor, w: Tensor, bias: Tensor
) -> Iterator[tuple[int, Float[np.ndarray, "rows some"]]]:
    """The pre-activations of some latents after others, in one buffer, with the first's number."""
    buffer = rows.new_empty(len(rows) * min(COLUMNS, w.shape[1]))
    for first in range(0, w.shape[1], COLUMNS):
        some = w[:, first : first + COLUMNS]
        a = buffer[: len(rows) * some.shape[1]].view(len(rows), some.shape[1])
        torch.addmm(bias[first : first + COLUMNS], rows, some, out=a)
        yield first, a.numpy()


@contextmanager
def _splitting() -> Iterator[Split]:
    """Divides rows among as many threads as torch uses."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield lambda kernel, *given, rows: kernel(*given, 0, rows)
        return
    with ThreadPoolExecutor(threads) as pool:

        def split(kernel: Callable[..., None], *given: object, rows: int) -> None:
            cuts = [rows * part // threads for part in range(threads + 1)]
            for done in [pool.submit(kernel, *given, *part) for part in pairwise(cuts)]:
                done.result()

        yield split


def _offsets(counts: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows_plus_1"]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _room(
    offsets: Sequence[int] | np.ndarray, dtype: np.dtype, places: type = np.int64
) -> tuple[np.ndarray, np.ndarray]:
    """Memory for as many values and places as the offsets end with."""
    return np.empty(offsets[-1], dtype), np.empty(offsets[-1], places)


def _latents(offsets: np.ndarray, places: np.ndarray, values: np.ndarray, d_sae: int) -> Latents:
    return Latents(*(torch.from_numpy(each) for each in (offsets, places, values)), d_sae)
