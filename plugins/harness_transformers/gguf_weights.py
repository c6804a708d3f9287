"""The weights of a GGUF file in a model of transformers, as plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

import torch
import transformers

from harness_transformers.gguf_file import GgufFile


def unpacked(gguf: GgufFile, dtype: Any) -> dict[str, Any]:
    """What `from_pretrained` is told, so that it takes the numbers out of their blocks.

    `dtype` is what the task asks for. "auto" becomes the file's own: what edits and reads a model
    needs plain weights, and a block of 4-bit numbers is told by none of the 16-bit ones.
    """
    told: dict[str, Any] = {"dtype": getattr(torch, gguf.dtype) if dtype == "auto" else dtype}
    # From 5.1x on transformers keeps some architectures in their blocks unless it is told.
    config = getattr(transformers, "GgufConfig", None)
    return told if config is None else {**told, "quantization_config": config(dequantize=True)}


@contextmanager
def without_bar() -> Iterator[None]:
    """Keeps away the bar that transformers draws while it reads a GGUF file, whatever its
    settings; the harness says by itself what it is doing."""
    with redirect_stderr(StringIO()):
        yield


def plain(hf: Any, name: str) -> Any:
    """The model without the marks of a quantised one: it holds plain numbers, and is changed and
    moved like any other. `name` replaces that of the folder that it was read from, which is gone.
    """
    for mark in ("hf_quantizer", "is_quantized", "quantization_method"):
        if mark in vars(hf):
            delattr(hf, mark)
    if hasattr(hf.config, "quantization_config"):
        del hf.config.quantization_config
    hf.config._name_or_path = hf.name_or_path = name
    return hf
