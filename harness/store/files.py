"""Files that are on disk whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Gives a path beside `file` to write to; what was written becomes `file` after the block.

    Its folder is made. After a crash, or an error in the block, the earlier file is still there;
    when the block has ended, the new one survives a power cut.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    try:
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with whole(file) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
