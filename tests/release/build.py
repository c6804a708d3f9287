"""Builds sdist and wheel twice, the second time from the sdist: both times the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Built:
    """A source distribution and the wheel of the same tree."""

    sdist: Path
    wheel: Path


def build(root: Path, out: Path, epoch: int) -> Built:
    """Builds both from a tree, offline, with `epoch` as the time of every file in them.

    AssertionError with what the builder said where it fails.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", out]
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-6000:]
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(sdist, wheel)


def again(built: Built, out: Path, epoch: int) -> Built:
    """Both once more, from nothing but the sdist."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(out / "tree", filter="data")
    (tree,) = (out / "tree").iterdir()
    return build(tree, out / "dist", epoch)


def digest(file: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def time_of(root: Path) -> int:
    """When the commit that is checked out was made, in seconds: what both are dated with."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return int(done.stdout)
