"""What workers of `ray` print, line by line, at the head. Imports ray.

Ray prints such lines itself, some of them on stdout, where results belong, and with whatever
control characters are in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray._private import worker as ray_worker

from harness.text import for_terminal

_PRINTER = "print_to_stdstream"
"""Ray's own function for this. It has no public place; where a version has none, its logs stay in
its files."""
_REMEMBERED = 2000


@contextmanager
def logs_to(say: Callable[[str], None]) -> Iterator[bool]:
    """While the block runs, each line that a worker prints is said, and nothing else of Ray's.

    The same line of several workers is said once. Yields whether Ray may be asked for logs.
    """
    kept = getattr(ray_worker, _PRINTER, None)
    if kept is None:
        yield False
        return
    setattr(ray_worker, _PRINTER, _Printer(say))
    try:
        yield True
    finally:
        setattr(ray_worker, _PRINTER, kept)


class _Printer:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._seen: set[str] = set()

    def __call__(self, data: Mapping[str, Any], ignore_prefix: bool = False) -> None:
        """Called in a thread of Ray's with lines of one process."""
        if not data.get("actor_name"):
            return  # Ray's own: that a worker ended, the head says in plain words
        where = f"{data.get('ip', '?')}, process {data.get('pid', '?')}"
        for line in data.get("lines", ()):
            text = for_terminal(str(line).rstrip("\r\n").rpartition("\r")[2], 500).rstrip()
            if text and text not in self._seen:
                if len(self._seen) < _REMEMBERED:
                    self._seen.add(text)
                self._say(f"ray ({for_terminal(where)}): {text}")
