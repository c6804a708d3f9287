"""A worker for the tests of `ray`: it does what a part says, and writes down that it began."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from harness.contract import Worker


def part(number: int, **what: object) -> bytes:
    """One part. `sleep`: seconds; `die`: exits; `once`: only if no part of this number has died;
    `fill`: so many bytes come back; `padding`: anything."""
    return json.dumps({"number": number, **what}).encode()


class Doer:
    """Keeps what it was made with."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.made = os.getpid()

    def work(self, shared: bytes, given: bytes) -> bytes:
        what = json.loads(given)
        died = self.log.with_name(f"died-{what['number']}")
        if what.get("die") and not (what.get("once") and died.exists()):
            died.touch()
            os._exit(3)
        with self.log.open("a") as log:
            log.write(f"{what['number']}\n")
        if what.get("raise"):
            raise ValueError(f"cannot do {what['number']}")
        if what.get("say"):
            print(what["say"])
            os.system(f"echo from a process {what['number']}")
        time.sleep(what.get("sleep", 0))
        told = {
            "number": what["number"],
            "shared": hashlib.sha256(shared).hexdigest(),
            "part": hashlib.sha256(given).hexdigest(),
            "process": self.made,
            "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }
        return json.dumps(told).encode().ljust(what.get("fill", 0))


def make(text: str) -> Worker:
    """The maker: `start_worker` finds it by name."""
    given = json.loads(text)
    if given.get("die"):
        os._exit(4)
    if given.get("import"):
        __import__(given["import"])
    return Doer(Path(given["folder"]))
