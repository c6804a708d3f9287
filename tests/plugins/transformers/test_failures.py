"""What is made of whatever a library raises on a stranger's file."""

from __future__ import annotations

import errno

import pytest

from harness.errors import DataError, HarnessError, ModelError
from harness_transformers.failures import refusing, words


def _refusal(error: Exception) -> HarnessError:
    return ModelError(f"x: {words(error)}")


class PanicException(BaseException):
    """As pyo3 raises it."""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Exception("no more"), "x: no more"),
        (KeyError("rope_type"), "x: there is no 'rope_type'"),
        (TypeError("one\n   two\n"), "x: one two"),
        (RecursionError(), "x: RecursionError"),
        (ZeroDivisionError("division by zero"), "x: division by zero"),
        (FileNotFoundError(errno.ENOENT, "no such file"), "no such file"),
        (PanicException("called `Option::unwrap()`"), "x: called `Option::unwrap..`"),
        (ValueError("y" * 1000), "x: y{300}…$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_exception_is_a_refusal(error: BaseException, says: str) -> None:
    with pytest.raises(ModelError, match=says), refusing(_refusal):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        DataError("ours"), MemoryError(), OSError(errno.ENOSPC, "full"), KeyboardInterrupt(),
        SystemExit(3), OSError(errno.EIO, "worn out"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_ours_the_machines_or_a_persons_stays(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, refusing(_refusal):
        raise error
    assert caught.value is error
