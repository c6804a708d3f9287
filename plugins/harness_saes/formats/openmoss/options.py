"""OpenMOSS' current folders: the options, and what configuration and header say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import ModelError
from harness_saes.core.config import Config
from harness_saes.core.hooks import Through, read_hook, written_hook
from harness_saes.core.layered import chosen_layer, partial_note
from harness_saes.core.stored import Entry, Inspected, check_layout
from harness_saes.files.configuration import read_json
from harness_saes.files.header import read_header
from harness_saes.files.repository import RepositoryOptions
from harness_saes.formats.llama_scope.options import TENSORS as FIRST_GENERATION
from harness_saes.formats.openmoss.config import KINDS, UNREAD, OpenmossConfig, parse_config

CONFIG = "config.json"
OWN, PRUNED, FINAL = (
    "/sae_weights.safetensors",
    "/checkpoints/pruned.safetensors",
    "/checkpoints/final.safetensors",
)
THRESHOLD = "activation_function.log_jumprelu_threshold"
NORM = "dataset_average_activation_norm."


@dataclass(frozen=True)
class OpenmossInspected(Inspected):
    """What the files say before a weight is read, with the scales that loading folds in."""

    stored: OpenmossConfig
    layer: int
    """The layer of a cross-layer transcoder; 0 of all others."""


class OpenmossOptions(RepositoryOptions):
    """An SAE, a transcoder, or one layer of a CLT, of OpenMOSS: `config.json` and
    `sae_weights.safetensors`."""

    suffixes: ClassVar[tuple[str, ...]] = (OWN, PRUNED, FINAL)

    layer: int | None = Field(None, ge=0)
    """The layer of a cross-layer transcoder whose latents are read, from 0."""
    norm: Literal["rms", "layer"] | None = None
    """The kind of norm that the model has before its MLP: needed where the encoder reads it before
    its gain (`ln2.hook_normalized`), as OpenMOSS' transcoders do."""
    norm_epsilon: float | None = Field(None, ge=0)
    """What that norm adds to the mean square, as the model's configuration says."""

    @model_validator(mode="after")
    def _whole_norm(self) -> OpenmossOptions:
        if (self.norm is None) != (self.norm_epsilon is None):
            raise ValueError("norm and norm_epsilon belong together; write both, or neither")
        return self

    def inspect(self, place: Path) -> OpenmossInspected:
        """What configuration and header say; ModelError says what does not fit."""
        file = config_of(place)
        if not file.is_file():
            raise ModelError(
                f"{self.where}: has no {CONFIG}, which says how it computes. Expected {file}. Copy "
                "or download it again."
            )
        stored = parse_config(read_json(file), str(file))
        layer = self._number(stored)
        config = self._config(stored, layer, str(file))
        layout = cross_layout(stored) if stored.cross_layer else layout_of(stored)
        what = f"d_model {stored.d_in} and {stored.d_sae} latents in {CONFIG}"
        check_layout(read_header(place), layout, str(place), what)
        return OpenmossInspected(place, config, layout, stored, layer)

    def _number(self, stored: OpenmossConfig) -> int:
        known = list(range(len(stored.reads)))
        if stored.cross_layer:
            kind = "a cross-layer transcoder"
            return chosen_layer(self.layer, known, self.where, kind=kind)
        if self.layer is not None:
            raise ModelError(
                f"{self.where}: reads {stored.reads[0]} alone. Remove the option layer; it is for "
                "cross-layer transcoders."
            )
        return 0

    def _config(self, stored: OpenmossConfig, layer: int, where: str) -> Config:
        through = None
        if self.norm is not None and self.norm_epsilon is not None:
            through = Through(self.norm, self.norm_epsilon)
        hooks = stored.reads[layer], stored.writes[layer]
        read = read_hook(hooks[0], through, where)
        writes_elsewhere = hooks[0] != hooks[1]
        if read.through is not None and not writes_elsewhere:
            raise ModelError(
                f"{where}: rebuilds {hooks[0]}, which is no site of a model, so nothing could be "
                "compared with it. Allowed: a transcoder from there, or an SAE of another hook."
            )
        names = {"relu": "standard", "jumprelu": "jumprelu", "topk": "topk"}
        notes = (partial_note(layer, len(stored.reads)),) if stored.cross_layer else ()
        return Config(
            architecture=names[stored.act],
            d_in=stored.d_in,
            d_sae=stored.d_sae,
            d_out=stored.d_in if writes_elsewhere or stored.cross_layer else None,
            k=stored.k,
            apply_b_dec_to_input=False,
            normalize="constant_norm_rescale" if stored.norm == "token-wise" else "none",
            site=read.site,
            site_out=written_hook(hooks[1], where) if writes_elsewhere else None,
            neuronpedia=self.neuronpedia,
            partial=stored.cross_layer,
            blocks=len(stored.reads) if stored.cross_layer else None,
            norm=read.through.norm if read.through else None,
            norm_epsilon=read.through.epsilon if read.through else 0.0,
            notes=notes,
        )

    @classmethod
    def complete(cls, weights: Path) -> bool:
        """Whether its configuration is there."""
        return config_of(weights).is_file()

    @classmethod
    def recognises(cls, weights: Path) -> bool:
        """Whether the configuration is of this library, and the tensors are not those of its first
        generation, which `llama_scope` reads; so are files that cannot be read."""
        try:
            told = read_json(config_of(weights)).get("sae_type")
            if told not in KINDS and told not in UNREAD:
                return False
            return not set(FIRST_GENERATION) <= set(read_header(weights))
        except ModelError:
            return False


def layout_of(stored: OpenmossConfig) -> dict[str, Entry]:
    """The tensors of an SAE or a transcoder."""
    d, n = stored.d_in, stored.d_sae
    layout = {"W_E": Entry((d, n), "W_enc"), "b_E": Entry((n,), "b_enc")}
    layout["W_D"] = Entry((n, d), "W_dec")
    if stored.decoder_bias:
        layout["b_D"] = Entry((d,), "b_dec")
    if stored.act == "jumprelu":
        layout[THRESHOLD] = Entry((n,), "threshold")
    return layout | _norms(stored)


def cross_layout(stored: OpenmossConfig) -> dict[str, Entry]:
    """The tensors of a cross-layer transcoder: `W_D.m` has what layers 0 to m write into m."""
    d, n, layers = stored.d_in, stored.d_sae, len(stored.reads)
    layout = {"W_E": Entry((layers, d, n)), "b_E": Entry((layers, n))}
    for to in range(layers):
        layout[f"W_D.{to}"] = Entry((to + 1, n, d))
        layout[f"b_D.{to}"] = Entry((d,))
    if stored.act == "jumprelu":
        layout[THRESHOLD] = Entry((layers, n))
    return layout | _norms(stored)


def _norms(stored: OpenmossConfig) -> dict[str, Entry]:
    """Mean lengths of activations; where none are used, the library writes what memory held."""
    unused = stored.norm != "dataset-wise"
    hooks = dict.fromkeys((*stored.reads, *stored.writes))
    return {f"{NORM}{hook}": Entry((), optional=unused) for hook in hooks}


def config_of(weights: Path) -> Path:
    """The configuration that belongs to a file of weights."""
    inside = weights.parent.name == "checkpoints"
    return (weights.parent.parent if inside else weights.parent) / CONFIG
