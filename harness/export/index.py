"""What lies in a folder of exports, and who wrote it: `export.json`.

An export may write its folder again and remove what it no longer makes, but never what a person or
another export has put there. So the index holds the hash of each file.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import DataError
from harness.results.json_numbers import strict_loads
from harness.results.write import strict_json
from harness.store.files import write_text

INDEX = "export.json"


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Left(_Kept):
    """Something that is not in the files, and why."""

    what: str
    why: str


class Written(_Kept):
    """What one export has written."""

    version: str
    """That of the plugin which the export is of."""
    run: str
    """The name of the run's task."""
    status: str
    """How the run ended: `complete` or `invalid`."""
    options: dict[str, Any]
    files: dict[str, str]
    """By path, the sha256 of what was written."""
    left_out: tuple[Left, ...] = ()
    replacing: dict[str, tuple[str, ...]] = {}
    """Only while files are written, or after that was cut off: what may lie there instead."""

    def has(self, path: str, content: str) -> bool:
        """Whether the export has written this content, by its sha256, to a path."""
        return content in (self.files.get(path), *self.replacing.get(path, ()))

    @property
    def known(self) -> dict[str, tuple[str, ...]]:
        """By path, the sha256 of all that it may have written there."""
        return {
            path: tuple(filter(None, (self.files.get(path), *self.replacing.get(path, ()))))
            for path in sorted(self.paths)
        }

    @property
    def paths(self) -> set[str]:
        """Where files of it lie, or may lie."""
        return {*self.files, *self.replacing}


class Index(_Kept):
    """All exports that have written into a folder, by `plugin/name`."""

    index: Literal[1] = 1
    """The version of its form."""
    exports: dict[str, Written] = {}


def read_index(folder: Path) -> Index:
    """The index of a folder; an empty one where there is none.

    DataError where the file of that name is something else.
    """
    file = folder / INDEX
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Index()
    except UnicodeDecodeError as error:
        raise _no_index(file, error) from None
    try:
        return Index.model_validate_json(json.dumps(strict_loads(text)), strict=True)
    except (ValidationError, ValueError, RecursionError) as error:
        raise _no_index(file, error) from None


def write_index(folder: Path, index: Index) -> None:
    """Writes the index of a folder; what a stranger's options hold, as plain JSON."""
    plain = strict_json(index.model_dump(mode="json"))
    for one in plain["exports"].values():
        if not one["replacing"]:
            del one["replacing"]
    write_text(folder / INDEX, json.dumps(plain, indent=1) + "\n")


def hashed(content: bytes) -> str:
    """The sha256 of a file's content."""
    return sha256(content).hexdigest()


def _no_index(file: Path, error: Exception) -> DataError:
    return DataError(
        f"{file}: is not the index of an export ({type(error).__name__}), and would be replaced. "
        "Choose another folder with --out."
    )
