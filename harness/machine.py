"""What the machine does to a run, in words: a full disk, no memory, a file that may not be read."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import MachineError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_CLOSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EISDIR,
)


@contextmanager
def machine_errors(folder: Path) -> Iterator[None]:
    """Turns what the operating system says into an error for people.

    Raises MachineError where the disk or the memory gave out: a rerun of the run in `folder`
    continues. Raises UsageError for a file that may not be read or written.
    """
    try:
        yield
    except OSError as error:
        where = Path(error.filename) if isinstance(error.filename, str) else folder
        if error.errno in _FULL:
            raise MachineError(
                f"{where}: {error.strerror}. What was finished is kept; make room and run the "
                "same command again."
            ) from error
        if error.errno in _CLOSED:
            ours = folder == where or folder in where.parents
            hint = " Name another folder with --out." if ours else ""
            raise UsageError(f"{where}: cannot be used: {error.strerror}.{hint}") from error
        raise
    except Exception as error:
        if not _out_of_memory(error):
            raise
        raise MachineError(
            f"out of memory: {str(error).splitlines()[0] if str(error) else 'no details'}. What "
            "was finished is kept; set smaller sizes in [batch] and run the same command again."
        ) from error


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    # Torch's own error exists only where torch does; it is not imported to find out.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
