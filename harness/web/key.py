"""The key of a service, in an environment variable and nowhere else."""

from __future__ import annotations

import os

from harness.errors import UsageError


def key_in(variable: str | None, name: str) -> str | None:
    """The key that an environment variable holds; None where no variable is named.

    Raises UsageError, which begins with `name` and never quotes what is in the variable, where it
    holds none.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"{name}: the environment variable {variable} is not set. It must hold the server's "
            "key; or leave out api_key_variable."
        )
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            f"{name}: the environment variable {variable} holds no key: a key is one line of "
            "letters, digits and marks."
        )
    return key
