"""What a SAELens configuration says, in the form of version 6 or in the flat one before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.contract import SaeFacts
from harness.contract.sites import Site, site_from_hook_name
from harness.errors import ModelError, listed, suggestion
from harness_saes.core.checks import count, flag, read_json, text, wrong
from harness_saes.formats.saelens.keys import DECIDING, FLAT, TRAINING
from harness_saes.formats.saelens.rules import OWN, Rules

Normalize = Literal[
    "none",
    "expected_average_only_in",
    "constant_norm_rescale",
    "layer_norm",
    "constant_scalar_rescale",
]
_NORMALIZE: tuple[Normalize, ...] = (
    "none",
    "expected_average_only_in",
    "constant_norm_rescale",
    "layer_norm",
)
_SCALAR: Normalize = "constant_scalar_rescale"
"""Of temporal SAEs alone; the factor is `activation_normalization_factor` of their rules."""

TOPK = ("topk", "abstopk")
BATCHTOPK = ("batchtopk", "matryoshka_batchtopk")
"""Training checkpoints; sae_lens exports them for inference as jumprelu."""
SKIP = ("skip_transcoder", "jumprelu_skip_transcoder")
"""Those with a linear path beside the latents, the tensor W_skip."""
JUMPRELU = ("jumprelu", "jumprelu_transcoder", "jumprelu_skip_transcoder")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
ARCHITECTURES = ("standard", "jumprelu", "gated", *TOPK, *BATCHTOPK, *TRANSCODERS, *OWN)
"""All that the registry of sae_lens 6.54 has. Those of `OWN` it computes itself."""


@dataclass(frozen=True)
class Config:
    """What decides an SAE's numbers, beside its weights, and what it says of itself."""

    architecture: str
    d_in: int
    d_sae: int
    d_out: int | None = None
    """Numbers per token that a transcoder writes; None for an SAE, which writes d_in of them."""
    k: int | None = None
    """Latents per token; only of topk and abstopk."""
    apply_b_dec_to_input: bool = True
    """Whether the encoder reads x − b_dec; nothing to a transcoder, which never does."""
    normalize: Normalize = "none"
    rescale_by_decoder_norm: bool = False
    """Whether latents are selected and measured as if decoder rows had length 1."""
    rules: Rules = field(default_factory=dict)
    """Parameters of an architecture that sae_lens computes itself, under their names there."""
    hook: str | None = None
    """Where it reads, as a TransformerLens hook name."""
    hook_out: str | None = None
    """Where a transcoder's output belongs, as a TransformerLens hook name."""
    site: Site | None = None
    """Where it reads, of formats that have other names for places; it goes before `hook`."""
    site_out: Site | None = None
    """Where a transcoder's output belongs; it goes before `hook_out`."""
    model: str | None = None
    neuronpedia: str | None = None

    @property
    def width_out(self) -> int:
        """Numbers per token of a reconstruction."""
        return self.d_in if self.d_out is None else self.d_out

    @property
    def subtracts_b_dec(self) -> bool:
        """Whether the encoder reads x − b_dec."""
        return self.apply_b_dec_to_input and self.d_out is None

    @property
    def facts(self) -> SaeFacts:
        """The same in the contract's words."""
        return SaeFacts(
            architecture=self.architecture,
            d_in=self.d_in,
            d_sae=self.d_sae,
            site=self.site or _site(self.hook),
            site_out=self.site_out or _site(self.hook_out),
            signed=self.architecture == "abstopk",
            needs_sequence=self.architecture in OWN and OWN[self.architecture].needs_sequence,
            model=self.model,
            neuronpedia=self.neuronpedia,
        )


def _site(hook: str | None) -> Site | None:
    return site_from_hook_name(hook) if hook else None


def read_config(file: Path) -> Config:
    """The configuration in a cfg.json; ModelError names the file and the key."""
    return parse_config(read_json(file), str(file))


