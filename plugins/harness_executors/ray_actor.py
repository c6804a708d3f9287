"""What runs in an actor of `ray`. It travels to the nodes by value and imports nothing before it is
there: a node without the harness is told in words, not in a traceback of Ray."""

from __future__ import annotations

from typing import Any


def actor_class() -> type:
    """The class of the actors. It is made in a function because only then Ray sends its code."""
    import ray

    class Seat:
        """One worker, alone in a process, that stays until the crew is gone.

        Parts are computed one after the other, in one thread. `drop` and `watch` have a thread of
        their own each, so that they are heard while a part is computed.
        """

        def __init__(self, path: list[str], gpus: float) -> None:
            import os
            import sys

            # The head's stdout is for results. What workers print is a log.
            os.dup2(2, 1)
            sys.stdout = sys.stderr
            sys.path[:] = [*path, *(folder for folder in sys.path if folder not in path)]
            if not gpus:
                os.environ["CUDA_VISIBLE_DEVICES"] = ""
            self._worker: Any = None
            self._dropped = 0
            self._kept: tuple[int, bytes] = (0, b"")

        def place(self) -> str:
            """The name of the node."""
            import socket

            return socket.gethostname()

        def start(self, text: str) -> str:
            """Makes the worker; what is wrong if that cannot be done here, else nothing."""
            try:
                from harness.contract import start_worker

                self._worker = start_worker(text)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            return ""

        def work(self, call: int, shared: list[Any], part: bytes) -> bytes | None:
            """The reply to one part; None if nobody waits for it any more.

            `shared` is a list of one reference, so that its bytes are fetched once a call.
            """
            import ray

            kept = self._kept
            if call > self._dropped and call != kept[0]:
                self._kept = kept = (call, ray.get(shared[0]))
            if call <= self._dropped:
                return None
            reply: bytes = self._worker.work(kept[1], part)
            return reply

        @ray.method(concurrency_group="drop")
        def drop(self, call: int) -> None:
            """Nothing of this call is computed any more; what its parts shared is let go."""
            self._dropped = call
            self._kept = (0, b"")

        @ray.method(concurrency_group="watch")
        def watch(self) -> None:
            """Never ends by itself: whoever waits for it learns at once that the actor is gone."""
            import threading

            threading.Event().wait()

    return Seat
