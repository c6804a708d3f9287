"""Options of Llama Scope, and the facts that its configuration and header tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from harness.contract import SaeFacts
from harness.errors import ModelError
from harness_saes.core.stored import Entry, check_layout
from harness_saes.files.header import Stored, read_header
from harness_saes.files.places import read_json
from harness_saes.files.repository import RepositoryOptions
from harness_saes.formats.llama_scope.config import (
    LlamaScopeConfig,
    model_in,
    names_in,
    neuronpedia_in,
    parse_config,
)
from harness_saes.formats.saelens.config import Config

FIRST, DISTILLED = "/checkpoints/final.safetensors", "/sae_weights.safetensors"
TENSORS = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
THRESHOLD = "log_jumprelu_threshold"
NORM = "dataset_average_activation_norm."


@dataclass(frozen=True)
class Read:
    """Everything but the weights: what the files say, and what that means to the core."""

    weights: Path
    stored: LlamaScopeConfig
    config: Config


class LlamaScopeOptions(RepositoryOptions):
    """An SAE of Llama Scope: `hyperparams.json` with `checkpoints/final.safetensors`; of its R1
    variant, `config.json` with `sae_weights.safetensors`."""

    suffixes: ClassVar[tuple[str, ...]] = (FIRST, DISTILLED)
    depth: ClassVar[int] = 2

    def read(self, weights: Path) -> Read:
        """What the files say, without a weight; ModelError says what does not fit."""
        distilled = weights.name == DISTILLED.strip("/")
        file = _config_of(weights)
        if not file.is_file():
            raise ModelError(
                f"{self.where}: has no {file.name}, which says how its activations are scaled. "
                f"Expected {file}. Copy or download it again."
            )
        stored = parse_config(read_json(file), str(file), distilled=distilled)
        found = read_header(weights)
        _check(found, stored, str(weights), distilled=distilled)
        return Read(
            weights,
            stored,
            Config(
                architecture="jumprelu",
                d_in=stored.d_in,
                d_sae=stored.d_sae,
                apply_b_dec_to_input=False,
                site=stored.site,
                model=model_in(self.named()),
                neuronpedia=self.neuronpedia or neuronpedia_in(self.named(), stored.d_sae),
            ),
        )

    def describe(self) -> SaeFacts:
        """Facts from configuration and header; of one that is not cached, from its names."""
        weights = self.found()
        if weights is not None:
            return self.read(weights).config.facts
        site, model, d_in, d_sae = names_in(self.named())
        return SaeFacts(
            architecture="jumprelu",
            d_in=d_in,
            d_sae=d_sae,
            site=site,
            model=model,
            neuronpedia=self.neuronpedia or neuronpedia_in(self.named(), d_sae),
        )

    @classmethod
    def complete(cls, weights: Path) -> bool:
        """Whether its configuration is there."""
        return _config_of(weights).is_file()

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether `path` is such a folder or file, or has one below, by configuration and tensors.

        One whose weights cannot be read is claimed by its configuration.
        """
        file = cls.first(path)
        return file is not None and _is_one(file)


def _config_of(weights: Path) -> Path:
    if weights.name == DISTILLED.strip("/"):
        return weights.with_name("config.json")
    return weights.parent.parent / "hyperparams.json"


def _is_one(weights: Path) -> bool:
    try:
        if not {"d_model", "hook_point_in", "act_fn"} <= set(read_json(_config_of(weights))):
            return False
    except ModelError:
        return False
    try:
        return set(TENSORS) <= set(read_header(weights))
    except ModelError:
        return True


def _check(
    found: dict[str, Stored], stored: LlamaScopeConfig, where: str, *, distilled: bool
) -> None:
    """Whether the file has exactly the tensors that its configuration promises."""
    d, n = stored.d_in, stored.d_sae
    layout = {
        "encoder.weight": Entry((n, d)),
        "encoder.bias": Entry((n,)),
        "decoder.weight": Entry((d, n)),
        "decoder.bias": Entry((d,)),
    }
    if distilled:
        layout |= {THRESHOLD: Entry((n,)), f"{NORM}{stored.hook}": Entry(())}
    check_layout(found, layout, where, f"d_model {d} and d_sae {n} in its configuration")
