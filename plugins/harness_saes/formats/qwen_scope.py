"""Qwen-Scope: its options, and what names and headers say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from harness.contract import SaeFacts
from harness.contract.sites import Site
from harness.errors import ModelError, listed
from harness_saes.core.config import Config
from harness_saes.core.stored import Inspected, check_layout, layout_of, length
from harness_saes.files.places import last_match
from harness_saes.files.pt_file import read_pt
from harness_saes.files.repository import RepositoryOptions

TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec")
_FILE = re.compile(r"layer(\d+)(?:\.sae\.pt)?$")
_WIDTHS = {
    "Qwen3-1.7B-Base": 2048,
    "Qwen3-8B-Base": 4096,
    "Qwen3-30B-A3B-Base": 2048,
    "Qwen3.5-2B-Base": 2048,
    "Qwen3.5-9B-Base": 4096,
    "Qwen3.5-27B": 5120,
    "Qwen3.5-35B-A3B-Base": 2048,
}
"""Of the models, for an SAE that is not cached."""
_REPOSITORY = re.compile(r"SAE-Res-(Qwen[\w.-]+?)-W(\d+)K-L0_(\d+)")


class QwenScopeOptions(RepositoryOptions):
    """An SAE of Qwen-Scope: `layer{n}.sae.pt` in `Qwen/SAE-Res-{model}-W{width}K-L0_{k}`."""

    suffixes: ClassVar[tuple[str, ...]] = (".sae.pt",)
    depth: ClassVar[int] = 0

    k: int | None = Field(None, ge=1)
    """Latents per token, where no folder of the path is named after its repository (…-L0_50)."""

    def inspect(self, place: Path) -> Inspected:
        """What names and header say; ModelError says what does not fit."""
        where, contents = str(place), read_pt(place)
        found = contents.tensors
        if contents.plain:
            raise ModelError(
                f"{where}: {listed(contents.plain)} beside the tensors, which could change the "
                f"numbers. Expected {listed(TENSORS)} only."
            )
        d_in, d_sae = length(found, "b_dec", where), length(found, "b_enc", where)
        what = f"d_in {d_in}, the length of b_dec, and d_sae {d_sae}, that of b_enc"
        names = dict(zip(TENSORS, TENSORS, strict=True))
        layout = layout_of(names, d_in, d_sae, turned=("W_enc", "W_dec"))
        check_layout(found, layout, where, what)
        config = Config.of(self.facts_by_name(), d_in, d_sae, k=self._k(d_sae))
        return Inspected(place, config, layout)

    def facts_by_name(self) -> SaeFacts:
        """Site, model and widths as repository and file are called."""
        named = self.named()
        repository, file = last_match(_REPOSITORY, named), _FILE.search(named)
        return SaeFacts(
            architecture="topk",
            d_in=_WIDTHS.get(repository[1]) if repository else None,
            d_sae=1024 * int(repository[2]) if repository else None,
            site=Site("resid_post", int(file[1])) if file else None,
            model=f"Qwen/{repository[1]}" if repository else None,
            neuronpedia=self.neuronpedia,
        )

    @classmethod
    def recognises(cls, weights: Path) -> bool:
        """Whether a file has a name such as `layer3.sae.pt` and exactly Qwen-Scope's tensors."""
        if not _FILE.search(weights.name):
            return False
        contents = read_pt(weights)
        return set(contents.tensors) | set(contents.plain) == set(TENSORS)

    def _k(self, d_sae: int) -> int:
        """Latents per token: the option, or what the repository's name says; they must agree."""
        named = last_match(_REPOSITORY, self.named())
        by_name = int(named[3]) if named else None
        k = self.k or by_name
        if k is None:
            raise ModelError(
                f"{self.where}: no file says how many latents are active, and the path has no "
                "folder such as SAE-Res-Qwen3-1.7B-Base-W32K-L0_50. Give k (50 there)."
            )
        if by_name not in (None, k):
            raise ModelError(
                f"{self.where}: k is {k}, but the repository's name says L0_{by_name}. Remove k."
            )
        if k > d_sae:
            raise ModelError(f"{self.where}: k is {k}. Allowed: 1 to d_sae, which is {d_sae}.")
        return k
