"""A fresh environment with chosen versions in it, made by uv where there is one, else by pip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from .bounds import EXTRA

_LIST = (
    "import json; from importlib.metadata import distributions; "
    "print(json.dumps({d.metadata['Name']: d.version for d in distributions()}))"
)


@dataclass(frozen=True)
class Place:
    """A virtual environment in a folder that is there for it alone."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def installed(self) -> dict[str, str]:
        """The version of each package in it, by its canonical name."""
        done = subprocess.run(
            [self.python, "-I", "-c", _LIST], capture_output=True, text=True, check=True
        )
        found: Mapping[str, str] = json.loads(done.stdout)
        return {canonicalize_name(name): version for name, version in found.items()}


def commands(
    root: Path,
    folder: Path,
    python: Path,
    constraints: Path,
    uv: str | None,
    what: Sequence[str] = (),
) -> list[list[str]]:
    """What makes an environment under constraints: with the project and its tests' packages, or
    with what is named in their place."""
    own = str(folder / "bin" / "python")
    wanted = ["-c", str(constraints), *(what or ("-e", f"{root}[{EXTRA}]"))]
    if uv is not None:
        return [
            [uv, "venv", "-q", "--seed", "--python", str(python), str(folder)],
            [uv, "pip", "install", "-q", "--python", own, *wanted],
        ]
    return [
        [str(python), "-m", "venv", str(folder)],
        [own, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted],
    ]


def make(
    root: Path, folder: Path, python: Path, constraints: Sequence[str], what: Sequence[str] = ()
) -> Place:
    """Makes it; raises CalledProcessError where the packages cannot be had together."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".constraints.txt")
    file.write_text("".join(f"{line}\n" for line in constraints), "utf-8")
    # A pip's own settings may cap what is the newest; those of whoever starts this stay.
    for command in commands(root, folder, python, file, shutil.which("uv"), what):
        print("+", *command, flush=True)
        subprocess.run(command, check=True)
    return Place(folder)


def find(version: str) -> Path | None:
    """A Python of a version such as `3.13`: this one, one on the path, of pyenv, or of uv."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return Path(sys.executable)
    if (found := shutil.which(f"python{version}")) and _is(Path(found), version):
        return Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for python in sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True):
        if _is(python, version):
            return python
    if (uv := shutil.which("uv")) is not None:
        done = subprocess.run([uv, "python", "find", version], capture_output=True, text=True)
        if done.returncode == 0 and _is(Path(done.stdout.strip()), version):
            return Path(done.stdout.strip())
    return None


def _is(python: Path, version: str) -> bool:
    """Whether it runs, and is of that version: a shim on the path may be of none."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version
