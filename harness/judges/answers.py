"""What judges have answered, kept in a file: nothing is asked twice, also after a crash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.contract import Model, OneByOne
from harness.store.lines import Lines


@dataclass(frozen=True)
class Reply:
    """What a judge answered to one question, and whether it saw all of the question."""

    answer: str
    clipped: bool = False
    """Whether the end of the text that is judged was left out."""
    cut: bool = False
    """Whether the prompt lost its start."""


class Answers:
    """Replies by key, which is a hash of all that an answer depends on.

    They are read from `file` and appended to it as they are added; without a file, memory alone
    has them. Lines that a crash tore, that were changed or are no replies are left out with a
    note: those questions are asked anew. The first reply to a question counts.
    """

    def __init__(self, file: Path | None) -> None:
        self._lines = Lines(file)
        self._known: dict[str, Reply] = {}
        for key, reply in self._lines.entries(_entry):
            self._known.setdefault(key, reply)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Reply:
        return self._known[key]

    def add(self, key: str, reply: Reply) -> None:
        """Remembers one reply; it is on disk when this returns."""
        self.add_all({key: reply})

    def add_all(self, replies: Mapping[str, Reply]) -> None:
        """Remembers replies; they are on disk when this returns."""
        self._lines.add(*self._new(replies))

    def add_soon(self, replies: Mapping[str, Reply]) -> None:
        """Remembers replies of a model that writes in batches, all of which it wrote since the last
        call. No crash loses them, and a power cut at most what took a second: `Lines.add_soon`.
        """
        self._lines.add_soon(*self._new(replies))

    def adding(self, model: Model | None) -> Callable[[Mapping[str, Reply]], None]:
        """How replies of a judge are to be added: at once those of a server and of a model that
        hands over each by itself, which have cost more than a second each; else `add_soon`."""
        served = model is None or isinstance(model, OneByOne)
        return self.add_all if served else self.add_soon

    def _new(self, replies: Mapping[str, Reply]) -> list[dict[str, Any]]:
        """What is to be written of replies: those that are not known, which become known."""
        new = {key: reply for key, reply in replies.items() if key not in self._known}
        self._known.update(new)
        return [{"key": key, **asdict(reply)} for key, reply in new.items()]

    def close(self) -> None:
        """Closes the file; `add` opens it again."""
        self._lines.close()


def _entry(value: Any) -> tuple[str, Reply]:
    """The key and the reply of one line; TypeError or KeyError where it is something else."""
    reply = Reply(**{name: its for name, its in value.items() if name != "key"})
    if not (isinstance(value["key"], str) and isinstance(reply.answer, str)):
        raise TypeError("it is no reply")
    return value["key"], reply
