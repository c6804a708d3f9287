"""Model folders on disk: where they are, what their headers say, and their hashes. No torch."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.store.known_files import of_each, sha256_of as hash_of_file
from harness.text import for_terminal
from harness.web import hub_error, patiently
from harness_transformers.failures import first_line, words

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PARTS = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
_ENDING = ".safetensors"
_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2,
    "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
"""By the name of a type in safetensors files, the bytes of a number."""


def local_folder(location: str, revision: str | None, what: str) -> Path | None:
    """The folder that `location` means, without a network; None for a hub id that is not cached."""
    folder = Path(location).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        gguf = ' A GGUF file is given as gguf = "…".' if folder.suffix == ".gguf" else ""
        raise ModelError(f"{what} {location}: is a file. Give the folder that holds it.{gguf}")
    if not _HUB_ID.fullmatch(location):
        raise ModelError(
            f"{what} {location}: no such folder. Allowed: a folder, or a hub id (owner/name)."
        )
    # A constant module: importing it is cheap and starts nothing.
    from huggingface_hub.constants import HF_HUB_CACHE

    repo = Path(HF_HUB_CACHE) / f"models--{location.replace('/', '--')}"
    named = repo / "refs" / (revision or "main")
    commit = named.read_text().strip() if named.is_file() else (revision or "main")
    snapshot = repo / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def fetch_folder(
    location: str,
    revision: str | None,
    what: str,
    *,
    subfolder: str | None = None,
    code: bool = False,
) -> Path:
    """The folder that `location` means, downloaded where it is a hub id and a network is there."""
    if Path(location).expanduser().is_dir():
        return Path(location).expanduser()
    cached = local_folder(location, revision, what)  # also refuses what is neither folder nor id
    from huggingface_hub import snapshot_download

    # Repositories also hold the same weights in other forms: below folders, or consolidated.
    def ask() -> str:
        return snapshot_download(
            location,
            revision=revision,
            allow_patterns=[*_PARTS, *(["*.py"] if code else [])],
            ignore_patterns=["consolidated*", *([] if subfolder or code else ["*/*"])],
        )

    try:
        return Path(patiently(ask, location))
    except Exception as error:
        # What broke off in the middle is no OSError; it left a part, which is not taken for whole.
        if cached is not None and isinstance(error, (OSError, ValueError)):
            return cached
        if known := hub_error(error, f"{what} {location}", location, ModelError):
            raise known from error
        if not isinstance(error, (OSError, ValueError)):
            raise
        raise ModelError(
            f"{what} {location}: not in the local cache, and it could not be downloaded"
            f" ({first_line(error)}). Allowed: a local folder, or a hub id that is cached or"
            f" reachable. Run `hf download {location}` where there is a network, or give a folder."
        ) from None


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file; ModelError names the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except FileNotFoundError:
        holds = (
            f"An adapter's folder holds {ADAPTER} and adapter_model.safetensors."
            if path.name == ADAPTER
            else "A model folder holds config.json, safetensors weights and a tokenizer."
        )
        raise ModelError(f"{what}: {_missing(path)}. {holds}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{what}: {path} cannot be read as JSON ({words(error)}). Allowed: an object in UTF-8."
            " Copy or download it again, or mend what is named."
        ) from None
    if not isinstance(value, dict):
        raise ModelError(
            f"{what}: {path} holds a {type(value).__name__}. Allowed: a JSON object. Copy or"
            " download it again."
        )
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError where a key comes twice with two values: readers differ in whose they
    take."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise ValueError(f"the key {for_terminal(key, 80)!r} comes twice, with two values")
        found[key] = value
    return found


def _missing(path: Path) -> str:
    if path.is_symlink():
        return f"{path.name} in {path.parent} is a link to {path.readlink()}, where no file is"
    return f"{path.name} is missing in {path.parent}"


def read_config(folder: Path, what: str) -> dict[str, Any]:
    """The config.json of a model's folder; ModelError where it is the folder of an adapter."""
    if not (folder / "config.json").is_file():
        refuse_adapter(folder, what)
    return read_json(folder / "config.json", what)


