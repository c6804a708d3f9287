"""Files of torch.save, read without trusting them: the pickle inside is parsed, never run."""

from __future__ import annotations

import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ModelError
from harness_saes.core.origin import read_from, state_before
from harness_saes.core.stored import Stored
from harness_saes.files.header import (
    BYTES,
    LONGEST_NAME,
    MOST_AXES,
    broken,
    first_line,
    unreadable,
)

if TYPE_CHECKING:
    from torch import Tensor

_broken = partial(broken, "file of torch.save")
_LARGEST = 10_000_000
"""Bytes of the pickle, which holds names and shapes, no weights."""
_STEPS = 100_000
"""Operations of the pickle, of which a tensor takes about thirty: half a second's worth."""
_VALUES_IN_ALL = 100_000
"""Plain values, each counted as often as it is referred to."""
_DEEPEST = 8
"""Lists within lists."""
_STORAGES = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}


_STORED = zipfile.ZIP_STORED
_PROTOCOLS = (2, 3)
"""Of pickle: those that torch reads with `weights_only`, too."""
_VALUES = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"})
"""Opcodes whose argument is the value."""


@dataclass(frozen=True)
class Contents:
    """What a file holds, keys of nested dictionaries joined with dots."""

    tensors: Mapping[str, Stored]
    plain: Mapping[str, Any]
    """Text, numbers, truth values, None, and lists of them."""


