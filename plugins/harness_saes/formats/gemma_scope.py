"""Gemma Scope 1: its options, and what names and headers say; its files say no more."""

from __future__ import annotations

import math
import re
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts
from harness.contract.sites import Site
from harness.errors import ModelError
from harness_saes.core.config import Config
from harness_saes.core.hooks import NORMALISED, norm_of, read_hook
from harness_saes.core.stored import Inspected, check_layout, layout_of, length
from harness_saes.files.npz import read_npz_header
from harness_saes.files.places import last_match
from harness_saes.files.repository import RepositoryOptions

TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
_REPOSITORY = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)\b")
_LAYER = re.compile(r"\blayer_(\d+)\b")
_WIDTH = re.compile(r"\bwidth_(\d+)([km])\b")
_EMBEDDING = re.compile(r"\bembedding/width_")
_KINDS = {"res": "resid_post", "mlp": "mlp_out", "att": "attn_z"}
"""`att` reads the heads' outputs, concatenated, before the output projection; `mlp` the MLP's
output after its norm, as it is added to the residual."""
_GEMMA_2 = "gemma-2"
_WIDTHS = {"2b": 2304, "9b": 3584, "27b": 4608}
_HEADS = {"2b": 2048, "9b": 4096}


class GemmaScopeOptions(RepositoryOptions):
    """An SAE or a transcoder of Gemma Scope 1: `params.npz` in a folder
    `layer_20/width_16k/average_l0_71`."""

    suffixes: ClassVar[tuple[str, ...]] = ("/params.npz",)

    transcoder: bool | None = None
    """Whether it is a transcoder, where its path does not tell: the files do not."""

    def inspect(self, place: Path) -> Inspected:
        """What names and header say; ModelError says what does not fit."""
        facts, where, found = self.facts_by_name(), str(place), read_npz_header(place)
        d_in, d_sae = length(found, "b_dec", where), length(found, "b_enc", where)
        what = f"d_in {d_in}, the length of b_dec, and d_sae {d_sae}, that of b_enc"
        tensors = layout_of(_names_of(found), d_in, d_sae)
        check_layout(found, tensors, where, what)
        if not self._transcodes(self.named()):
            return Inspected(place, Config.of(facts, d_in, d_sae), tensors)
        norm = norm_of(_GEMMA_2)
        assert norm is not None
        config = Config.of(
            facts, d_in, d_sae, d_out=d_in, norm=norm.norm, norm_epsilon=norm.epsilon
        )
        return Inspected(place, config, tensors)

    def facts_by_name(self) -> SaeFacts:
        """Site, model and widths as repository and folder are called."""
        named = self.named()
        facts = read_names(named, self.where, self._transcodes(named))
        return replace(facts, neuronpedia=self.neuronpedia)

    @classmethod
    def recognises(cls, weights: Path) -> bool:
        """Whether a `params.npz` has exactly the arrays of Gemma Scope 1."""
        found = read_npz_header(weights)
        return found.keys() == _names_of(found).keys()

    def _transcodes(self, named: str) -> bool:
        """Whether it is a transcoder: by its repository, or by the option for other paths."""
        repository = last_match(_REPOSITORY, named)
        told = repository is not None and repository[3] == "transcoders"
        if repository is not None and self.transcoder not in (None, told):
            raise ModelError(
                f"{self.where}: transcoder is {str(self.transcoder).lower()}, but {repository[0]} "
                f"holds {'transcoders' if told else 'SAEs'}. Remove the option transcoder; it is "
                "for paths that do not tell."
            )
        return told or bool(self.transcoder)


def _names_of(found: Container[str]) -> dict[str, str]:
    """Names in `LinearSae` by those in the file; some files call the weights w_enc and w_dec."""
    return {name.lower() if "w_enc" in found else name: name for name in TENSORS}


def read_names(text: str, where: str, transcoder: bool = False) -> SaeFacts:
    """Site, model and widths from a path such as
    `google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71`; the last of each counts.

    A transcoder reads what the norm before the MLP gives before its gain. Raises ModelError for
    SAEs of the embeddings, which are not read.
    """
    repository = last_match(_REPOSITORY, text)
    size, tuning, kind = repository.groups() if repository else (None, None, None)
    if _EMBEDDING.search(text):
        raise ModelError(
            f"{where}: SAEs of the embeddings are not read here: sae_lens scales their W_enc and "
            "W_dec by √d_model, but not b_dec, and no file says which is right. Allowed: an SAE "
            'of a layer, or format = "saelens" with release and id, which does as sae_lens does.'
        )
    layer, latents = last_match(_LAYER, text), last_match(_WIDTH, text)
    site, out = Site(_KINDS[kind], int(layer[1])) if kind in _KINDS and layer else None, None
    if transcoder and layer:
        hook = f"blocks.{layer[1]}.{NORMALISED}"
        site = read_hook(hook, norm_of(_GEMMA_2), where).site
        out = Site("mlp_out", int(layer[1]))
    return SaeFacts(
        architecture="jumprelu",
        site=site,
        site_out=out,
        model=f"google/gemma-2-{size}{'-it' if tuning == 'it' else ''}" if size else None,
        d_in=(_HEADS if kind == "att" else _WIDTHS).get(size or ""),
        d_sae=width(*latents.groups()) if latents else None,
    )


def width(number: str, unit: str) -> int:
    """The latents that `16k` or `1m` stand for: the nearest power of two, 16384 and 1048576."""
    thousands = int(number) * (1000 if unit == "m" else 1)
    return int(2 ** round(math.log2(thousands * 1000)))
