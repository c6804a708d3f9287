"""Workers for tests of `slurm`: a part says what becomes of it. Imported by jobs, by name."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from harness.contract import Outfit


class Doer:
    """Does what a part says, and notes it in the folder that is shared."""

    def work(self, shared: bytes, part: bytes) -> bytes:
        told = json.loads(part)
        home = Path(json.loads(shared)["home"])
        with (home / "done").open("a") as done:
            done.write(f"{told['n']} {os.getpid()}\n")
        once = home / f"once-{told['n']}"
        if told.get("die") and (told["die"] == "always" or not once.exists()):
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if told.get("wait"):
            end = time.monotonic() + 60
            while not (home / told["wait"]).exists() and time.monotonic() < end:
                time.sleep(0.02)
        time.sleep(told.get("sleep", 0))
        return b"reply to " + part


def make(text: str) -> Doer:
    return Doer()


def outfit(folder: Path, said: list[str], **more: str) -> Outfit:
    """The outfit of workers that are made here."""
    text = json.dumps({"maker": f"{__name__}:make", **more})
    return Outfit(text, Doer(), folder / "executor", said.append)


def part(n: int, **does: object) -> bytes:
    return json.dumps({"n": n, **does}).encode()


def shared(home: Path) -> bytes:
    return json.dumps({"home": str(home)}).encode()


def done(home: Path) -> list[int]:
    """The numbers of parts that were begun, in order."""
    file = home / "done"
    return [int(line.split()[0]) for line in file.read_text().splitlines()] if file.exists() else []
