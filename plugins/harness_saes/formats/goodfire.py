"""Options of the format `goodfire`, and what a file's pickle says without a weight being read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts, Site
from harness.errors import ModelError
from harness_saes.core.stored import Entry, Layout, check_layout
from harness_saes.files.places import FileOptions
from harness_saes.files.pt_file import read_pt
from harness_saes.formats.saelens.config import Config
from harness_saes.widths import length

_OWN = frozenset(
    {
        "encoder_linear.weight",
        "encoder_linear.bias",
        "decoder_linear.weight",
        "decoder_linear.bias",
    }
)
_NAME = re.compile(r"(.+)-SAE-l(\d+)")


class GoodfireOptions(FileOptions):
    """One of Goodfire's SAEs: a `.pt` or `.pth` file."""

    tensors: ClassVar[frozenset[str]] = _OWN

    def patterns(self) -> Sequence[str]:
        """The file, which has the repository's own name where no other is given."""
        return [self.file or f"{self.path.rpartition('/')[2]}.pt*"]

    def describe(self) -> SaeFacts:
        """Facts from the file's pickle and name; nothing of what is not cached."""
        file = self.found()
        return SaeFacts() if file is None else read_config(file)[0].facts


def read_config(file: Path) -> tuple[Config, Layout]:
    """What a file says of itself, and its tensors; ModelError where it does not fit together."""
    contents, where = read_pt(file), str(file)
    d = length(contents.tensors, "decoder_linear.bias", where)
    n = length(contents.tensors, "encoder_linear.bias", where)
    layout = {
        "encoder_linear.weight": Entry((n, d), "W_enc", turned=True),
        "encoder_linear.bias": Entry((n,), "b_enc"),
        "decoder_linear.weight": Entry((d, n), "W_dec", turned=True),
        "decoder_linear.bias": Entry((d,), "b_dec"),
    }
    what = f"{d} numbers in decoder_linear.bias and {n} in encoder_linear.bias"
    check_layout(contents.tensors, layout, where, what)
    if contents.plain:
        raise ModelError(
            f"{where}: has {min(contents.plain)!r} beside its tensors, which could change the "
            f"numbers. Expected {', '.join(sorted(_OWN))} alone."
        )
    match = _NAME.fullmatch(file.stem)
    config = Config(
        architecture="standard",
        d_in=d,
        d_sae=n,
        apply_b_dec_to_input=False,
        site=Site("resid_post", int(match[2])) if match else None,
        model=match[1] if match else None,
    )
    return config, layout
