"""What a task may write for `quill`, and what its files say. Imports no torch."""

from __future__ import annotations

from math import prod
from typing import Literal

from safetensors import SafetensorError, safe_open

from harness.contract import BackendOptions, LocalPath, ModelFacts
from harness.errors import ModelError


class QuillOptions(BackendOptions):
    """One model: a safetensors file."""

    path: LocalPath
    """The file, with embed `[vocabulary, d]`, W_in `[layers, d, hidden]`, W_out `[layers, hidden,
    d]` and unembed `[d, vocabulary]`."""
    device: str = "cpu"
    """Where it runs, such as cuda:0."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What it computes in."""

    def describe(self) -> ModelFacts:
        """Layers and widths, from the file's header; ModelError where the tensors do not fit."""
        try:
            with safe_open(self.path, "np") as file:
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{self.path}: cannot be read ({error}). Copy it again.") from error
        sizes = [size for name in ("embed", "W_in") for size in shapes.get(name, ())]
        if len(sizes) != 5:
            raise ModelError(f"{self.path}: has {shapes}. Expected embed [v, d], W_in [l, d, h].")
        vocabulary, d, layers, _, hidden = sizes
        expected = {"embed": [vocabulary, d], "unembed": [d, vocabulary]}
        expected |= {"W_in": [layers, d, hidden], "W_out": [layers, hidden, d]}
        if shapes != expected:
            raise ModelError(f"{self.path}: has {shapes}. Expected {expected}. Export it again.")
        return ModelFacts(
            architecture="quill",
            layers=layers,
            d_model=d,
            vocabulary=vocabulary,
            parameters=sum(prod(shape) for shape in shapes.values()),
            chat_template=False,
        )
