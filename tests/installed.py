"""A fresh virtual environment with the wheel of this checkout, as a user has it.

What the wheel needs (torch and the rest) is borrowed from the environment that runs the tests,
and pip may ask no index: nothing is downloaded.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Installed:
    """A virtual environment, and the wheel of ours that is in it."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(
        self, *command: str | Path, cwd: Path, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command of the environment in a folder; its exit code must be `code`."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HARNESS"))}
        env |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        env["PATH"] = f"{self.python.parent}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            [self.python.parent / command[0], *command[1:]],
            cwd=cwd, env=env, capture_output=True, text=True, timeout=1800, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    def install(self, *projects: Path) -> None:
        """Installs wheels, or folders of which pip builds one."""
        pip(self.python, *projects)


def pip(python: Path, *projects: Path) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-compile", "--no-index"]
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps",
               "--no-build-isolation", *quiet, *projects]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-6000:]


BUILD = """
import sys
from pathlib import Path
from hatchling.builders.wheel import WheelBuilder
out, *projects = sys.argv[1:]
for project in projects:
    (wheel,) = WheelBuilder(project).build(directory=out, versions=["standard"])
    print(Path(wheel).name)
"""
"""What `hatchling build -t wheel` does, for several projects in one process."""


def build_wheels(projects: Iterable[Path], out: Path) -> list[Path]:
    """The wheels of some projects, built without a network by what their `pyproject.toml` asks
    for."""
    command = [sys.executable, "-c", BUILD, out, *projects]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    return [out / name for name in done.stdout.split()]


def build_wheel(project: Path, out: Path) -> Path:
    """The wheel of one."""
    (wheel,) = build_wheels([project], out)
    return wheel


@cache
def own_wheel() -> Path:
    """The wheel of this tree, built once in a process and gone with it."""
    folder = Path(tempfile.mkdtemp(prefix="wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build_wheel(ROOT, folder)


def fresh(folder: Path, wheel: Path | None = None) -> Installed:
    """A new environment in `folder`, with our wheel: the one that is given, or one of this tree."""
    wheel = wheel or own_wheel()
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "venv" / "lib" / version / "site-packages"
    borrowed = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    # Paths in a .pth file come after the environment's own, and their .pth files are not read.
    (site / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    made = Installed(folder / "venv", wheel)
    made.install(wheel)
    return made
