"""What a component's options say, with what is in files in the place of where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from harness.contract import Options, Place
from harness.task.validate import marks


def by_content(options: Options, include: Collection[str] | None = None) -> dict[str, Any]:
    """The options as JSON values for the key of remembered work: a local path becomes a hash of
    what is there, so that a file that was changed is another one, and one that was moved is not.

    Left out is what the options themselves leave out of records. `include`: only these fields.
    """
    values = options.model_dump(mode="json", include=None if include is None else set(include))
    for key, mark in marks(type(options)):
        text = values.get(key)
        if isinstance(mark, Place) and isinstance(text, str) and Path(text).exists():
            values[key] = content_of(Path(text))
    return values


def content_of(place: Path) -> str:
    """A hash of a file, or of all files of a folder with their names in it."""
    if not place.is_dir():
        with place.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in sorted(path for path in place.rglob("*") if path.is_file()):
        total.update(f"{file.relative_to(place)}\0{content_of(file)}\n".encode(errors="replace"))
    return total.hexdigest()
