"""What the laws of `gguf` are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from gguf import GGUFReader

from harness.testing import check_export, small_run
from harness_exports.control_vectors.export import ControlVectors
from harness_exports.control_vectors.options import ControlVectorsOptions

Cases = Iterator[partial[None]]


def gguf(folder: Path) -> Cases:
    """At the length that a direction was found with, and at length 1."""
    run = small_run(folder / "run")
    for options in (ControlVectorsOptions(), ControlVectorsOptions(scale="unit")):
        yield partial(check_export, ControlVectors(options), run, read=read_vectors)


def read_vectors(files: Mapping[str, bytes]) -> None:
    """Reads control vectors by the rules of llama.cpp's loader. ValueError for what it refuses."""
    for path, content in files.items():
        with TemporaryDirectory() as folder:
            file = Path(folder) / "vector.gguf"
            file.write_bytes(content)
            found = {one.name: (one.tensor_type.name, len(one.shape)) for one in
                     GGUFReader(file).tensors}  # fmt: skip
        for name, kind in found.items():
            stem, _, number = name.partition(".")
            if stem != "direction" or int(number) < 1 or kind != ("F32", 1):
                raise ValueError(f"{path}: {name} of {kind} is no control vector")
