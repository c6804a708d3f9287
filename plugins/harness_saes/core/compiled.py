"""Compiles functions with numba, and keeps what it compiles, since that takes seconds.

Import this module only where `kept` gives a folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import ParamSpec, TypeVar

from harness.errors import UsageError
from harness.store.cache import usual_cache
from harness.store.notes import note

P = ParamSpec("P")
R = TypeVar("R")


@cache
def kept() -> Path | None:
    """The folder of what was compiled, in the person's folder for caches.

    None where numba is not installed, and where nothing can be kept, which is noted: nothing is
    compiled then, as every process would spend seconds on it.
    """
    if find_spec("numba") is None:
        return None
    try:
        known = usual_cache()
    except UsageError:  # a run that uses it says so
        known = None
    if known is None:
        return None
    folder = known.folder / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        note(
            f"{folder}: compiled code cannot be kept here: {error.strerror or error}. The run goes "
            "on without it, with the same numbers, more slowly."
        )
        return None


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code, which holds no lock of Python; made when it is first called."""
    from numba import njit
    from numba.core import config

    # Where numba keeps things is decided here and now, by a setting of the whole process.
    before, config.CACHE_DIR = config.CACHE_DIR, str(kept() or "")
    try:
        found: Callable[P, R] = njit(nogil=True, cache=True)(function)
    finally:
        config.CACHE_DIR = before
    return found
