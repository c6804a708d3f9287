"""Crosscoders and difference SAEs of the fork: their options, and what their files say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contract import SaeFacts
from harness.errors import ModelError
from harness_saes.core.checks import choice, count_or, text, wrong
from harness_saes.core.config import Config
from harness_saes.core.stored import Entry, Layout, Stored, check_layout, layout_of
from harness_saes.formats.model_diffing.files import (
    CONFIG,
    ForkOptions,
    Found,
    check_sizes,
    settings_of,
    site_of,
    stored_in,
)

CODES = ("CROSSCODER", "SAE", "MIXED", "NONE", "DECOUPLED")
"""How the sizes of latents are compared, in the order of their numbers in the files, from 1."""
NAMES = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec"}
_CROSSCODERS = {"CrossCoder": "crosscoder", "BatchTopKCrossCoder": "batchtopk_crosscoder"}
"""By class, the architecture in our words."""


class CrosscoderOptions(ForkOptions):
    """A crosscoder of the fork, for the two models of a pair."""

    def facts_by_name(self) -> SaeFacts:
        """That it reads both sides of a pair."""
        return SaeFacts(inputs=self.inputs())

    def inspect(self, place: Path) -> Found:
        """What configuration and header say; ModelError where they disagree."""
        weights, settings, where = self.weights(place), settings_of(place), str(place / CONFIG)
        stored = stored_in(weights)
        shape = _shape(stored, str(weights), 3)
        models, width, latents = shape
        if models != 2:
            raise ModelError(
                f"{weights}: encoder.weight is {list(shape)}: it reads {models} activations of "
                "each token. Allowed: 2, the two models of a pair."
            )
        kind = _class(settings, _CROSSCODERS, "threshold" in stored, where)
        _refuse_parts(settings, where)
        code = choice({"code": _code(settings, where)}, "code", CODES, where)
        separate = "threshold" in stored and stored["threshold"].shape != ()
        if _code(settings, where) is not None and "threshold" in stored:
            _same(separate, code == "DECOUPLED", where, str(weights))
        layout = crosscoder_layout(width, latents, kind, separate) | normaliser((2, width))
        what = f"{latents} latents of two models of width {width}"
        check_layout(stored, layout, str(weights), what)
        check_sizes(settings, {"activation_dim": width, "dict_size": latents}, where)
        d_in, d_sae = 2 * width, (1 + separate) * latents
        facts = SaeFacts(
            _CROSSCODERS[kind],
            d_in,
            d_sae,
            site_of(settings, where),
            model=text(settings, "lm_name", where),
            inputs=self.inputs(width),
            one_sided=separate,
        )
        rule = "standard" if kind == "CrossCoder" else "jumprelu" if separate else "batchtopk"
        config = Config(rule, d_in, d_sae, apply_b_dec_to_input=False, site=facts.site)
        return Found(weights, config, layout, facts, settings)

    @classmethod
    def classes(cls) -> frozenset[str]:
        """The two classes of crosscoders."""
        return frozenset(_CROSSCODERS)


class DifferenceSaeOptions(ForkOptions):
    """An SAE that was trained on the differences between two models, of the class BatchTopKSAE."""

    def facts_by_name(self) -> SaeFacts:
        """That it reads the difference of both sides."""
        return SaeFacts(inputs=self.inputs(), join="difference")

    def inspect(self, place: Path) -> Found:
        """What configuration and header say; ModelError where they disagree."""
        weights, settings, where = self.weights(place), settings_of(place), str(place / CONFIG)
        stored = stored_in(weights)
        latents, width = _shape(stored, str(weights), 2)
        _class(settings, {"BatchTopKSAE": "batchtopk"}, True, where)
        names = NAMES | {"b_dec": "b_dec", "threshold": "topk_threshold"}
        layout = layout_of(names, width, latents) | {"k": _K} | normaliser((width,))
        what = f"{latents} latents of width {width}"
        check_layout(stored, layout, str(weights), what)
        check_sizes(settings, {"activation_dim": width, "dict_size": latents}, where)
        site = site_of(settings, where)
        facts = SaeFacts(
            "batchtopk",
            width,
            latents,
            site,
            model=text(settings, "lm_name", where),
            inputs=self.inputs(width),
            join="difference",
        )
        return Found(
            weights, Config("batchtopk", width, latents, site=site), layout, facts, settings
        )


_K = Entry((), "k", optional=True, integer=True)


def crosscoder_layout(width: int, latents: int, kind: str, separate: bool) -> Layout:
    """The tensors of a crosscoder of two models; `separate` has a threshold for each of them."""
    layout = {
        "encoder.weight": Entry((2, width, latents), "W_enc"),
        "encoder.bias": Entry((latents,), "b_enc"),
        "decoder.weight": Entry((2, latents, width), "W_dec"),
        "decoder.bias": Entry((2, width), "b_dec"),
        "code_normalization_id": Entry((), "code", optional=True, integer=True),
    }
    if kind == "BatchTopKCrossCoder":
        layout["k"] = _K
        layout["threshold"] = Entry((2,) if separate else (), "threshold")
    return layout


def normaliser(shape: tuple[int, ...]) -> Layout:
    """The tensors that say how activations of this shape were normalised; old files have none."""
    return {
        "target_rms": Entry((), "target_rms", optional=True),
        "activation_mean": Entry(shape, "mean", optional=True),
        "activation_std": Entry(shape, "std", optional=True),
        "activation_global_scale": Entry(shape[:-1], "gain", optional=True),
    }


def _shape(stored: Mapping[str, Stored], where: str, axes: int) -> tuple[int, ...]:
    """The shape of the encoder's weights, which tells a crosscoder from an SAE."""
    shape = stored.get("encoder.weight", Stored("F32", ())).shape
    if len(shape) != axes or min(shape) < 1:
        raise ModelError(
            f"{where}: encoder.weight is {list(shape)}. Expected "
            + (
                "[2, width, latents], a crosscoder of two models. An SAE of differences is the "
                "format difference_sae."
                if axes == 3
                else "[latents, width], an SAE of differences. A crosscoder is the format "
                "crosscoder."
            )
        )
    return shape


def _class(settings: Mapping[str, Any], names: Mapping[str, str], batch: bool, where: str) -> str:
    """The class: as the configuration names it; in copies on the hub as the tensors tell it."""
    told = text(settings, "dict_class", where)
    found = next(name for name in names if name.startswith("BatchTopK") == batch)
    if told not in (None, *names) or (told is not None and told != found):
        raise wrong(where, "dict_class", told, f"{found}, by the tensors of its weights")
    return found


def _code(settings: Mapping[str, Any], where: str) -> str | None:
    told = text(settings, "code_normalization", where)
    return None if told is None else told.upper()


def _same(separate: bool, decoupled: bool, where: str, weights: str) -> None:
    if separate != decoupled:
        raise ModelError(
            f"{where}: code_normalization does not fit the threshold of {weights}. Expected one "
            "threshold, and one for each model with DECOUPLED. Are both files of one crosscoder?"
        )


def _refuse_parts(settings: Mapping[str, Any], where: str) -> None:
    """Refuses crosscoders that read or write some of their models alone."""
    for key in ("encoder_layers", "latent_processor"):
        if settings.get(key) is not None:
            raise wrong(where, key, settings[key], "none: both models are read and written")
    if count_or(settings, "num_decoder_layers", None, where) not in (None, 2):
        raise wrong(where, "num_decoder_layers", settings["num_decoder_layers"], "2")
