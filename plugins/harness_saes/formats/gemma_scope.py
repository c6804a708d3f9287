"""Options of Gemma Scope 1, and the facts that names and headers tell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts
from harness.errors import ModelError
from harness_saes.core.stored import Entry, Layout, check_layout
from harness_saes.files.npz import read_npz_header
from harness_saes.files.repository import RepositoryOptions
from harness_saes.formats.gemma_scope_names import read_names
from harness_saes.formats.saelens.config import Config
from harness_saes.widths import length

FILE = "params.npz"


class GemmaScopeOptions(RepositoryOptions):
    """An SAE of Gemma Scope 1: `params.npz` in a folder `layer_20/width_16k/average_l0_71`."""

    suffixes: ClassVar[tuple[str, ...]] = (f"/{FILE}",)

    def config(self, weights: Path) -> Config:
        """What decides the numbers, from names and header; ModelError says what does not fit."""
        names = read_names(self.named(), self.where)
        where, found = str(weights), read_npz_header(weights)
        d_in, d_sae = length(found, "b_dec", where), length(found, "b_enc", where)
        what = f"d_in {d_in}, the length of b_dec, and d_sae {d_sae}, that of b_enc"
        check_layout(found, layout(d_in, d_sae, found), where, what)
        return Config(
            architecture="jumprelu",
            d_in=d_in,
            d_sae=d_sae,
            apply_b_dec_to_input=False,
            site=names.site,
            model=names.model,
            neuronpedia=self.neuronpedia,
        )

    def describe(self) -> SaeFacts:
        """Facts from the file's header; of one that is not cached, from its names."""
        weights = self.found()
        if weights is not None:
            return self.config(weights).facts
        names = read_names(self.named(), self.where)
        return SaeFacts(
            architecture="jumprelu",
            d_in=names.d_in,
            d_sae=names.d_sae,
            site=names.site,
            model=names.model,
            neuronpedia=self.neuronpedia,
        )

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether `path` is such a file, or has one in it or below, with exactly its arrays.

        One that cannot be read is claimed by its name, so that its own error is told.
        """
        file = cls.first(path)
        return file is not None and _is_one(file)


def layout(d_in: int, d_sae: int, names: Iterable[str]) -> Layout:
    """How the file stores the core's tensors; some files write w_enc and w_dec."""
    small = "w_enc" in names
    return {
        "w_enc" if small else "W_enc": Entry((d_in, d_sae), "W_enc"),
        "w_dec" if small else "W_dec": Entry((d_sae, d_in), "W_dec"),
        "b_enc": Entry((d_sae,), "b_enc"),
        "b_dec": Entry((d_in,), "b_dec"),
        "threshold": Entry((d_sae,), "threshold"),
    }


def _is_one(file: Path) -> bool:
    try:
        found = read_npz_header(file)
        return set(found) == set(layout(1, 1, found))
    except ModelError:
        return True
