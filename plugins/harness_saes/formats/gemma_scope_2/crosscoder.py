"""Crosscoders of Gemma Scope 2: several blocks of one model at once, a file for each of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.contract import SaeFacts, SaeInput, Site
from harness.errors import ModelError
from harness_saes.core.checks import allowed, count_or, required_text, text
from harness_saes.core.config import Config
from harness_saes.core.stored import Entry, Inspected, Layout, Stored, check_layout, length
from harness_saes.files.configuration import read_json
from harness_saes.files.header import read_header
from harness_saes.files.places import FolderOptions
from harness_saes.formats.gemma_scope_2 import names
from harness_saes.formats.gemma_scope_2.config import CONFIG

FIRST = "params_layer_0.safetensors"
_LAYERS = re.compile(r"(.*layers\.)\{(\d+(?:,\s*\d+)*)\}(\..+)")


@dataclass(frozen=True)
class SeveralLayers(Inspected):
    """What configuration and headers say of a crosscoder of several blocks."""

    facts: SaeFacts
    files: tuple[Path, ...]
    """The weights of each block, in order."""
    layouts: tuple[Layout, ...]


class GemmaScope2CrosscoderOptions(FolderOptions):
    """A crosscoder of Gemma Scope 2: `config.json`, and `params_layer_N.safetensors` by block."""

    choice: ClassVar[str] = "id"
    usual: ClassVar[tuple[str, ...]] = (CONFIG, FIRST)
    id: str | None = None
    """Which one of the repository, by its folder: `crosscoder/layer_5_9_12_15_width_…`."""

    def patterns(self) -> list[str]:
        """The configuration, and the weights of all blocks."""
        inside = f"{self.id}/" if self.id else ""
        return [f"{inside}{CONFIG}", f"{inside}params_layer_*.safetensors"]

    def describe(self) -> SaeFacts:
        """What the files say; nothing where they are not here."""
        place = self.found()
        return self.facts_by_name() if place is None else self.inspect(place).facts

    def inspect(self, place: Path) -> SeveralLayers:
        """What configuration and headers say; ModelError where they disagree."""
        settings, where = read_json(place / CONFIG), str(place / CONFIG)
        allowed(settings, "type", "crosscoder", ("crosscoder",), where)
        allowed(settings, "architecture", "jump_relu", ("jump_relu",), where)
        sites = _sites(settings, where)
        files = tuple(place / f"params_layer_{i}.safetensors" for i in range(len(sites)))
        if missing := [file.name for file in files if not file.is_file()]:
            raise ModelError(
                f"{place}: has no {', '.join(missing)}, and {CONFIG} names {len(sites)} blocks. "
                "Expected a file for each of them: copy them again."
            )
        headers = [read_header(file) for file in files]
        width = length(headers[0], "b_dec", str(files[0]))
        counts = [length(one, "b_enc", str(f)) for one, f in zip(headers, files, strict=True)]
        layouts = tuple(_layout(width, count, len(sites)) for count in counts)
        for file, header, layout in zip(files, headers, layouts, strict=True):
            check_layout(header, layout, str(file), f"{len(sites)} blocks of width {width}")
        latents = sum(counts)
        if count_or(settings, "width", latents, where) != latents:
            raise ModelError(
                f"{where}: width is {settings['width']}, but the files have {latents} latents "
                "together. They must agree: copy all files again."
            )
        model = text(settings, "model_name", where)
        facts = SaeFacts(
            "jumprelu",
            len(sites) * width,
            latents,
            sites[0],
            model=names.model_named(model) if model else None,
            inputs=tuple(SaeInput(site=site, width=width) for site in sites),
        )
        d_in = len(sites) * width
        config = Config("jumprelu", d_in, latents, apply_b_dec_to_input=False)
        return SeveralLayers(files[0], config, layouts[0], facts, files, layouts)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the decoder of the first block writes to several."""
        if read_json(folder / CONFIG).get("type") != "crosscoder":
            return False
        return len(read_header(folder / FIRST).get("w_dec", Stored("F32", ())).shape) == 3


def _sites(settings: Mapping[str, Any], where: str) -> list[Site]:
    """The blocks, from `model.layers.{5,9,12,15}.output`."""
    hook = required_text(settings, "hf_hook_point_in", where)
    out = text(settings, "hf_hook_point_out", where) or hook
    match = _LAYERS.fullmatch(hook)
    if match is None or out != hook:
        raise ModelError(
            f"{where}: reads {hook!r} and writes {out!r}. Expected the same blocks for both, as in "
            "model.layers.{5,9,12,15}.output."
        )
    blocks = [block.strip() for block in match[2].split(",")]
    sites = [names.site_of(f"{match[1]}{block}{match[3]}", where) for block in blocks]
    if len(set(sites)) < max(2, len(sites)):
        raise ModelError(f"{where}: {hook!r} does not name two or more different blocks.")
    return sites


def _layout(width: int, latents: int, blocks: int) -> Layout:
    return {
        "w_enc": Entry((width, latents), "w_enc"),
        "w_dec": Entry((latents, blocks, width), "w_dec"),
        "b_enc": Entry((latents,), "b_enc"),
        "b_dec": Entry((width,), "b_dec"),
        "threshold": Entry((latents,), "threshold"),
    }
