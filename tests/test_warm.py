"""A command of the warm Python does what one of a new Python does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from warm import BEFOREHAND

pytestmark = pytest.mark.slow
TOLD = """
import os, sys
sys.stdout.write(f"{__name__} {sys.argv} {os.getcwd()} {os.environ['SAID']} {sys.stdin.read()}\\n")
sys.stdout.write(f"{sys.path[0]} {os.environ.get('GONE')}\\n")
import beside
sys.stderr.write(beside.__file__)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def python(warm_python: list[str]) -> list[str]:
    return warm_python


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a script, a module of the same text, and one beside that both import."""
    for name in ("told.py", "seen/beside.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(TOLD if name == "told.py" else "")
    return tmp_path


@pytest.mark.parametrize("words", [["-m", "told"], ["told.py"], ["-c", TOLD]], ids=str)
@pytest.mark.parametrize("code", [0, 3])
def test_words_folder_environment_and_streams_are_the_command_s(
    python: list[str], folder: Path, words: list[str], code: int
) -> None:
    seen = {"SAID": "so", "PYTHONPATH": str(folder / "seen")}
    given = [*words, str(code), "more of it"]
    found = [
        subprocess.run(
            [*first, *given], cwd=folder, env={**os.environ, **seen}, input="in", text=True,
            capture_output=True, check=False,
        )
        for first in ([sys.executable], python)
    ]  # fmt: skip
    one, other = ((done.returncode, done.stdout, done.stderr) for done in found)
    assert one == other
    assert one[0] == code
    assert str(folder / "seen") in one[2]


def test_an_error_is_told_and_a_signal_is_its_number(python: list[str]) -> None:
    def run(code: str) -> subprocess.CompletedProcess[str]:
        command = [*python, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    raised = run("import os; os.write(1, b'first'); raise ValueError('no')")
    assert (raised.returncode, raised.stdout) == (1, "first")
    assert raised.stderr.endswith("ValueError: no\n")
    assert run("import os; os.kill(os.getpid(), 9)").returncode == 128 + 9


def test_commands_see_nothing_of_each_other_and_nothing_of_ours_is_there(
    python: list[str],
) -> None:
    code = "import sys, os; print([m for m in sys.modules if m.startswith(('harness', 'kept'))])"
    kept = "; sys.modules['kept'] = sys; os.environ['KEPT'] = 'x'; print(os.environ.get('KEPT'))"
    for _ in range(2):
        done = subprocess.run(
            [*python, "-c", f"{code}; print(os.environ.get('KEPT')){kept}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == ["[]", "None", "x"]
    there = f"import sys; print(set({BEFOREHAND}) <= set(sys.modules))"
    done = subprocess.run([*python, "-c", there], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


def test_many_run_at_the_same_time_and_another_flag_is_a_new_python_s(python: list[str]) -> None:
    code = "import sys; print(sys.stdin.read(), end='')"
    running = [
        subprocess.Popen([*python, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(5)
    ]
    said = [one.communicate(b"%d" % n)[0] for n, one in reversed(list(enumerate(running)))]
    assert said == [b"4", b"3", b"2", b"1", b"0"]
    version = subprocess.run([*python, "-VV"], capture_output=True, text=True, check=True).stdout
    assert version == f"Python {sys.version}\n"
