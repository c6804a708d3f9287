"""The name of remembered work: a hash of everything that it was made from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any


def key_of(*parts: object) -> str:
    """A hash of everything that an answer depends on: 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def hash_of(value: Any) -> str:
    """A hash of a JSON value: the same after it was written and read again."""
    return hashed(value)[1]


def hashed(value: Any) -> tuple[str, str]:
    """A JSON value as text, and the hash of it."""
    text = json.dumps(value)
    return text, hashlib.sha256(text.encode()).hexdigest()


def apart(keys: Iterable[str]) -> list[str]:
    """The keys with equal ones told apart: the second, third, ... of them get a key of their own.

    So each of several equal requests is remembered by itself.
    """
    seen: Counter[str] = Counter()
    found = []
    for key in keys:
        found.append(key_of(key, seen[key]) if seen[key] else key)
        seen[key] += 1
    return found
