"""What a child process runs: it takes parts from a pipe and sends replies back, until that ends."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from multiprocessing.connection import Connection

from harness.contract import start_worker

SHARED, PART = b"s", b"p"
"""Before what all parts of a call have in common; before a part."""
_GRACE = 1.0
"""Seconds in which a process without a head may end by itself."""
_LOOK = 2.0
"""Seconds between two looks at whether the head is still the parent."""


def main(pipe: int, head: int, devices: int) -> None:
    """Works for the process `head` at the other end of a pipe, which is a file descriptor.

    First comes the text of an `Outfit`. The answer is empty, or says in words why there will be no
    worker: fewer than `devices` CUDA devices are there, without which all would be computed on the
    CPU, slowly and unnoticed.
    """
    # Who stops a run stops its head, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours = Connection(pipe)
    threading.Thread(target=_end_with, args=(pipe, head), daemon=True).start()
    try:
        text = ours.recv_bytes().decode("utf-8")
        lacking = _lacking(devices)
        ours.send_bytes(lacking.encode("utf-8"))
        if lacking:
            return
        worker, shared = start_worker(text), b""
        ours.send_bytes(b"")
        while True:
            kind, content = ours.recv_bytes(), ours.recv_bytes()
            if kind == SHARED:
                shared = content
            else:
                ours.send_bytes(worker.work(shared, content))
    except (EOFError, ConnectionError):
        return


def _lacking(devices: int) -> str:
    """What is wrong with the devices that this process was given; empty where all are there."""
    if not devices:
        return ""
    import torch

    seen = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return "" if seen >= devices else f"of the devices {given}, CUDA sees {seen}"


def _end_with(pipe: int, head: int) -> None:
    """Ends this process and all that it has started once its head is gone, also amid a part."""
    hung_up = select.poll()
    hung_up.register(pipe, 0)
    while not hung_up.poll(1000 * _LOOK) and os.getppid() == head:
        pass
    time.sleep(_GRACE)
    # The process has a session, and so a group, of its own.
    os.killpg(os.getpgrp(), signal.SIGKILL)
