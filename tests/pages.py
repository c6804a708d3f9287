"""Runs pages of documentation: their blocks are files and commands, in the order of the page.

A comment above a block says what to do with it:

    <!-- file: NAME -->      it is the content of a file
    <!-- not run: WHY -->    its syntax is checked, and that its commands exist
    <!-- command: NAME -->   run by CI as it stands (.ci)

Without one, `sh` is run and any other block must be text. Commands see the harness of this
environment, no network, and a `pip` that installs what lies on the disk without building it.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>file|not run|command): (?P<of>.+?) -->\n)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_CODE = re.compile(r"`([^`\n]+)`")
SECONDS = 300


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comment above it."""

    page: str
    line: int
    language: str
    text: str
    mark: str
    of: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(
            page.name, line, match["language"], match["text"], match["mark"] or "",
            match["of"] or "",
        )  # fmt: skip


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def inline(page: Path) -> Iterator[str]:
    """The inline code of a page."""
    for match in _CODE.finditer(prose(page)):
        yield match[1].replace("\\|", "|")


def parsed(block: Block) -> None:
    """Raises where the text is not of its language."""
    parse: dict[str, Callable[[str], Any]] = {
        "toml": tomllib.loads,
        "python": ast.parse,
        "json": lambda text: [json.loads(line) for line in text.splitlines()],
        "sh": lambda text: subprocess.run(["bash", "-n"], input=text, text=True, check=True),
        "text": str,
    }
    assert block.language in parse, f"{block}: a block of language {block.language!r}"
    parse[block.language](block.text)


def run(page: Path, folder: Path, python: Sequence[str] = (sys.executable,)) -> None:
    """Writes the files of a page into an empty folder, and runs its commands there.

    `python` are the first words of a command that is our Python.
    """
    (folder / "organism").symlink_to(ROOT / "tasks" / "organism")
    environment = _environment(folder, shlex.join(python))
    for block in blocks(page):
        if block.mark == "file":
            file = folder / block.of
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.language == "sh" and not block.mark:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.text],
                cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS,
            )  # fmt: skip
            assert done.returncode == 0, f"{block}:\n{block.text}\n{done.stdout}\n{done.stderr}"


def _environment(folder: Path, python: str) -> dict[str, str]:
    """Our Python, our harness, a `pip` of ours, and what that installs."""
    site, commands = folder / ".site", folder / ".bin"
    site.mkdir()
    commands.mkdir()
    runs = {
        "python": f'exec {python} "$@"',
        "harness": f'exec {python} -m harness.cli.main "$@"',
        "pytest": f'exec {python} -m pytest -p no:cacheprovider "$@"',
        "pip": f'exec {sys.executable} {__file__} {site} "$@"',
    }
    for name, text in runs.items():
        command = commands / name
        command.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HARNESS_CACHE": str(folder / ".cache"),
        "HARNESS_CONFIG": "",
        "HF_HUB_OFFLINE": "1",
        "XDG_STATE_HOME": str(folder / ".state"),
    }


def install(site: Path, project: Path) -> None:
    """Puts a project's packages and metadata into a folder, as an editable install does."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {about['name']}", f"Version: {about['version']}"]
    lines += [f"Requires-Dist: {text}" for text in about["dependencies"]]
    (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    points = [f"{name} = {where}" for name, where in about["entry-points"]["harness"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[harness]", *points]) + "\n")
    for package in project.glob("*/__init__.py"):
        (site / package.parent.name).symlink_to(package.parent.resolve())


if __name__ == "__main__":
    where, *words = sys.argv[1:]
    assert words[:2] == ["install", "-e"], f"pip {' '.join(words)}: the tests install folders only"
    install(Path(where), Path(words[2]))
