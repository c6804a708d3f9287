"""What other people's libraries say of files that they cannot use, in words of ours. No torch."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.errors import HarnessError

_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EMFILE)
"""What an operating system says of itself, and not of a file."""
_MOST = 300


@contextmanager
def refusing(refusal: Callable[[Exception], HarnessError]) -> Iterator[None]:
    """Raises `refusal(error)` for whatever a library raises inside.

    A file of a stranger reaches places of a library that nobody has tried: there is no list of what
    is raised there. What is an error of ours already stays, and so does what the machine is at
    fault for, memory or a full disk. (Of torch, `refusal` sees what it says of memory.)
    """
    try:
        yield
    except (HarnessError, MemoryError):
        raise
    except OSError as error:
        if error.errno in _MACHINE:
            raise
        raise refusal(error) from None
    except Exception as error:
        raise refusal(error) from None
    except BaseException as error:
        # What a library in Rust raises where it broke is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise refusal(RuntimeError(str(error))) from None


def first_line(error: BaseException) -> str:
    """What an error says in its first line: libraries of the hub go on with hints, such as of a
    token, that are not always right."""
    lines = str(error).strip().splitlines()
    return words(ValueError(lines[0])) if len(lines) > 1 else words(error)


def words(error: BaseException, most: int = _MOST) -> str:
    """What an error says, on one line, and cut where it is long.

    A KeyError says its key alone; what has no text is told by its type.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"there is no {text}"
    return text if len(text) <= most else f"{text[:most]}…"
