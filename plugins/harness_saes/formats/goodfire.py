"""Goodfire's SAEs: the options, and what the pickle in a file says without a weight."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts, Site
from harness.errors import ModelError
from harness_saes.core.config import Config
from harness_saes.core.stored import Inspected, check_layout, layout_of, length
from harness_saes.files.places import FileOptions
from harness_saes.files.pt_file import read_pt

_NAME = re.compile(r"(.+)-SAE-l(\d+)")


class GoodfireOptions(FileOptions):
    """One of Goodfire's SAEs: a `.pt` or `.pth` file."""

    tensors: ClassVar[Mapping[str, str]] = {
        "encoder_linear.weight": "W_enc",
        "encoder_linear.bias": "b_enc",
        "decoder_linear.weight": "W_dec",
        "decoder_linear.bias": "b_dec",
    }

    def patterns(self) -> Sequence[str]:
        """The file, which has the repository's own name where no other is given."""
        return [self.file or f"{self.path.rpartition('/')[2]}.pt*"]

    def inspect(self, place: Path) -> Inspected:
        """What the file's pickle says; ModelError where it does not fit together."""
        contents, where = read_pt(place), str(place)
        d = length(contents.tensors, "decoder_linear.bias", where)
        n = length(contents.tensors, "encoder_linear.bias", where)
        layout = layout_of(self.tensors, d, n)
        what = f"{d} numbers in decoder_linear.bias and {n} in encoder_linear.bias"
        check_layout(contents.tensors, layout, where, what)
        if contents.plain:
            raise ModelError(
                f"{where}: has {min(contents.plain)!r} beside its tensors, which could change the "
                f"numbers. Expected {', '.join(sorted(self.tensors))} alone."
            )
        return Inspected(place, Config.of(_named(place.stem), d, n), layout)

    def facts_by_name(self) -> SaeFacts:
        """Site and model as the file is called, or the repository, which is called like it."""
        return _named(Path(self.file).stem if self.file else self.path.rpartition("/")[2])


def _named(stem: str) -> SaeFacts:
    """What a name such as `Llama-3.1-8B-Instruct-SAE-l19` tells."""
    match = _NAME.fullmatch(stem)
    return SaeFacts(
        architecture="standard",
        site=Site("resid_post", int(match[2])) if match else None,
        model=match[1] if match else None,
    )
