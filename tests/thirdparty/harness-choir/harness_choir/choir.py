"""Workers that are threads of the head's process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice

from harness.contract import Crew, Outfit, Reply, Worker, start_worker
from harness_choir.options import ChoirOptions


class Choir:
    """Has each thread make a worker of its own, when it gets its first part."""

    def __init__(self, options: ChoirOptions) -> None:
        self._options = options

    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        """The threads of one run. What they are at when the block is left they end."""
        pool = ThreadPoolExecutor(self._options.size(), thread_name_prefix="choir")
        try:
            yield Voices(pool, outfit, self._options.size())
        finally:
            pool.shutdown(cancel_futures=True)


class Voices:
    """A pool of threads, each with its worker."""

    def __init__(self, pool: ThreadPoolExecutor, outfit: Outfit, size: int) -> None:
        self._pool, self._outfit, self.size = pool, outfit, size
        self._mine = threading.local()

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        """One part for each thread, and the next one when a reply was used."""
        numbered, running = enumerate(parts), set[Future[Reply]]()
        try:
            while True:
                for number, part in islice(numbered, self.size - len(running)):
                    running.add(self._pool.submit(self._sing, shared, number, part))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    yield one.result()
        finally:
            for one in running:
                one.cancel()

    def _sing(self, shared: bytes, number: int, part: bytes) -> Reply:
        worker: Worker | None = getattr(self._mine, "worker", None)
        if worker is None:
            worker = self._mine.worker = start_worker(self._outfit.text)
        return Reply(number, threading.current_thread().name, worker.work(shared, part))
