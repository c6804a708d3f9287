"""What the machine does to a run, in words: a full disk, no memory, a file that may not be read."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import HarnessError, MachineError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
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
    except HarnessError:
        raise
    except Exception as error:
        if system := _of_the_system(error):
            # Of a file that was to be renamed, what matters is the name that it could not get.
            names = [n for n in (system.filename2, system.filename) if isinstance(n, str)]
            where = Path(names[0]) if names else folder
            if system.errno in _FULL:
                raise MachineError(
                    f"{where}: {system.strerror}. What was finished is kept; make room and run "
                    "the same command again."
                ) from error
            if system.errno in _CLOSED:
                ours = folder == where or folder in where.parents
                remove = "Remove it, or name" if system.errno == errno.EISDIR else "Name"
                hint = f" {remove} another folder with --out." if ours else ""
                raise UsageError(f"{where}: cannot be used: {system.strerror}.{hint}") from error
        if not _out_of_memory(error):
            raise
        raise MachineError(
            f"out of memory: {str(error).splitlines()[0] if str(error) else 'no details'}. What "
            "was finished is kept; set smaller sizes in [batch] and run the same command again."
        ) from error


def _of_the_system(error: Exception) -> OSError | None:
    """What the operating system said. Libraries in Rust (safetensors) quote it without the file:
    of them, what is about the disk and not about one file."""
    if isinstance(error, OSError):
        return error
    quoted = re.search(r"\(os error (\d+)\)", str(error))
    code = int(quoted[1]) if quoted else 0
    return OSError(code, os.strerror(code)) if code in _FULL else None


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    # Torch's own error exists only where torch does; it is not imported to find out.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def give_back_memory() -> None:
    """Returns what was freed to the system, where the C library keeps it (glibc).

    Batches of many sizes on several threads leave gaps that it would hold on to: without this, a
    pass over ten times the tokens ends with a tenth more memory.
    """
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
