"""Llama Scope: its options, and what configuration and header say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts
from harness.errors import ModelError
from harness_saes.core.config import Config
from harness_saes.core.stored import Entry, Inspected, check_layout
from harness_saes.files.configuration import read_json
from harness_saes.files.header import read_header
from harness_saes.files.repository import RepositoryOptions
from harness_saes.formats.llama_scope.config import (
    LlamaScopeConfig,
    model_in,
    neuronpedia_in,
    parse_config,
    read_names,
)

FIRST, DISTILLED = "/checkpoints/final.safetensors", "/sae_weights.safetensors"
TENSORS = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
THRESHOLD = "log_jumprelu_threshold"
NORM = "dataset_average_activation_norm."


@dataclass(frozen=True)
class LlamaScopeInspected(Inspected):
    """What the files say before a weight is read, with the scales that loading folds in."""

    stored: LlamaScopeConfig


class LlamaScopeOptions(RepositoryOptions):
    """An SAE of Llama Scope: `hyperparams.json` with `checkpoints/final.safetensors`; of its R1
    variant, `config.json` with `sae_weights.safetensors`."""

    suffixes: ClassVar[tuple[str, ...]] = (FIRST, DISTILLED)
    depth: ClassVar[int] = 2

    def inspect(self, place: Path) -> LlamaScopeInspected:
        """What configuration and header say; ModelError says what does not fit."""
        distilled = place.name == DISTILLED.strip("/")
        file = _config_of(place)
        if not file.is_file():
            raise ModelError(
                f"{self.where}: has no {file.name}, which says how its activations are scaled. "
                f"Expected {file}. Copy or download it again."
            )
        stored = parse_config(read_json(file), str(file), distilled=distilled)
        d_in, d_sae = stored.d_in, stored.d_sae
        layout = {
            "encoder.weight": Entry((d_sae, d_in)),
            "encoder.bias": Entry((d_sae,)),
            "decoder.weight": Entry((d_in, d_sae)),
            "decoder.bias": Entry((d_in,)),
        }
        if distilled:
            layout |= {THRESHOLD: Entry((d_sae,)), f"{NORM}{stored.hook}": Entry(())}
        what = f"d_model {d_in} and d_sae {d_sae} in its configuration"
        check_layout(read_header(place), layout, str(place), what)
        config = Config(
            architecture="jumprelu",
            d_in=d_in,
            d_sae=d_sae,
            apply_b_dec_to_input=False,
            site=stored.site,
            model=model_in(self.named()),
            neuronpedia=self.neuronpedia or neuronpedia_in(self.named(), d_sae),
        )
        return LlamaScopeInspected(place, config, layout, stored)

    def facts_by_name(self) -> SaeFacts:
        """Site, model and widths as repository and folder are called."""
        facts = read_names(self.named())
        return replace(facts, neuronpedia=self.neuronpedia or facts.neuronpedia)

    @classmethod
    def complete(cls, weights: Path) -> bool:
        """Whether its configuration is there."""
        return _config_of(weights).is_file()

    @classmethod
    def recognises(cls, weights: Path) -> bool:
        """Whether weights have the tensors, and their configuration OpenMOSS' keys."""
        try:
            if not {"d_model", "hook_point_in", "act_fn"} <= set(read_json(_config_of(weights))):
                return False
        except ModelError:
            return False
        return set(TENSORS) <= set(read_header(weights))


def _config_of(weights: Path) -> Path:
    if weights.name == DISTILLED.strip("/"):
        return weights.with_name("config.json")
    return weights.parent.parent / "hyperparams.json"
