"""Gemma Scope 2: its options, and what configuration, header and names say."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts
from harness_saes.core.config import Config
from harness_saes.core.stored import Entry, Inspected, Layout, Stored, check_layout, length
from harness_saes.files.header import read_header
from harness_saes.files.repository import RepositoryOptions
from harness_saes.formats.gemma_scope import width
from harness_saes.formats.gemma_scope_2 import names
from harness_saes.formats.gemma_scope_2.config import CONFIG, read_scope2

TENSORS = ("w_enc", "w_dec", "b_enc", "b_dec", "threshold")
SKIP = "affine_skip_connection"


class GemmaScope2Options(RepositoryOptions):
    """An SAE or a transcoder of Gemma Scope 2: `params.safetensors`, and `config.json`."""

    suffixes: ClassVar[tuple[str, ...]] = ("/params.safetensors",)
    companions: ClassVar[tuple[str, ...]] = (CONFIG,)
    depth: ClassVar[int] = 2

    def inspect(self, place: Path) -> Inspected:
        """What configuration and header say; ModelError where they disagree."""
        named = self.named()
        names.refuse_several_layers(named, self.where)
        found, where = read_header(place), str(place)
        if len(found.get("w_dec", Stored("F32", ())).shape) == 3:
            raise names.several_layers(where)
        d_in, d_sae, d_out = _widths(found, where)
        stated = read_scope2(place, named, self.where, d_sae, SKIP in found)
        what = f"d_out {d_out}, the length of b_dec, and d_sae {d_sae}, that of b_enc"
        transcoder = stated.site_out is not None
        tensors = layout(d_in if transcoder else d_out, d_sae, d_out)
        check_layout(found, tensors, where, what)
        config = Config(
            architecture="jumprelu",
            d_in=d_in,
            d_sae=d_sae,
            d_out=d_out if transcoder else None,
            apply_b_dec_to_input=False,
            site=stated.site,
            site_out=stated.site_out,
            model=stated.model,
            neuronpedia=self.neuronpedia or names.neuronpedia_in(named, stated.model),
        )
        return Inspected(place, config, tensors)

    def facts_by_name(self) -> SaeFacts:
        """Site, model and widths as repository and folder are called."""
        named = self.named()
        names.refuse_several_layers(named, self.where)
        hooks, model = names.hooks_in(named), names.model_in(named)
        if hooks is None:
            return SaeFacts(architecture="jumprelu", model=model, neuronpedia=self.neuronpedia)
        site, site_out = names.sites_of(*hooks, self.where)
        return SaeFacts(
            architecture="jumprelu",
            d_in=names.width_of(model) if site.kind != "attn_z" else None,
            d_sae=width(*names.width_in(named)),
            site=site,
            site_out=site_out,
            model=model,
            neuronpedia=self.neuronpedia or names.neuronpedia_in(named, model),
        )

    @classmethod
    def recognises(cls, weights: Path) -> bool:
        """Whether a `params.safetensors` has the tensors of Gemma Scope 2."""
        return set(TENSORS) <= set(read_header(weights))


def layout(d_in: int, d_sae: int, d_out: int) -> Layout:
    """The tensors that the file must have; its skip connection is W_skip transposed."""
    return {
        "w_enc": Entry((d_in, d_sae), "W_enc"),
        "w_dec": Entry((d_sae, d_out), "W_dec"),
        "b_enc": Entry((d_sae,), "b_enc"),
        "b_dec": Entry((d_out,), "b_dec"),
        "threshold": Entry((d_sae,), "threshold"),
        SKIP: Entry((d_in, d_out), "W_skip", turned=True, optional=True),
    }


def _widths(found: dict[str, Stored], where: str) -> tuple[int, int, int]:
    """d_in, d_sae and d_out; d_in is the side of w_enc that is not d_sae."""
    d_sae, d_out = length(found, "b_enc", where), length(found, "b_dec", where)
    sides = [n for n in found.get("w_enc", Stored("F32", ())).shape if n != d_sae]
    return (sides[0] if sides else d_out), d_sae, d_out
