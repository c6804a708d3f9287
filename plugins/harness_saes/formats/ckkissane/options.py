"""Crosscoders of ckkissane's replication: the options, and what cfg.json and the weights say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from harness.contract import SaeFacts, SaeInput
from harness.contract.sites import site_from_hook_name
from harness.errors import ModelError
from harness_saes.core.checks import count_or, text
from harness_saes.core.config import Config
from harness_saes.core.stored import Entry, Inspected, Stored, check_layout
from harness_saes.files.configuration import read_json
from harness_saes.files.places import FolderOptions
from harness_saes.files.pt_file import read_pt

CONFIG, WEIGHTS = "cfg.json", "cc_weights.pt"
Scale = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Crosscoder(Inspected):
    """What configuration and header say of a crosscoder of two models."""

    facts: SaeFacts


class CkkissaneOptions(FolderOptions):
    """A crosscoder of two models: `cfg.json` beside `cc_weights.pt`."""

    choice: ClassVar[str] = "folder"
    usual: ClassVar[tuple[str, ...]] = (CONFIG, WEIGHTS)
    folder: str | None = None
    """The crosscoder's folder in a repository, such as `blocks.14.hook_resid_pre`."""
    scales: tuple[Scale, Scale] | None = None
    """What the activations of the left and of the right model are multiplied with before they are
    encoded. The files leave it open; without it, it is estimated from the text of the preflight, as
    √width over the mean length of an activation."""

    def describe(self) -> SaeFacts:
        """What the files say; where they are not here, that it reads both sides."""
        place = self.found()
        return self.facts_by_name() if place is None else self.inspect(place).facts

    def facts_by_name(self) -> SaeFacts:
        """That it reads both sides of a pair, the base model first."""
        return SaeFacts("crosscoder", inputs=(SaeInput("left"), SaeInput("right")))

    def inspect(self, place: Path) -> Crosscoder:
        """What cfg.json and the header say; ModelError where they disagree."""
        weights, file = place / WEIGHTS, str(place / CONFIG)
        settings, stored = read_json(place / CONFIG), read_pt(weights).tensors
        shape = stored.get("W_enc", Stored("F32", ())).shape
        if len(shape) != 3 or shape[0] != 2 or min(shape) < 1:
            raise ModelError(
                f"{weights}: W_enc is {list(shape)}. Expected [2, width, latents], a crosscoder of "
                "two models."
            )
        _, width, latents = shape
        layout = {
            "W_enc": Entry((2, width, latents), "W_enc"),
            "W_dec": Entry((latents, 2, width), "W_dec"),
            "b_enc": Entry((latents,), "b_enc"),
            "b_dec": Entry((2, width), "b_dec"),
        }
        check_layout(stored, layout, str(weights), f"{latents} latents of width {width}")
        for key, size in (("d_in", width), ("dict_size", latents)):
            told = count_or(settings, key, None, file)
            if told is not None and told != size:
                raise ModelError(
                    f"{file}: {key} is {told}, but {WEIGHTS} has {size}. They must agree: copy "
                    "both files again."
                )
        hook = text(settings, "hook_point", file)
        site = site_from_hook_name(hook) if hook else None
        inputs = (SaeInput("left", width=width), SaeInput("right", width=width))
        facts = SaeFacts(
            "crosscoder",
            2 * width,
            latents,
            site,
            place=hook if site is None else None,
            inputs=inputs,
        )
        config = Config("standard", 2 * width, latents, apply_b_dec_to_input=False, site=site)
        return Crosscoder(weights, config, layout, facts)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the weights are those of a crosscoder."""
        return {"W_enc", "W_dec", "b_enc", "b_dec"} == read_pt(folder / WEIGHTS).tensors.keys()
