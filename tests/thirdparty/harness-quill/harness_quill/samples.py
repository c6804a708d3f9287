"""What the laws are tried on, by `harness plugins check` and by the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from harness.contract import Example
from harness.testing import check_backend
from harness_quill.backend import QuillBackend
from harness_quill.options import QuillOptions
from harness_quill.text import VOCABULARY

TEXTS = ("A river", "It rises in the hills.", "Ende: Öl")


def samples(folder: Path) -> Iterator[partial[None]]:
    """A call of the check on a small model in `folder`."""
    write_example(folder / "small.safetensors")
    model = QuillBackend(QuillOptions(path=str(folder / "small.safetensors"))).load()
    examples = [Example(id=str(number), text=text) for number, text in enumerate(TEXTS)]
    yield partial(check_backend, model, examples)


def write_example(file: Path, d: int = 16, layers: int = 4, seed: int = 0) -> None:
    """Writes a model of random weights."""
    rng = np.random.default_rng(seed)
    shapes = {"embed": (VOCABULARY, d), "unembed": (d, VOCABULARY)}
    shapes |= {"W_in": (layers, d, 3 * d), "W_out": (layers, 3 * d, d)}  # type: ignore[dict-item]
    weights = {name: rng.normal(size=shape) / np.sqrt(d) for name, shape in shapes.items()}
    save_file({name: one.astype(np.float32) for name, one in weights.items()}, file)


if __name__ == "__main__":
    write_example(Path(sys.argv[1]))
