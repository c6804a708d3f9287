"""A Python that has imported torch and the like already, for tests that run many commands.

    with warm() as python:
        subprocess.run([*python, "-m", "harness.cli.main", "--help"])

Each command is a process of its own, with its words, folder, environment and streams; but it is
forked from one that has imported what takes seconds. That is others' libraries alone: the harness
and the plugins come fresh, from the command's own path. Of the environment Python reads only
`PYTHONPATH` again. What is imported at the start, and how fast, others test: they start a Python.
"""

from __future__ import annotations

import json
import os
import socket
import sys

# `run` has no site-packages and is to start in 20 ms: what is light is imported here, and no more.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

BEFOREHAND = (
    "numpy", "torch", "safetensors.torch", "tokenizers", "transformers.modeling_utils",
    "transformers.models.llama.modeling_llama", "transformers.generation.utils", "pydantic",
    "pyarrow.parquet",
)  # fmt: skip
"""What most commands import, and takes long."""
ORDINARY = ("-m", "-c")


def warm() -> AbstractContextManager[list[str]]:
    """The first words of a command that a warm Python runs, while the context lasts."""
    import contextlib
    import signal
    import subprocess
    import tempfile

    @contextlib.contextmanager
    def started() -> Iterator[list[str]]:
        # Not in a test's folder: the path of a socket may have a hundred characters.
        with tempfile.TemporaryDirectory(prefix="warm-") as folder:
            path = os.path.join(folder, "socket")  # noqa: PTH118
            server = subprocess.Popen(
                [sys.executable, __file__, "serve", path],
                stdout=subprocess.PIPE, env={**os.environ, "HF_HUB_OFFLINE": "1"},
                start_new_session=True,
            )  # fmt: skip
            assert server.stdout is not None
            try:
                assert server.stdout.readline() == b"ready\n", "the warm Python did not start"
                yield [sys.executable, "-I", "-S", __file__, "run", path, sys.executable]
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGKILL)
                server.wait()
                server.stdout.close()

    return started()


def run(path: str, python: str, words: list[str]) -> int:
    """Asks the server for a command, and waits for it; its exit code."""
    if words[:1] and words[0].startswith("-") and words[0] not in ORDINARY:
        os.execv(python, [python, *words])
    asked = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [b"!"], [0, 1, 2])
        server.sendall(json.dumps(asked).encode() + b"\n")
        said = server.makefile("rb").readline()
    return int(said)


def serve(path: str) -> None:
    """Forks for every command that is asked for. Returns, in the fork, once it is that command's
    process: what follows is its end."""
    import gc
    import importlib

    for name in BEFOREHAND:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        asking, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            break
        asking.close()
        while _reaped():
            pass
    _, streams, _, _ = socket.recv_fds(asking, 1, 3)
    asked = json.loads(asking.makefile("rb").readline())
    command = os.fork()
    if command:
        for stream in streams:
            os.close(stream)  # who reads them waits for their end
        code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        asking.sendall(b"%d\n" % (code if code >= 0 else 128 - code))
        os._exit(0)
    asking.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    _become(**asked)


def _reaped() -> bool:
    """Whether a fork had ended, which is now forgotten."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _become(words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Runs `-m MODULE …`, `-c CODE …` or `FILE …` as Python does."""
    import importlib
    import runpy
    import types

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    first = {"-m": folder, "-c": ""}.get(words[0])
    if first is None:
        first = os.path.dirname(os.path.realpath(words[0]))  # noqa: PTH120
    of_server = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
    own = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:] = [*own, *(one for one in sys.path if one not in own and one != of_server)]
    importlib.invalidate_caches()
    if words[0] == "-m":
        sys.argv = ["-m", *words[2:]]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), vars(main))
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(run(sys.argv[2], sys.argv[3], sys.argv[4:]))
