"""Files that are on disk whole, or not at all."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.text import well_formed

_PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}\.partial")
_TRIES = 200


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Gives a path beside `file` to write to; what was written becomes `file` after the block.

    Its folder is made. After a crash, or an error in the block, the earlier file is still there;
    when the block has ended, the new one survives a power cut. Several processes may write the same
    file at once: each writes to a path of its own, and the last one wins. Who may read it is what
    the umask says of any new file, whoever wrote it.
    """
    with spare(file) as partial:
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())


@contextmanager
def spare(file: Path) -> Iterator[Path]:
    """As `whole`, for a file that can be made again and holds a hash of itself: a power cut soon
    after the block may leave it torn. To wait for the disk takes longer than to write most files.
    """
    partial = _beside(file)
    try:
        usual = partial.stat().st_mode
        yield partial
        # safetensors puts a file of its own here, which only its owner may read.
        if partial.stat().st_mode != usual:
            with suppress(PermissionError):  # a file system without permissions
                partial.chmod(usual)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _beside(file: Path) -> Path:
    """A new, empty file beside `file`, whose folder is made; nobody else writes to it."""
    for left in range(_TRIES, 0, -1):
        partial = file.with_name(f".{file.name}.{os.urandom(4).hex()}.partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.touch(exist_ok=False)
            break
        except (FileNotFoundError, FileExistsError):
            # Somebody has removed the folder, which was empty: after it was made, or while it was
            # looked at because it could not be made.
            if left == 1:
                raise
    return partial


def remove_partial(folder: Path, older: float = 0.0) -> None:
    """Removes what crashes have left of files in a folder and those in it: with 0, only where
    nobody else writes there, else what nobody has written to for that many seconds."""
    for place, _, names in os.walk(folder):
        for file in (Path(place, name) for name in names if _PARTIAL.fullmatch(name)):
            with suppress(FileNotFoundError):
                if not older or time.time() - file.stat().st_mtime > older:
                    file.unlink()


def write_text(file: Path, text: str) -> None:
    """Writes a text file whole or not at all; lone surrogates, which no file takes, as U+FFFD."""
    with whole(file) as partial:
        partial.write_bytes(well_formed(text).encode())
