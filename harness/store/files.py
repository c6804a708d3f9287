"""Files that are on disk whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Gives a path beside `file` to write to; what was written becomes `file` after the block.

    Its folder is made. After a crash, or an error in the block, the earlier file is still there;
    when the block has ended, the new one survives a power cut. Who may read it is what the umask
    says of any new file, whoever wrote it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        partial.touch()
        usual = partial.stat().st_mode
        yield partial
        # safetensors puts a file of its own here, which only its owner may read.
        if partial.stat().st_mode != usual:
            with suppress(PermissionError):  # a file system without permissions
                partial.chmod(usual)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with whole(file) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
