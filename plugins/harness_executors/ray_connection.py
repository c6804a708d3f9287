"""The way from the head to a Ray cluster: one that is there, or one that is started here.

Ray takes minutes to notice that nobody answers at an address, so that is tried first.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray._private import services

from harness.errors import MachineError, UsageError
from harness.text import for_terminal
from harness_executors.ray_logs import logs_to

_ALLOWED = (
    'Allowed is "auto", "host:6379", "ray://host:10001", or no address at all, which starts a '
    "cluster on this machine. `ray start --head` starts one there, `ray status` shows it."
)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of HTTP/2 begins: this line and empty settings (RFC 9113, 3.4)."""
_SETTINGS = 4
_PATIENCE = 5.0
"""Seconds for an answer to that."""


@dataclass(frozen=True)
class Link:
    """A cluster that the head is connected to."""

    where: str
    """For messages: `at 10.0.0.1:6379`."""
    head: str
    """The address of its head, to see whether it is there; nothing where that is not known."""
    own: bool
    """Whether it was started here, and ends with the block."""

    def answers(self) -> bool:
        """Whether the head of the cluster is there. Ray itself waits for it, and after a minute
        ends this process without a word to us."""
        if not self.head or _encrypted():
            return True
        return _answers(self.head, 2.0)


@contextmanager
def connected(address: str | None, say: Callable[[str], None]) -> Iterator[Link]:
    """Connects for the time of the block; what was started here is gone at its end.

    A process that is connected already stays so. UsageError where there is no cluster or one of
    another version, MachineError where none can be started.
    """
    name = "executor.address" if address else "RAY_ADDRESS"
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if ray.is_initialized():
        if address not in ("local", "auto", os.environ.get("RAY_ADDRESS")):
            raise UsageError(
                f"executor.address: this process is connected to a Ray cluster already, so "
                f"{address} cannot be. Leave out the address, or call ray.shutdown() first."
            )
        yield Link("that this process is connected to", _head(), own=False)
        return
    with ExitStack() as stack:
        logs = stack.enter_context(logs_to(say))
        own = address == "local"
        yield _start(stack, logs, say) if own else _join(stack, name, address, logs)


def _join(stack: ExitStack, name: str, address: str, logs: bool) -> Link:
    where = _found(name, address)
    if not _encrypted() and not _answers(where):
        shown = where if where == address else f"{address} ({where})"
        raise UsageError(f"{name}: no Ray cluster answers at {shown}. {_ALLOWED}")
    more: dict[str, Any] = {} if address.startswith("ray://") else {"log_to_driver": logs}
    stack.callback(ray.shutdown)
    try:
        _init(address=address if address.startswith("ray://") else where, **more)
    except (Exception, SystemExit) as error:
        raise UsageError(_refused(name, address, error)) from error
    return Link(f"at {where}", where, own=False)


def _start(stack: ExitStack, logs: bool, say: Callable[[str], None]) -> Link:
    say("ray: starting a cluster on this machine")
    folder = stack.enter_context(_short_folder())
    stack.callback(ray.shutdown)
    how = {"include_dashboard": False, "log_to_driver": logs, "_temp_dir": str(folder)}
    try:
        try:
            _init(address="local", **how)
        except Exception as error:
            if "timed out" not in str(error):
                raise
            # On a busy machine it may not be up in the half minute that Ray gives it.
            say("ray: the cluster did not come up in time; starting it once more")
            ray.shutdown()
            _init(address="local", **how)
    except (Exception, SystemExit) as error:
        raise MachineError(
            f"executor ray: Ray cannot start a cluster on this machine ({_line(error)}). It needs "
            f"room in {folder.parent} and in /dev/shm, and a machine that is not too busy. "
            "`ray start --head` says more."
        ) from error
    return Link("on this machine", _head(), own=True)


def _init(**how: Any) -> None:
    """`ray.init`, without its chatter, and without what else it does to this process."""
    usage = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main = threading.current_thread() is threading.main_thread()
    terminated = signal.getsignal(signal.SIGTERM) if main else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(logging_level=logging.ERROR, **how)
    finally:
        if main:
            signal.signal(signal.SIGTERM, terminated)
        if usage is None:
            os.environ.pop("RAY_USAGE_STATS_ENABLED", None)


def _found(name: str, address: str) -> str:
    """Where the cluster at this address is, as `host:port`."""
    if address != "auto":
        return address.removeprefix("ray://")
    try:
        return str(services.get_ray_address_from_environment("auto", None))
    except ConnectionError as error:
        raise UsageError(
            f'{name}: "auto", but no Ray cluster runs on this machine. {_ALLOWED}'
        ) from error


def _head() -> str:
    """Where the head of the cluster is, or nothing: Ray's client does not say it."""
    try:
        return str(ray.get_runtime_context().gcs_address)
    except Exception:
        return ""


def _encrypted() -> bool:
    return os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true")


def _answers(where: str, patience: float = _PATIENCE) -> bool:
    """Whether somebody at this address speaks HTTP/2, as Ray's servers do."""
    host, _, port = where.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), patience) as line:
            line.sendall(_PREFACE)
            line.settimeout(patience)
            head = b""
            while len(head) < 9 and (more := line.recv(9 - len(head))):
                head += more
    except (OSError, ValueError):
        return False
    return len(head) == 9 and head[3] == _SETTINGS


def _refused(name: str, address: str, error: BaseException) -> str:
    text = _line(error)
    if "ersion" in text and "Python" in text:
        here = f"Ray {ray.__version__} and Python {sys.version.split()[0]}"
        return (
            f"{name}: the cluster at {address} has other versions of Ray or Python than "
            f"this process, which has {here} ({text}). Install the same ones on all machines."
        )
    if "ray[client]" in text:
        return (
            f"{name}: {address} needs Ray's client here: `pip install 'ray[client]'`. Or "
            'start this on a machine of the cluster, with address = "auto".'
        )
    return f"{name}: Ray cannot connect to {address} ({text}). {_ALLOWED}"


def _line(error: BaseException) -> str:
    return for_terminal(" ".join(str(error).split()) or type(error).__name__, 400)


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder for the files of a cluster, removed at the end. Ray makes sockets deep in it, and
    their names may have 107 bytes."""
    parent = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir=parent if len(parent) <= 30 else "/tmp"))
    try:
        yield folder
    finally:
        for _ in range(10):  # processes of Ray may still write while they end
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.2)