def read_pt(path: Path) -> Contents:
    """The tensors' types and shapes, and the plain values beside them, without torch.

    Format: a zip with a pickle, `data.pkl`, and a record `data/KEY` for each storage.
    Raises ModelError where the file is missing, cut off, of another form, or would run code.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        if start != b"PK\x03\x04":
            raise _foreign(path, start)
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            packed = [i.filename for i in archive.infolist() if i.compress_type != _STORED]
            pickles = [name for name in sizes if name.endswith("/data.pkl")]
            if len(pickles) != 1 or sizes[pickles[0]] > _LARGEST:
                raise _broken(path, "it is a zip without the one data.pkl that torch.save writes")
            pickled = archive.read(pickles[0])
    except ModelError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # zipfile raises almost anything for a damaged file
        raise _broken(path, f"it is cut off or damaged ({first_line(error)})") from error
    records = pickles[0].removesuffix("data.pkl") + "data/"
    if any(name.startswith(records) for name in packed):
        # Its numbers are mapped from disk as they lie there, and these would be others.
        raise _broken(path, "its weights are compressed, which torch.save never does")
    try:
        found = dict(_flat(_walked(pickled), "", set()))
        left = _VALUES_IN_ALL
        for value in found.values():
            left = _counted(value, left, 0)
    except _ForeignCall as error:
        raise ModelError(
            f"{path}: its pickle calls {first_line(error)}, which would run code. It was not run. "
            "Expected tensors and plain values only. Load it where you trust it, and save its "
            "state_dict()."
        ) from error
    except Exception as error:  # pickletools likewise
        raise _broken(
            path, f"its pickle describes no tensors by name ({first_line(error)})"
        ) from error
    for name, value in found.items():
        if isinstance(value, _Tensor):
            _check_record(path, name, value, sizes.get(records + value.storage.key))
    return Contents(
        {
            name: Stored(value.storage.dtype, value.shape)
            for name, value in found.items()
            if isinstance(value, _Tensor)
        },
        {name: value for name, value in found.items() if not isinstance(value, _Tensor)},
    )


def load_pt(path: Path, where: str) -> dict[str, Tensor | Any]:
    """Tensors, mapped from disk on the CPU, and plain values; nested keys joined with dots.

    `where` begins messages about torch's own refusals. Raises ModelError as `read_pt`, before
    torch sees the file; torch then reads it with `weights_only`, a second wall.
    """
    state = state_before(path)
    read_pt(path)
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols that it reads all the same
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch and its zip reader raise almost anything for a bad file
        # Torch's text on a pickle that it refuses advises to run the code.
        refused = isinstance(error, pickle.UnpicklingError)
        reason = "torch refuses its pickle too" if refused else first_line(error)
        raise ModelError(
            f"{where}: {path.name} cannot be read ({reason}). Expected a file of torch.save with "
            "tensors and plain values. Copy or download it again."
        ) from error
    return read_from(path, state, dict(_flat(found, "", set())))


@dataclass(frozen=True)
class _Global:
    """A Python name that the pickle asks for; it is compared with known names, never imported."""

    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str
    numel: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _ForeignCall(Exception):
    """The pickle asks for a Python name that no tensor and no plain value needs."""


def _rebuilt(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without storage")
    if max(len(shape), len(stride)) > MOST_AXES:
        raise ValueError(f"a tensor with more than {MOST_AXES} axes")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))


def _filled(into: Any, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """The dictionary with more in it; its names are text or numbers, whose hash is soon found."""
    if not isinstance(into, dict):
        raise ValueError("names for something that is no dictionary")
    for key, value in pairs:
        if not isinstance(key, str | int):
            raise ValueError(f"a {type(key).__name__} as name")
        into[key] = value
    return into


_CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda pairs=(): _filled({}, pairs),
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": _rebuilt,
    "torch._utils._rebuild_tensor_v2": _rebuilt,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}
"""What a file of weights calls, and what each call stands for here."""


def _global(name: str) -> _Global:
    if name not in _CALLS and name not in _STORAGES:
        raise _ForeignCall(name)
    return _Global(name)


def _stored(reference: Any) -> _Storage:
    """The storage that a persistent id names: ("storage", type, key, device, numbers)."""
    tag, kind, key, _, numel = reference
    named = isinstance(tag, str) and isinstance(kind, _Global) and isinstance(key, str | int)
    if not named or tag != "storage" or kind.name not in _STORAGES:
        raise ValueError("a reference to something that is no storage")
    return _Storage(_STORAGES[kind.name], str(key), int(numel))


def _called(function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Global) or function.name not in _CALLS:
        raise ValueError("a call of something that is no function")
    return _CALLS[function.name](*arguments)


def _walked(pickled: bytes) -> Any:
    """The object that a pickle describes, with stand-ins for tensors; no name is looked up.

    The opcodes are those that torch.save writes.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    opcodes: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]] = pickletools.genops(pickled)
    for step, (opcode, argument, _) in enumerate(opcodes):
        if step >= _STEPS:
            raise ValueError(f"more than {_STEPS} operations")
        match opcode.name:
            case "PROTO":
                if argument not in _PROTOCOLS:
                    raise ValueError(f"protocol {argument}, where torch.save writes 2")
            case "STOP":
                break
            case "MARK":
                marks.append(len(stack))
            case "POP":
                stack.pop()
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "SETITEM":
                key, value = stack.pop(-2), stack.pop()
                _filled(stack[-1], [(key, value)])
            case "SETITEMS":
                items = since_mark()
                _filled(stack[-1], zip(items[::2], items[1::2], strict=True))
            case "BUILD":
                stack.pop()  # attributes of a dictionary: torch notes versions of modules there
            case "GLOBAL":
                stack.append(_global(argument.replace(" ", ".", 1)))
            case "BINPERSID":
                stack.append(_stored(stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_called(stack.pop(), arguments))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case _ if opcode.name in _VALUES:
                stack.append(argument)
            case _:
                raise ValueError(f"operation {opcode.name}")
    return stack.pop()


def _flat(value: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries by dotted name."""
    # A dictionary in two places could stand for more names than any memory holds.
    if not isinstance(value, Mapping) or id(value) in seen:
        raise ValueError(f"{prefix or 'the whole'} is {type(value).__name__}")
    seen.add(id(value))
    for key, item in value.items():
        if len(prefix) + len(str(key)) > LONGEST_NAME:
            raise ValueError(f"a name of more than {LONGEST_NAME} characters")
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.", seen)
        else:
            yield f"{prefix}{key}", item


def _counted(value: Any, left: int, depth: int) -> int:
    """How many more values there may be after this one, a list counted with all that is in it."""
    if left <= 0:
        raise ValueError(f"more than {_VALUES_IN_ALL} plain values")
    if not isinstance(value, list | tuple):
        return left - 1
    if depth >= _DEEPEST:
        raise ValueError(f"lists in lists, more than {_DEEPEST} deep")
    for item in value:
        left = _counted(item, left, depth + 1)
    return left - 1


def _check_record(path: Path, name: str, tensor: _Tensor, size: int | None) -> None:
    """Whether the data of a tensor are there, as many as its shape needs."""
    storage = tensor.storage
    if size != storage.numel * BYTES[storage.dtype]:
        found = "no data" if size is None else f"{size} bytes"
        raise _broken(
            path, f"{name} has {found} where {storage.numel} numbers of {storage.dtype} are due"
        )
    numbers = [n > 0 for n in tensor.shape]
    last = tensor.offset + sum(
        (n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True)
    )
    if all(numbers) and not 0 <= last < storage.numel:
        raise _broken(path, f"{name} is {list(tensor.shape)}, but has {storage.numel} numbers")


def _foreign(path: Path, start: bytes) -> ModelError:
    if start[:1] == b"\x80":
        return ModelError(
            f"{path}: is a pickle without the zip that torch.save puts around it since version "
            "1.6. It was not run. Load it with torch.load(…, weights_only=True) and save it anew."
        )
    return _broken(path, "it does not begin like one")
