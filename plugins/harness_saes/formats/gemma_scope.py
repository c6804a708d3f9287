"""Gemma Scope 1: its options, and what names and headers say; its files say no more."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts
from harness.contract.sites import Site
from harness.errors import ModelError
from harness_saes.core.config import Config
from harness_saes.core.stored import Entry, Inspected, Layout, check_layout, length
from harness_saes.files.npz import read_npz_header
from harness_saes.files.repository import RepositoryOptions

_REPOSITORY = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)\b")
_LAYER = re.compile(r"\blayer_(\d+)\b")
_WIDTH = re.compile(r"\bwidth_(\d+)([km])\b")
_EMBEDDING = re.compile(r"\bembedding/width_")
_KINDS = {"res": "resid_post", "mlp": "mlp_out", "att": "attn_z"}
"""`att` reads the heads' outputs, concatenated, before the output projection; `mlp` the MLP's
output after its norm, as it is added to the residual."""
_WIDTHS = {"2b": 2304, "9b": 3584, "27b": 4608}
_HEADS = {"2b": 2048, "9b": 4096}


class GemmaScopeOptions(RepositoryOptions):
    """An SAE of Gemma Scope 1: `params.npz` in a folder `layer_20/width_16k/average_l0_71`."""

    suffixes: ClassVar[tuple[str, ...]] = ("/params.npz",)

    def inspect(self, place: Path) -> Inspected:
        """What names and header say; ModelError says what does not fit."""
        names = read_names(self.named(), self.where)
        where, found = str(place), read_npz_header(place)
        d_in, d_sae = length(found, "b_dec", where), length(found, "b_enc", where)
        what = f"d_in {d_in}, the length of b_dec, and d_sae {d_sae}, that of b_enc"
        tensors = layout(d_in, d_sae, found)
        check_layout(found, tensors, where, what)
        config = Config(
            architecture="jumprelu",
            d_in=d_in,
            d_sae=d_sae,
            apply_b_dec_to_input=False,
            site=names.site,
            model=names.model,
            neuronpedia=self.neuronpedia,
        )
        return Inspected(place, config, tensors)

    def facts_by_name(self) -> SaeFacts:
        """Site, model and widths as repository and folder are called."""
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
    def recognises(cls, weights: Path) -> bool:
        """Whether a `params.npz` has exactly the arrays of Gemma Scope 1."""
        found = read_npz_header(weights)
        return set(found) == set(layout(1, 1, found))


def layout(d_in: int, d_sae: int, names: Iterable[str]) -> Layout:
    """The arrays that the file must have; some files call the weights w_enc and w_dec."""
    small = "w_enc" in names
    return {
        "w_enc" if small else "W_enc": Entry((d_in, d_sae), "W_enc"),
        "w_dec" if small else "W_dec": Entry((d_sae, d_in), "W_dec"),
        "b_enc": Entry((d_sae,), "b_enc"),
        "b_dec": Entry((d_in,), "b_dec"),
        "threshold": Entry((d_sae,), "threshold"),
    }


@dataclass(frozen=True)
class Names:
    """What the names of repository and folders say; None where they do not say it."""

    site: Site | None = None
    model: str | None = None
    d_in: int | None = None
    d_sae: int | None = None


def read_names(text: str, where: str) -> Names:
    """Site, model and widths from a path such as
    `google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71`; the last of each counts.

    Raises ModelError for SAEs of the embeddings and for transcoders, which are not read.
    """
    repositories = list(_REPOSITORY.finditer(text))
    size, tuning, kind = repositories[-1].groups() if repositories else (None, None, None)
    if kind == "transcoders":
        raise ModelError(
            f"{where}: a transcoder of Gemma Scope 1 reads the pre-MLP norm before that norm's "
            "gain is applied, and no site of a model gives that. Allowed: the repositories -res, "
            "-mlp and -att, or a transcoder of Gemma Scope 2."
        )
    if _EMBEDDING.search(text):
        raise ModelError(
            f"{where}: SAEs of the embeddings are not read here: sae_lens scales their W_enc and "
            "W_dec by √d_model, but not b_dec, and no file says which is right. Allowed: an SAE "
            'of a layer, or format = "saelens" with release and id, which does as sae_lens does.'
        )
    layers, widths = _LAYER.findall(text), _WIDTH.findall(text)
    return Names(
        site=Site(_KINDS[kind], int(layers[-1])) if kind and layers else None,
        model=f"google/gemma-2-{size}{'-it' if tuning == 'it' else ''}" if size else None,
        d_in=(_HEADS if kind == "att" else _WIDTHS).get(size or ""),
        d_sae=width(*widths[-1]) if widths else None,
    )


def width(number: str, unit: str) -> int:
    """The latents that `16k` or `1m` stand for: the nearest power of two, 16384 and 1048576."""
    thousands = int(number) * (1000 if unit == "m" else 1)
    return int(2 ** round(math.log2(thousands * 1000)))
