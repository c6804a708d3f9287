"""What the laws are tried on: both models of the organism."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.contract import Example
from harness.testing import check_backend, organism
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

TEXTS = ("A river", "It rises in the hills and ends in the sea.", "Ende: Öl, ö.")


def samples(folder: Path) -> Iterator[partial[None]]:
    """The base model and the chat model; texts of different lengths."""
    examples = [Example(id=str(number), text=text) for number, text in enumerate(TEXTS)]
    for name in ("base", "chat"):
        model = TransformersBackend(TransformersOptions(path=str(organism() / name))).load()
        yield partial(check_backend, model, examples)
