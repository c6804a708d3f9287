"""A worker that needs no model: it echoes what it is given, sleeps, prints and ends when told."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Errand:
    """What a clerk is told to do with a part."""

    name: str
    """Another one for each errand of a check."""
    sleep: float = 0.0
    """Seconds that it takes."""
    dies: Literal["", "once", "always"] = ""
    """Whether the process of the worker ends, instead of an answer: the first time, or whenever.
    That of the head never does."""
    says: str = ""
    """What is printed on stdout, but by the head, whose stdout it is."""
    grows: int = 0
    """Bytes that the reply has more than the part."""

    def part(self, body: bytes = b"") -> bytes:
        """The part that tells it."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n" + body


@dataclass(frozen=True)
class Done:
    """The reply to an errand."""

    name: str
    host: str
    process: int
    head: bool
    """Whether it was done in the process of the head."""
    shared: str
    """The sha256 of what the call shares."""
    body: bytes

    @classmethod
    def of(cls, content: bytes) -> Done:
        """The reply that a clerk wrote."""
        head, _, body = content.partition(b"\n")
        return cls(**json.loads(head), body=body)


def clerk(folder: Path) -> str:
    """The text of an outfit whose workers are clerks, made by its head. `folder` is empty, and
    there for all workers: in it they note who died of what."""
    found = {"head": os.getpid(), "host": socket.gethostname(), "folder": str(folder)}
    return json.dumps({"maker": f"{__name__}:Clerk", **found})


class Clerk:
    """Does errands. Two clerks of one text do the same."""

    def __init__(self, text: str) -> None:
        given = json.loads(text)
        self._folder = Path(given["folder"])
        self._host = socket.gethostname()
        self._head = (self._host, os.getpid()) == (given["host"], given["head"])

    def work(self, shared: bytes, part: bytes) -> bytes:
        """Does what the part says, and gives its body back."""
        head, _, body = part.partition(b"\n")
        errand = Errand(**json.loads(head))
        time.sleep(errand.sleep)
        if errand.says and not self._head:
            print(errand.says, flush=True)  # noqa: T201
        if errand.dies and not self._head:
            self._maybe_die(errand)
        done = {
            "name": errand.name,
            "host": self._host,
            "process": os.getpid(),
            "head": self._head,
            "shared": hashlib.sha256(shared).hexdigest(),
        }
        return json.dumps(done).encode("ascii") + b"\n" + body + b"+" * errand.grows

    def _maybe_die(self, errand: Errand) -> None:
        note = self._folder / f"{errand.name}.died"
        if errand.dies == "always" or not note.exists():
            with note.open("a", encoding="ascii") as out:
                out.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)


def died(folder: Path) -> dict[str, int]:
    """How many workers have ended, by the errand that ended them."""
    return {file.stem: len(file.read_text("ascii").splitlines()) for file in folder.glob("*.died")}
