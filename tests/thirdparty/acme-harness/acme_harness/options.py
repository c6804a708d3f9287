"""What a task may write, and what the files say. Imports no torch."""

from __future__ import annotations

from typing import ClassVar

from safetensors import SafetensorError, safe_open

from harness.contract import LocalPath, MetricOptions, SaeFacts, SaeOptions
from harness.errors import ModelError


class PolarOptions(SaeOptions):
    """One polar SAE: a file `*.polar`, in the form of safetensors."""

    path: LocalPath
    """The file, with W_enc `[d_in, d_sae]`, b_enc, W_dec `[d_sae, d_in]` and b_dec."""

    def describe(self) -> SaeFacts:
        """The widths; ModelError where the tensors do not fit together."""
        try:
            with safe_open(self.path, "np") as file:
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{self.path}: cannot be read ({error}). Copy it again.") from error
        (d_in, *_), (d_sae, *_) = (shapes.get(name) or (0,) for name in ("b_dec", "b_enc"))
        expected = {"W_enc": [d_in, d_sae], "W_dec": [d_sae, d_in], "b_enc": [d_sae]}
        if shapes != expected | {"b_dec": [d_in]}:
            raise ModelError(f"{self.path}: has {shapes}, no polar SAE. Export it again.")
        return SaeFacts("polar", d_in, d_sae)

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether the file is called like one of ours."""
        return path.endswith(".polar")


class LengthRatioOptions(MetricOptions):
    """Options of `length_ratio`: it has none."""

    paired: ClassVar[bool] = True
    on_sae: ClassVar[bool] = False
