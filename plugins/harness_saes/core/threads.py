"""Work side by side: each piece on one thread from its product to what is found in it.

torch spreads one product over all its threads, which for a while after it go on looking for more,
each on a core that what follows could use. So where something follows on several threads, each of
them makes its part of the product too, and nobody waits for anybody in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

Given = TypeVar("Given")
Found = TypeVar("Found")


def side_by_side(work: Callable[[Given], Found], pieces: Sequence[Given]) -> list[Found]:
    """What `work` makes of each piece, in their order, on as many threads as torch uses here.

    On each of them torch itself uses one, and records no gradients.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(pieces) == 1:
        return [work(piece) for piece in pieces]
    return list(_pool(threads, os.getpid()).map(work, pieces))


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads that stay, as each new one would need memory of its own for products.

    A forked process has none of its parent's, so they are those of one process.
    """
    pool = ThreadPoolExecutor(threads, "side-by-side", initializer=_on_one_thread)
    barrier = Barrier(threads)
    for there in [pool.submit(barrier.wait) for _ in range(threads)]:
        there.result()
    # What a thread sets is also what threads begin with that torch has not seen.
    torch.set_num_threads(threads)
    return pool


def _on_one_thread() -> None:
    torch.get_num_threads()  # first, as the first call on a thread sets what all begin with
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
