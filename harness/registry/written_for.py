"""The contract that a plugin says it was written for: `harness_contract = "1.0"` in its module."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import EntryPoint
from pathlib import Path

NAME = "harness_contract"
"""The name, in a plugin's module, of the version of the contract that it was written for."""
FIRST = "1.0"
"""The version that a plugin was written for that says none."""
_WRITTEN = re.compile(rf"^{NAME}\b[^=\n]*=\s*[\"']([\d.]+)[\"']", re.MULTILINE)


def written_for(module: object) -> object:
    """What a module says that was imported; the first contract where it says nothing."""
    return getattr(module, NAME, FIRST)


def written_in(text: str) -> str:
    """The same from the source of a module that could not be imported."""
    said = _WRITTEN.search(text)
    return said[1] if said else FIRST


def source_of(point: EntryPoint) -> str:
    """The source of the module of an entry point; empty where there is none to be read."""
    try:
        found = importlib.util.find_spec(point.module)
        return Path(found.origin).read_text("utf-8") if found and found.origin else ""
    except Exception:  # finding a module imports its package, which may raise anything
        return ""
