"""The name of remembered work: a hash of everything that it was made from."""

from __future__ import annotations

import hashlib
import json


def key_of(*parts: object) -> str:
    """A hash of everything that an answer depends on: 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
