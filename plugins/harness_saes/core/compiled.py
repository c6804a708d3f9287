"""Compiles functions with numba, and keeps what it compiles, since that takes seconds.

Import this module only where `kept` gives a folder.
"""

from __future__ import annotations

import os
import stat
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
_ROOM = 2**20
"""Bytes of what is compiled, at the most."""


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
        known.folder.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not why_not_ours(folder.lstat()):
            with tempfile.TemporaryFile(dir=folder) as room:
                room.write(bytes(_ROOM))  # a full disk takes files, but nothing in them
                room.flush()
                return folder
        why = why_not_ours(folder.lstat())
    except OSError as error:
        why = error.strerror or str(error)
    note(
        f"{folder}: compiled code cannot be kept here: {why}. The run goes on without it, with the "
        "same numbers, more slowly."
    )
    return None


def why_not_ours(about: os.stat_result) -> str:
    """Why code from a folder is not to be run: somebody else may have put it there, as into a cache
    that people share. Empty where nobody else can."""
    if not stat.S_ISDIR(about.st_mode):
        return "it is a link or a file, and has to be a folder"
    if os.name == "nt":  # folders below a person's own are theirs there
        return ""
    if about.st_uid != os.geteuid():
        return "the folder is another user's"
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users may write into the folder (chmod 700 makes it yours alone)"
    return ""


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