def parse_config(data: Mapping[str, Any], where: str) -> Config:
    """A configuration from the keys of a cfg.json; `where` begins every message."""
    metadata = data.get("metadata")
    # sae_lens 6 wrote `metadata`; before it, everything lay flat beside the numbers.
    flat = not isinstance(metadata, Mapping)
    about: Mapping[str, Any] = data if flat else metadata  # type: ignore[assignment]
    architecture, k = _architecture(data, where)
    own = OWN.get(architecture)
    known = DECIDING | TRAINING | (FLAT if flat else frozenset()) | (own.keys if own else set())
    if architecture in TRANSCODERS:
        known |= {"d_out"}
    _refuse_unknown(data, known, where)
    hook = text(about, "hook_name", where) or text(about, "hook_point", where)
    _refuse_one_head(about, where)
    reshape = data.get("reshape_activations") or "none"
    if reshape not in ("none", "hook_z"):
        raise wrong(where, "reshape_activations", reshape, "none, hook_z")
    rescale = flag(data, "rescale_acts_by_decoder_norm", False, where)
    if rescale and architecture not in (*TOPK, *BATCHTOPK):
        raise wrong(where, "rescale_acts_by_decoder_norm", True, f"false for {architecture}")
    transcodes = architecture in TRANSCODERS
    subtract = flag(data, "apply_b_dec_to_input", not transcodes, where)
    if subtract and transcodes:
        raise wrong(where, "apply_b_dec_to_input", True, f"false for {architecture}")
    return Config(
        architecture=architecture,
        d_in=count(data, "d_in", where),
        d_sae=count(data, "d_sae", where),
        d_out=count(data, "d_out", where) if transcodes else None,
        k=k,
        apply_b_dec_to_input=subtract,
        normalize=_normalize(data, architecture, where),
        rescale_by_decoder_norm=rescale,
        rules=own.read(data, where) if own else {},
        hook=hook,
        hook_out=text(about, "hook_name_out", where),
        model=text(about, "model_name", where),
        neuronpedia=text(about, "neuronpedia_id", where),
    )


def _architecture(data: Mapping[str, Any], where: str) -> tuple[str, int | None]:
    """The architecture, and k where it has one.

    Before version 6 a topk SAE was a `standard` one whose activation function was topk.
    """
    name = data.get("architecture") or "standard"
    if name not in ARCHITECTURES:
        raise wrong(where, "architecture", name, ", ".join(ARCHITECTURES))
    key = "activation_fn_str" if "activation_fn_str" in data else "activation_fn"
    function = data.get(key) or ("topk" if name == "topk" else "relu")
    arguments = data.get("activation_fn_kwargs") or {}
    if not isinstance(arguments, Mapping) or set(arguments) - {"k"}:
        raise wrong(where, "activation_fn_kwargs", arguments, "nothing, or k")
    if function not in ("relu", "topk") or (function == "topk" and name not in ("standard", *TOPK)):
        raise wrong(where, key, function, "relu, or topk with architecture standard or topk")
    if function == "topk" and name == "standard":
        name = "topk"
    if name not in TOPK:
        # k of a batchtopk checkpoint only shaped its training; its threshold is a tensor.
        if name not in BATCHTOPK and (data.get("k") is not None or "k" in arguments):
            raise ModelError(
                f"{where}: key k is set, but an SAE of architecture {name} does not use it. "
                "Allowed: k with topk. Check which of the two is meant."
            )
        return name, None
    k = count({"k": data.get("k", arguments.get("k"))}, "k", where)
    if k > count(data, "d_sae", where):
        raise wrong(where, "k", k, f"1 to d_sae, which is {data['d_sae']}")
    return name, k


def _normalize(data: Mapping[str, Any], architecture: str, where: str) -> Normalize:
    value = data.get("normalize_activations")
    if value is None or value is False:
        return "none"
    if value is True:  # what very old configurations wrote
        return "expected_average_only_in"
    known = (*_NORMALIZE, _SCALAR) if architecture == "temporal" else _NORMALIZE
    for allowed in known:
        if value == allowed:
            return allowed
    raise wrong(where, "normalize_activations", value, ", ".join(known))


def _refuse_unknown(data: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for key in data:
        if key not in known:
            raise ModelError(
                f"{where}: unknown key {key!r}, which could change the numbers. Allowed: "
                f"{listed(DECIDING)}, and what sae_lens notes of a training run."
                f"{suggestion(key, known)} Remove the key if it changes nothing."
            )


def _refuse_one_head(about: Mapping[str, Any], where: str) -> None:
    for key in ("hook_head_index", "hook_point_head_index", "hook_head_index_out"):
        if (head := about.get(key)) is not None:
            raise wrong(where, key, head, "null: SAEs of a single head are not read")
