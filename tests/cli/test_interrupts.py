"""An interrupt where a command's process begins or ends, of which Python makes a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

_SENDS = "import os, signal, sys\nsend = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
_MOMENTS = {
    "while it is read": "sys.addaudithook(lambda event, given: event == 'import' "
    "and given[0] == 'click.core' and send())\n",
    "while it ends": "import atexit\natexit.register(send)\n",
}


def ended(folder: Path, moment: str, handler: signal.Handlers) -> tuple[int, str, str]:
    """How `harness --version` ends that gets an interrupt at a moment."""
    (folder / "sitecustomize.py").write_text(_SENDS + _MOMENTS[moment], "utf-8")
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "harness", "--version"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True, text=True, check=False,
        preexec_fn=partial(signal.signal, signal.SIGINT, handler),
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("moment", _MOMENTS)
def test_an_interrupt_outside_of_the_command_shows_no_traceback(
    tmp_path: Path, moment: str
) -> None:
    code, _, err = ended(tmp_path, moment, signal.SIG_DFL)
    assert (code, err) == (-signal.SIGINT, "")


@pytest.mark.parametrize("moment", _MOMENTS)
def test_interrupts_that_a_shell_has_ignored_stay_so(tmp_path: Path, moment: str) -> None:
    code, out, err = ended(tmp_path, moment, signal.SIG_IGN)
    assert (code, err) == (0, "")
    assert "harness" in out