def refuse_adapter(folder: Path, what: str) -> None:
    """Points from `path` to `adapter` where the folder holds an adapter, and no model."""
    if not (folder / ADAPTER).is_file():
        return
    base = read_json(folder / ADAPTER, what).get("base_model_name_or_path")
    raise ModelError(
        f"{what}: {folder} holds an adapter ({ADAPTER}), not a model. Allowed: a folder with the"
        " weights of a whole model. Give the model that the adapter was trained on"
        + (f" ({base})" if base else "")
        + f' as path, and this as adapter = "{folder}".'
    )


def weight_files(folder: Path, what: str) -> list[Path]:
    """The safetensors files of the model in `folder`; empty where there are none."""
    index = folder / INDEX
    if (folder / SINGLE).is_file():  # transformers, too, takes it before the index
        return [folder / SINGLE]
    if not index.is_file():
        return []
    shards = read_json(index, what).get("weight_map")
    if not isinstance(shards, dict):
        raise ModelError(
            f"{what}: {index} has no weight_map. Allowed: an object that names the file of each"
            " weight. Copy or download it again."
        )
    for name in shards.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(_ENDING):
            raise ModelError(
                f"{what}: {index} names {for_terminal(repr(name), 100)} as a file of weights."
                f" Allowed: names of {_ENDING} files beside it. Copy or download it again."
            )
    return sorted({folder / name for name in shards.values()})


def require_weights(folder: Path, what: str) -> list[Path]:
    """The safetensors files, each there and whole; ModelError says which is not."""
    files = weight_files(folder, what)
    if not files:
        refuse_adapter(folder, what)
        if (folder / SINGLE).is_symlink() or (folder / INDEX).is_symlink():
            link = folder / (SINGLE if (folder / SINGLE).is_symlink() else INDEX)
            raise ModelError(f"{what}: {_missing(link)}. Put the file there, or mend the link.")
        others = [p.name for form in ("*.bin", "*.pt*") for p in sorted(folder.glob(form))]
        found = f" It holds {', '.join(others)}, which can run code when read." if others else ""
        raise ModelError(
            f"{what}: {folder} has no {SINGLE} and no {INDEX}.{found} Weights are read from"
            " safetensors only; save the model with save_pretrained to convert it."
        )
    count_parameters(files, what)
    return files


def require_adapter(folder: Path, what: str) -> None:
    """ModelError where a folder holds no adapter in the form that is read."""
    read_json(folder / ADAPTER, what)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"{what}: {folder} has no {ADAPTER_WEIGHTS}. Adapters are read from safetensors only;"
            " save it with save_pretrained to convert it."
        )


def count_parameters(files: Iterable[Path], what: str) -> int:
    """Numbers in safetensors files, from their headers; ModelError where a file is cut off, or its
    header describes other tensors than its bytes hold."""
    total = 0
    for file in files:
        try:
            size = file.stat().st_size
            with file.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(length)) if 0 < length <= size - 8 else None
            if not isinstance(header, dict):
                raise ValueError("its header is not whole")
            header.pop("__metadata__", None)
            count, end = _counted(header)
            if 8 + length + end != size:
                raise ValueError(f"it should have {8 + length + end} bytes and has {size}")
            total += count
        except FileNotFoundError:
            raise ModelError(
                f"{what}: {_missing(file)}, though {INDEX} names it. Put the file there."
            ) from None
        except (
            OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError,
        ) as error:  # fmt: skip
            raise ModelError(
                f"{what}: {file} is no whole safetensors file ({words(error, 200)}). Download it"
                " again."
            ) from None
    return total


_SCALES = re.compile(
    r"(scales?|scale_inv|absmax|quant_map|code|zeros|zero_points?|g_idx|SCB|weight_format"
    r"|weight_shape|quant_state\.\w+)$"
)
"""How tensors are called that stand beside weights of few bits."""
_WHOLE = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")
"""Types of tensors into which such weights are packed."""


