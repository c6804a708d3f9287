"""What a SAELens configuration says, in the form of version 6 or in the flat one before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.contract import SaeFacts
from harness.errors import ModelError, listed, suggestion
from harness.sites import site_from_hook_name
from harness_saes.keys import DECIDING, FLAT, TRAINING

Normalize = Literal["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"]
_NORMALIZE: tuple[Normalize, ...] = (
    "none",
    "expected_average_only_in",
    "constant_norm_rescale",
    "layer_norm",
)

TOPK = ("topk", "abstopk")
BATCHTOPK = ("batchtopk", "matryoshka_batchtopk")
"""Training checkpoints; sae_lens exports them for inference as jumprelu."""
ARCHITECTURES = ("standard", "jumprelu", "gated", *TOPK, *BATCHTOPK)


@dataclass(frozen=True)
class Config:
    """What decides an SAE's numbers, beside its weights, and what it says of itself."""

    architecture: str
    d_in: int
    d_sae: int
    k: int | None = None
    """Latents per token; only of topk and abstopk."""
    apply_b_dec_to_input: bool = True
    normalize: Normalize = "none"
    rescale_by_decoder_norm: bool = False
    """Whether latents are selected and measured as if decoder rows had length 1."""
    hook: str | None = None
    model: str | None = None
    neuronpedia: str | None = None

    @property
    def facts(self) -> SaeFacts:
        """The same in the contract's words."""
        return SaeFacts(
            architecture=self.architecture,
            d_in=self.d_in,
            d_sae=self.d_sae,
            site=site_from_hook_name(self.hook) if self.hook else None,
            signed=self.architecture == "abstopk",
            model=self.model,
            neuronpedia=self.neuronpedia,
        )


def read_config(file: Path) -> Config:
    """The configuration in a cfg.json; ModelError names the file and the key."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ModelError(f"{file}: is no JSON ({error}). Copy or download it again.") from error
    if not isinstance(data, dict):
        raise ModelError(f"{file}: is no JSON object. Expected a SAELens configuration.")
    return parse_config(data, str(file))


def parse_config(data: Mapping[str, Any], where: str) -> Config:
    """A configuration from the keys of a cfg.json; `where` begins every message."""
    metadata = data.get("metadata")
    # sae_lens 6 wrote `metadata`; before it, everything lay flat beside the numbers.
    flat = not isinstance(metadata, Mapping)
    about: Mapping[str, Any] = data if flat else metadata  # type: ignore[assignment]
    architecture, k = _architecture(data, where)
    _refuse_unknown(data, DECIDING | TRAINING | (FLAT if flat else frozenset()), where)
    hook = _text(about, "hook_name", where) or _text(about, "hook_point", where)
    _refuse_one_head(about, where)
    reshape = data.get("reshape_activations") or "none"
    if reshape not in ("none", "hook_z"):
        raise _wrong(where, "reshape_activations", reshape, "none, hook_z")
    rescale = _flag(data, "rescale_acts_by_decoder_norm", False, where)
    if rescale and architecture not in (*TOPK, *BATCHTOPK):
        raise _wrong(where, "rescale_acts_by_decoder_norm", True, f"false for {architecture}")
    return Config(
        architecture=architecture,
        d_in=_count(data, "d_in", where),
        d_sae=_count(data, "d_sae", where),
        k=k,
        apply_b_dec_to_input=_flag(data, "apply_b_dec_to_input", True, where),
        normalize=_normalize(data, where),
        rescale_by_decoder_norm=rescale,
        hook=hook,
        model=_text(about, "model_name", where),
        neuronpedia=_text(about, "neuronpedia_id", where),
    )


def _architecture(data: Mapping[str, Any], where: str) -> tuple[str, int | None]:
    """The architecture, and k where it has one.

    Before version 6 a topk SAE was a `standard` one whose activation function was topk.
    """
    name = data.get("architecture") or "standard"
    if name not in ARCHITECTURES:
        raise _wrong(where, "architecture", name, ", ".join(ARCHITECTURES))
    key = "activation_fn_str" if "activation_fn_str" in data else "activation_fn"
    function = data.get(key) or ("topk" if name == "topk" else "relu")
    arguments = data.get("activation_fn_kwargs") or {}
    if not isinstance(arguments, Mapping) or set(arguments) - {"k"}:
        raise _wrong(where, "activation_fn_kwargs", arguments, "nothing, or k")
    if function not in ("relu", "topk") or (function == "topk" and name not in ("standard", *TOPK)):
        raise _wrong(where, key, function, "relu, or topk with architecture standard or topk")
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
    k = _count({"k": data.get("k", arguments.get("k"))}, "k", where)
    if k > _count(data, "d_sae", where):
        raise _wrong(where, "k", k, f"1 to d_sae, which is {data['d_sae']}")
    return name, k


def _normalize(data: Mapping[str, Any], where: str) -> Normalize:
    value = data.get("normalize_activations")
    if value is None or value is False:
        return "none"
    if value is True:  # what very old configurations wrote
        return "expected_average_only_in"
    for allowed in _NORMALIZE:
        if value == allowed:
            return allowed
    raise _wrong(where, "normalize_activations", value, ", ".join(_NORMALIZE))


def _refuse_unknown(data: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for key in data:
        if key not in known:
            raise ModelError(
                f"{where}: unknown key {key!r}, which could change the numbers. Allowed: "
                f"{listed(DECIDING)}, and what sae_lens notes of a training run."
                f"{suggestion(key, known)} Remove the key if it changes nothing."
            )


def _refuse_one_head(about: Mapping[str, Any], where: str) -> None:
    head = about.get("hook_head_index", about.get("hook_point_head_index"))
    if head is not None:
        raise _wrong(where, "hook_head_index", head, "null: SAEs of a single head are not read")


def _count(data: Mapping[str, Any], key: str, where: str) -> int:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _wrong(where, key, value, "a whole number from 1")
    return value


def _flag(data: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _wrong(where, key, value, "true, false")
    return value


def _text(data: Mapping[str, Any], key: str, where: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(where, key, value, "text")
    return value


def _wrong(where: str, key: str, value: object, allowed: str) -> ModelError:
    return ModelError(f"{where}: key {key} is {value!r}. Allowed: {allowed}.")
