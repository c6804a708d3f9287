"""Values as bytes and back, exactly: what travels between the head of a run and its workers.

Plain values, arrays, and dataclasses of the harness; nothing else, so that reading bytes runs no
code that somebody has put into them. Layout: `MAGIC`, the length of the header (8 bytes, little
endian), the header (JSON), then the bytes of all arrays, one after the other.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from harness.errors import MachineError, PluginError

MAGIC = b"harness\x01"
_MANY = 16
"""From so many integers on, a sequence of them is an array: prompts are long."""


def pack(value: Any) -> bytes:
    """The bytes of a value.

    PluginError for an object that is none of the harness, and for arrays of objects.
    """
    arrays: list[np.ndarray] = []
    content = _coded(value, arrays)
    about = [(one.dtype.str, one.shape) for one in arrays]
    header = json.dumps([content, about], separators=(",", ":")).encode()
    body = (np.ascontiguousarray(one).tobytes() for one in arrays)
    return b"".join([MAGIC, len(header).to_bytes(8, "little"), header, *body])


def unpack(data: bytes) -> Any:
    """The value of such bytes. MachineError where they are cut off, or none of ours."""
    start = len(MAGIC) + 8
    end = start + int.from_bytes(data[len(MAGIC) : start], "little")
    if data[: len(MAGIC)] != MAGIC or len(data) < end:
        raise MachineError(f"{len(data)} bytes from another process are not whole. {_AGAIN}")
    content, about = json.loads(data[start:end])
    arrays = []
    for dtype, shape in about:
        kind = np.dtype(dtype)
        size = kind.itemsize * int(np.prod(shape, dtype=np.int64))
        if len(data) < end + size:
            raise MachineError(f"{len(data)} bytes from another process are cut off. {_AGAIN}")
        flat = np.frombuffer(data, kind, size // kind.itemsize if kind.itemsize else 0, end)
        arrays.append(flat.reshape(shape).copy())  # whoever gets it may write to it
        end += size
    return _value(content, arrays)


_AGAIN = "What was finished is kept; run the same command again."


def _coded(value: Any, arrays: list[np.ndarray]) -> Any:
    """A value as JSON, in which each array is its number. Lists and plain values are themselves,
    all else is an object with one key, which says what it is."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return {"scalar" if isinstance(value, np.generic) else "array": _array(value, arrays)}
    if isinstance(value, bytes):
        return {"bytes": _array(np.frombuffer(value, np.uint8), arrays)}
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        if len(value) >= _MANY and all(type(one) is int and abs(one) < 2**63 for one in value):
            return {f"ints_{kind}": _array(np.array(value, np.int64), arrays)}
        items = [_coded(one, arrays) for one in value]
        return items if kind == "list" else {"tuple": items}
    if is_dataclass(value) and not isinstance(value, type):
        made = type(value)
        where = f"{made.__module__}:{made.__qualname__}"
        if not where.startswith("harness."):
            raise PluginError(
                f"{where}: an object of this class would have to travel to another process. "
                "Allowed: plain values, arrays, and the classes of harness.contract. Report it to "
                "the plugin's author, or run without other workers."
            )
        inside = {one.name: _coded(getattr(value, one.name), arrays) for one in fields(value)}
        return {"object": [where, inside]}
    if isinstance(value, Mapping):
        return {"map": [[_coded(k, arrays), _coded(v, arrays)] for k, v in value.items()]}
    if isinstance(value, Set):
        return {"set": [_coded(one, arrays) for one in sorted(value, key=repr)]}
    for plain in (bool, int, float, str):  # of a class of its own, such as an enumeration
        if isinstance(value, plain):
            return plain(value)
    raise PluginError(
        f"{type(value).__name__}: such a value would have to travel to another process. Allowed: "
        "plain values, arrays, and the classes of harness.contract. Report it to the plugin's "
        "author, or run without other workers."
    )


def _array(value: np.ndarray | np.generic, arrays: list[np.ndarray]) -> int:
    found = np.asarray(value)
    if found.dtype.hasobject:
        raise PluginError(
            "an array of objects would have to travel to another process. Allowed: arrays of "
            "numbers and of text. Report it to the plugin's author, or run without other workers."
        )
    arrays.append(found)
    return len(arrays) - 1


def _value(content: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(content, list):
        return [_value(one, arrays) for one in content]
    if not isinstance(content, dict):
        return content
    ((kind, inside),) = content.items()
    match kind:
        case "array":
            return arrays[inside]
        case "scalar":
            return arrays[inside][()]
        case "bytes":
            return arrays[inside].tobytes()
        case "ints_tuple":
            return tuple(arrays[inside].tolist())
        case "ints_list":
            return arrays[inside].tolist()
        case "tuple":
            return tuple(_value(one, arrays) for one in inside)
        case "set":
            return frozenset(_value(one, arrays) for one in inside)
        case "map":
            return {_value(key, arrays): _value(one, arrays) for key, one in inside}
        case "object":
            where, given = inside
            return _class(where)(**{name: _value(one, arrays) for name, one in given.items()})
    raise MachineError(f"{kind!r} from another process is nothing that we know. {_AGAIN}")


def _class(where: str) -> type:
    module, _, name = where.partition(":")
    ours = module.startswith("harness.")
    found = getattr(importlib.import_module(module), name) if ours else None
    if not (isinstance(found, type) and is_dataclass(found)):
        raise MachineError(f"{where!r} from another process is no value of ours. {_AGAIN}")
    return found
