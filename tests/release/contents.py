"""What must be in a wheel and in an sdist: no file more, and none less."""

from __future__ import annotations

import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

TOP = ("harness", "plugins", "tasks", "tests", "docs", "CHANGELOG.md", "CITATION.cff",
       "CONTRIBUTING.md", "LICENSE", "README.md", "mkdocs.yml", "pyproject.toml", ".gitignore",
       "PKG-INFO")  # fmt: skip
"""What may lie in an sdist at the top; PKG-INFO is made by the builder."""
INFO = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")


def in_wheel(file: Path) -> set[str]:
    """The names of a wheel's files."""
    with zipfile.ZipFile(file) as archive:
        return set(archive.namelist())


def in_sdist(file: Path) -> set[str]:
    """The names of an sdist's files, without the folder that all are in."""
    with tarfile.open(file) as archive:
        return {one.name.partition("/")[2] for one in archive if one.isfile()}


def of_wheel(root: Path, version: str) -> set[str]:
    """What the wheel of a tree must have: packages, built-in tasks, and what says what it is."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    moved = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    found = {str(file.relative_to(root)) for file in files(root / "harness")}
    for package in (root / "plugins").glob("harness_*"):
        found |= {str(file.relative_to(root / "plugins")) for file in files(package)}
    for source, target in moved.items():
        path = root / source
        if path.is_file():
            found.add(target)
            continue
        found |= {f"{target}/{file.relative_to(path)}" for file in files(path)}
    return found | {f"sae_harness-{version}.dist-info/{name}" for name in INFO}


def files(folder: Path) -> Iterator[Path]:
    """All files below a folder but those that Python leaves."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
            yield file
