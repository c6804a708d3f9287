"""Gemma Scope 2: its options, and what configuration, header and names say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts
from harness_saes.core.config import Config
from harness_saes.core.stored import Entry, Inspected, Stored, check_layout, layout_of, length
from harness_saes.files.header import read_header
from harness_saes.files.repository import RepositoryOptions
from harness_saes.formats import gemma_scope
from harness_saes.formats.gemma_scope_2 import names
from harness_saes.formats.gemma_scope_2.config import CONFIG, read_scope2

TENSORS = {name.lower(): name for name in gemma_scope.TENSORS}
SKIP = "affine_skip_connection"


class GemmaScope2Options(RepositoryOptions):
    """An SAE or a transcoder of Gemma Scope 2: `params.safetensors`, and `config.json`."""

    suffixes: ClassVar[tuple[str, ...]] = ("/params.safetensors",)
    companions: ClassVar[tuple[str, ...]] = (CONFIG,)
    depth: ClassVar[int] = 2

    def inspect(self, place: Path) -> Inspected:
        """What configuration and header say; ModelError where they disagree."""
        named = self.facts_by_name()
        found, where = read_header(place), str(place)
        if len(found.get("w_dec", Stored("F32", ())).shape) == 3:
            raise names.several_layers(where)
        d_in, d_sae, d_out = _widths(found, where)
        stated = read_scope2(place, named, self.where, d_sae, SKIP in found)
        what = f"d_out {d_out}, the length of b_dec, and d_sae {d_sae}, that of b_enc"
        transcoder = stated.site_out is not None
        d_in = d_in if transcoder else d_out
        # Its skip connection is W_skip transposed.
        skip = Entry((d_in, d_out), "W_skip", turned=True, optional=True)
        tensors = layout_of(TENSORS, d_in, d_sae, d_out) | {SKIP: skip}
        check_layout(found, tensors, where, what)
        config = Config.of(self._labelled(stated), d_in, d_sae, d_out=d_out if transcoder else None)
        return Inspected(place, config, tensors)

    def facts_by_name(self) -> SaeFacts:
        """Site, model and widths as repository and folder are called."""
        named = self.named()
        names.refuse_several_layers(named, self.where)
        return self._labelled(names.read_names(named))

    @classmethod
    def recognises(cls, weights: Path) -> bool:
        """Whether a `params.safetensors` has the tensors of Gemma Scope 2."""
        return TENSORS.keys() <= read_header(weights).keys()

    def _labelled(self, facts: SaeFacts) -> SaeFacts:
        labels = self.neuronpedia or names.neuronpedia_in(self.named(), facts.model)
        return replace(facts, neuronpedia=labels)


def _widths(found: dict[str, Stored], where: str) -> tuple[int, int, int]:
    """d_in, d_sae and d_out; d_in is the side of w_enc that is not d_sae."""
    d_sae, d_out = length(found, "b_enc", where), length(found, "b_dec", where)
    sides = [n for n in found.get("w_enc", Stored("F32", ())).shape if n != d_sae]
    return (sides[0] if sides else d_out), d_sae, d_out
