"""One remembered value in a file of its own, with its key and a hash of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.store.files import spare, write_text
from harness.store.keys import hash_of, hashed
from harness.store.notes import CHANGED, dropped


def own_key(file: Path) -> str:
    """The key that an entry of the cache holds: its place, so that none is taken for another."""
    return f"{file.parent.name}/{file.stem}"


def write_entry(file: Path, key: str, value: Any) -> None:
    """Writes a JSON value that was made under this key, whole or not at all."""
    write_text(file, _text(key, value))


def write_spare(file: Path, key: str, value: Any) -> None:
    """The same for a value that is elsewhere too, or quickly made again: nobody waits for the disk.

    A power cut within seconds may tear the file, which `read_entry` sees.
    """
    with spare(file) as partial:
        partial.write_text(_text(key, value), encoding="ascii", newline="")


def _text(key: str, value: Any) -> str:
    text, sha256 = hashed({"key": key, "value": value})
    return f'{{"sha256": "{sha256}", {text[1:]}'


def read_entry(file: Path, key: str) -> Any | None:
    """The value of a file; None, and a note, where it is torn, changed, or of another key."""
    if not file.exists():
        return None
    try:
        entry = json.loads(file.read_bytes().decode("utf-8"))
        held = {"key": entry["key"], "value": entry["value"]}
        whole = hash_of(held) == entry["sha256"]
    except (OSError, LookupError, TypeError, ValueError, RecursionError):
        whole = False
    if not whole:
        dropped(file, 1, "remembered file", CHANGED)
        return None
    if held["key"] != key:
        dropped(file, 1, "remembered file", "made from something else than what is asked now")
        return None
    return held["value"]