def packed_numbers(files: Iterable[Path], bits: int) -> int:
    """Numbers in safetensors files whose weights are packed, so many bits each; without scales.

    Of files that `count_parameters` has found whole.
    """
    total = 0
    for file in files:
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if _SCALES.search(name):
                continue
            begin, end = entry["data_offsets"]
            packed = entry["dtype"] in _WHOLE
            total += (end - begin) * 8 // bits if packed else math.prod(entry["shape"])
    return total


def _counted(header: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers in the tensors of a header, and where the last one ends; ValueError where they are
    not one behind the other, each with the bytes that its shape needs."""
    numbers = [entry[key] for entry in header.values() for key in ("shape", "data_offsets")]
    if any(type(n) is not int or n < 0 for many in numbers for n in many):
        raise ValueError("its header has sizes that are no whole numbers")
    total = at = 0
    for name, entry in sorted(header.items(), key=lambda one: one[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        count = math.prod(entry["shape"])
        each = _BYTES.get(entry["dtype"])
        if begin != at or end < begin or (each is not None and end - begin != count * each):
            said = f"{for_terminal(name, 100)} is in the bytes {begin} to {end}"
            if begin != at or end < begin:
                raise ValueError(f"its header says that {said}, and what is before it ends at {at}")
            kind, shape = entry["dtype"], for_terminal(str(entry["shape"]), 60)
            raise ValueError(f"its header says that {said} and is {shape} of {kind}")
        total, at = total + count, end
    return total, at


def tensor_names(files: Iterable[Path]) -> set[str]:
    """The names of the tensors in safetensors files that `count_parameters` has found whole."""
    return set(tensor_shapes(files))


def tensor_shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in safetensors files that `count_parameters` has found whole."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        shapes |= {name: tuple(entry["shape"]) for name, entry in _header(file).items()}
    return shapes


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        header: dict[str, Any] = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    header.pop("__metadata__", None)
    return header


def stored_types(files: Iterable[Path]) -> dict[str, str]:
    """By tensor, the name of its type, of files that `count_parameters` has found whole."""
    types: dict[str, str] = {}
    for file in files:
        types |= {name: str(entry["dtype"]) for name, entry in _header(file).items()}
    return types


def not_floating(types: Mapping[str, str], floating: Set[str]) -> list[str]:
    """Tensors that a model computes with and a file stores as whole numbers, truth values or
    complex ones. What reads them casts them without a word."""
    wrong = (name for name, kind in types.items() if not kind.startswith(("F", "BF")))
    return sorted(floating.intersection(wrong))


def companions(folder: Path) -> list[Path]:
    """The small files that decide what a model does: configuration, tokenizer, template, code."""
    endings = {".json", ".jinja", ".model", ".txt", ".py"}
    small = (p for p in folder.iterdir() if p.suffix in endings and p.is_file())
    # License and model card are words about the model, not the model.
    return sorted(p for p in small if p.name.lower() not in {"license.txt", "readme.txt"})


def weights_sha256(files: Iterable[Path]) -> str:
    """The sha256 of a model's weights: that of its file.

    Of several files it is the sha256 of theirs, a line each, in the order of the files' names:
    `cat`, `sort` and `sha256sum` come to the same.
    """
    found = of_each(sha256_of, sorted(files))
    if len(found) == 1:
        return found[0]
    return hashlib.sha256("".join(f"{one}\n" for one in found).encode()).hexdigest()


def digest(groups: Iterable[tuple[str, Iterable[Path]]], *also: str) -> str:
    """sha256 over named groups of files and further words; independent of where the files lie."""
    total = hashlib.sha256()
    for label, files in groups:
        ordered = sorted(files)
        for file, found in zip(ordered, of_each(sha256_of, ordered), strict=True):
            total.update(f"{label}/{file.name}\0{found}\n".encode())
    for word in also:
        total.update(f"{word}\n".encode())
    return total.hexdigest()


def sha256_of(file: Path) -> str:
    """The sha256 of a file's content; read once for as long as the file stays as it is."""
    real = file.resolve()
    # The hub's cache names a large file by its sha256. Other folders may be called blobs, too.
    cached = real.parent.name == "blobs" and real.parent.parent.name.startswith("models--")
    if cached and re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name
    return hash_of_file(real)
