"""What a component's options say, with what is in files in the place of where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract import Place
from harness.store.known_files import sha256_of
from harness.task.validate import marks

if TYPE_CHECKING:
    from harness.contract import Options

Named = Callable[[str, str], str | None]
"""What stands for an entry of the task, by its table and name; None where that is not known."""


def by_content(
    options: Options, include: Collection[str] | None = None, named: Named | None = None
) -> dict[str, Any]:
    """The options as JSON values for the key of remembered work: a local path becomes a hash of
    what is there, so that a file that was changed is another one, and one that was moved is not.

    Left out is what the options themselves leave out of records. `include`: only these fields.
    `named` says what stands in the place of the names of other entries of the task; without it,
    and where it does not know, the name does.
    """
    values = options.model_dump(mode="json", include=None if include is None else set(include))
    for key, mark in marks(type(options)):
        if isinstance(mark, Place):
            text = values.get(key)
            if isinstance(text, str) and Path(text).exists():
                values[key] = content_of(Path(text))
        elif named is not None and key in values:
            values[key] = _renamed(values[key], mark.table, named)
    return values


def files_by_content(options: Options) -> dict[str, str]:
    """A hash of what lies at each local path, also at those that are left out of records."""
    places = [key for key, mark in marks(type(options)) if isinstance(mark, Place)]
    texts = {key: getattr(options, key) for key in places}
    return {
        key: content_of(Path(text))
        for key, text in texts.items()
        if isinstance(text, str) and Path(text).exists()
    }


def _renamed(value: Any, table: str, named: Named) -> Any:
    """The value of a field that refers to a table, with what stands for each name in its place."""
    if isinstance(value, str):
        return named(table, value) or value
    if isinstance(value, list):
        return [_renamed(one, table, named) for one in value]
    return value


def content_of(place: Path) -> str:
    """A hash of a file, or of all files of a folder with their names in it."""
    if not place.is_dir():
        return sha256_of(place)
    total = hashlib.sha256()
    for file in sorted(path for path in place.rglob("*") if path.is_file()):
        total.update(f"{file.relative_to(place)}\0{content_of(file)}\n".encode(errors="replace"))
    return total.hexdigest()
