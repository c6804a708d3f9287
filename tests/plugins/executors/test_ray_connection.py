"""Where the cluster of `ray` is: nobody at an address, another version, one of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from harness.errors import UsageError

ray = pytest.importorskip("ray")

from harness_executors import ray_connection  # noqa: E402
from harness_executors.ray_connection import connected  # noqa: E402

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@contextmanager
def server(greeting: bytes) -> Iterator[int]:
    """The port of somebody who says something to everybody, and is no Ray."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            while True:
                try:
                    line, _ = door.accept()
                except OSError:
                    return
                with line:
                    line.recv(1024)
                    line.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)
    thread.join()


def refused(address: str | None) -> str:
    began = time.monotonic()
    with pytest.raises(UsageError) as caught, connected(address, print):
        pass
    assert time.monotonic() - began < 15
    assert not ray.is_initialized()
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_nobody_at_the_address_is_told_in_seconds(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    text = refused(f"{scheme}127.0.0.1:{port}")
    assert text.startswith(f"executor.address: no Ray cluster answers at {scheme}127.0.0.1:{port}")
    assert "ray start --head" in text
    assert "no address at all" in text


def test_somebody_else_at_the_address() -> None:
    with server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "no Ray cluster answers at" in refused(f"127.0.0.1:{port}")


def test_a_host_without_a_name() -> None:
    assert "no Ray cluster answers at nowhere.invalid:6379" in refused("nowhere.invalid:6379")


def test_the_variable_of_ray_counts_where_the_task_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert "RAY_ADDRESS: no Ray cluster answers at 127.0.0.1:1" in refused(None)


def test_auto_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def nothing(*_: object) -> str:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray_connection.services, "get_ray_address_from_environment", nothing)
    assert "no Ray cluster runs on this machine" in refused("auto")


def test_auto_with_the_trace_of_a_cluster_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = lambda *_: "127.0.0.1:1"  # noqa: E731
    monkeypatch.setattr(ray_connection.services, "get_ray_address_from_environment", gone)
    assert "no Ray cluster answers at auto (127.0.0.1:1)" in refused("auto")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError(
                "Version mismatch: The cluster was started with:\n    Ray: 2.51.0\n    Python: "
                "3.12.1\nThis process on node 1.2.3.4 was started with:\n    Ray: 2.60.0\n"
            ),
            "Ray: 2.51.0 Python: 3.12.1",
        ),
        (ValueError("Ray Client requires pip package `ray[client]`."), "pip install 'ray[client]'"),
        (ConnectionError("no\x1b[31m way"), "Ray cannot connect to 127.0.0.1:1 (no�[31m way)"),
        (SystemExit(15), "Ray cannot connect to 127.0.0.1:1 (15)"),
    ],
)
def test_what_ray_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str
) -> None:
    def init(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray_connection.ray, "init", init)
    monkeypatch.setattr(ray_connection, "_answers", lambda _: True)
    text = refused("127.0.0.1:1")
    assert told in text
    assert "\n" not in text


HEAD = """
import json, sys
from pathlib import Path
from harness.contract import Outfit
from harness_executors.options import RayOptions
from harness_executors.ray_cluster import Ray
from ray_worker import part
folder = Path(sys.argv[1])
text = json.dumps({"maker": "ray_worker:make", "folder": str(folder)})
outfit = Outfit(text, None, folder / "own", lambda line: print(line, file=sys.stderr))
with Ray(RayOptions(address="local", workers=1)).crew(outfit) as crew:
    for reply in crew.compute(b"", (part(n, sleep=0.1, say="words") for n in range(10_000))):
        (folder / "reply.part").write_bytes(reply.content)
        (folder / "reply.part").rename(folder / "reply")
"""


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="h") as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_cluster_of_its_own_ends_with_the_head(
    tmp_path: Path, short: Path, ending: signal.Signals
) -> None:
    """Its workers find what the head finds, also by a path that is in no variable."""
    more = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'plugins'), str(HERE)]}\n"
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RAY_ADDRESS")}
    head = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", more + HEAD, str(tmp_path)],
        env={**variables, "RAY_TMPDIR": str(short)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        # A suite that was started in the background hands down that interrupts are ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    until = time.monotonic() + 90
    while not (tmp_path / "reply").exists() and head.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    if head.poll() is None:
        head.send_signal(ending)
    out, err = head.communicate(timeout=600)
    assert (tmp_path / "reply").exists(), err
    assert head.returncode != 0
    assert out == ""
    process = json.loads((tmp_path / "reply").read_bytes())["process"]
    until = time.monotonic() + 20
    while _lives(process) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _lives(process)
    if ending is signal.SIGINT:
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert "words" in err
        assert list(short.iterdir()) == []


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
