"""A checkout with a Python that runs its code: its own packages, and its own plugins."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DISTRIBUTION = "sae-harness"
_WHERE = """
import importlib.util, json
from importlib.metadata import entry_points
import harness
found = {"harness": harness.__file__}
for point in entry_points(group="harness"):
    if point.dist.name == "sae-harness":
        spec = importlib.util.find_spec(point.module)
        found[point.name] = spec.origin if spec else None
print(json.dumps(found))
"""


class WrongCode(Exception):
    """A Python runs other code than that of its checkout."""


@dataclass(frozen=True)
class Tree:
    """A checkout, and the Python with the packages that it needs."""

    root: Path
    python: Path
    scratch: Path
    """A folder for what is written beside it: its metadata, and its compiled modules."""

    def env(self) -> Mapping[str, str]:
        """The environment in which its code runs, whatever else is installed.

        Its entry points come from its own `pyproject.toml`: a distribution that stands earlier on
        the path hides an installed one of the same name.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HARNESS"))}
        path = (self.root, self.root / "plugins", self._metadata())
        compiled = {"PYTHONPYCACHEPREFIX": str(self.scratch / "compiled")}
        return kept | {"PYTHONPATH": os.pathsep.join(map(str, path)), **compiled}

    def check(self) -> None:
        """Raises WrongCode where a module of the harness, or of a plugin, is not this tree's."""
        done = subprocess.run(
            [self.python, "-c", _WHERE],
            cwd=self.scratch, env=self.env(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise WrongCode(f"{self.python} can't run {self.root}: {done.stderr.strip()[-300:]}")
        found: dict[str, str | None] = json.loads(done.stdout)
        names = set(_points(self.root)) | {"harness"}
        for name in sorted(names | found.keys()):
            file = found.get(name)
            if file is None or not Path(file).resolve().is_relative_to(self.root.resolve()):
                raise WrongCode(f"{name} is {file or 'not found'}, not of {self.root}")

    def _metadata(self) -> Path:
        """A folder with the metadata of this tree, as if it were installed."""
        folder = self.scratch / "metadata"
        about = folder / "sae_harness-0.dist-info"
        if not about.is_dir():
            about.mkdir(parents=True)
            lines = [f"{name} = {module}" for name, module in _points(self.root).items()]
            (about / "entry_points.txt").write_text("\n".join(["[harness]", *lines]) + "\n")
            text = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 0\n"
            (about / "METADATA").write_text(text)
        return folder


def _points(root: Path) -> dict[str, str]:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, str] = project.get("entry-points", {}).get("harness", {})
    return found


@contextmanager
def checkout(root: Path, commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit in `folder`, until the context ends. CalledProcessError where git
    knows no such commit."""
    git = ["git", "-C", str(root), "worktree"]
    subprocess.run(
        [*git, "add", "--quiet", "--detach", str(folder), commit],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=False, capture_output=True)
