"""Loads crosscoders and difference SAEs of the fork, without dictionary_learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core.checks import number
from harness_saes.core.joined import JoinedSae, Scaling
from harness_saes.core.linear import LinearSae, finite_on
from harness_saes.files.header import load_safetensors
from harness_saes.files.pt_file import load_pt
from harness_saes.formats.model_diffing.files import CONFIG, ForkOptions, Found
from harness_saes.formats.model_diffing.options import CODES

_GUARD = 1e-8
"""The fork adds this to the gain when it scales back."""
ONE_SIDED = (
    "its two models have thresholds of their own (DECOUPLED), so a latent may write to one alone: "
    "latent j of the files is j for the first model and {0} + j for the second one."
)
TWICE = "as dictionary_learning does with DECOUPLED codes, activations are normalised twice."
UNFITTED = "its threshold was never fitted: every positive latent is active."
ASSUMED = "its files do not say how its code is normalised; as the fork does, CROSSCODER is taken."


class _Fork:
    """What both formats of the fork have in common: reading files, and their normaliser."""

    def __init__(self, options: ForkOptions) -> None:
        self._options = options

    def _read(self) -> tuple[Found, dict[str, Any]]:
        """What the files say, and their tensors, each by its name in the layout."""
        options = self._options
        found = options.inspect(options.fetched())
        file = found.weights
        raw = (
            load_safetensors(file)
            if file.suffix == ".safetensors"
            else load_pt(file, options.where)
        )
        stored = found.canonical(raw)
        # Settings of the code; the weights are looked at where they are moved to the device.
        finite_on("cpu", {k: v for k, v in stored.items() if not v.ndim}, str(file))
        return found, stored

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self._options.dtype)
        return dtype


class Crosscoder(_Fork):
    """The format `crosscoder`: classes CrossCoder and BatchTopKCrossCoder of the fork.

    With x̃_m = (x_m − mean_m)·g_m where the file has a normaliser, m the two models:
    `f = ReLU(Σ_m x̃_m W_enc^m + b_enc)`, `x̂_m = (Σ_j f_j d_j^m + b_dec^m)/(g_m + 1e-8) + mean_m`.
    BatchTopK: `f_j` counts where `f_j·n_j > θ`. A latent's value is `f_j·n_j`, the fork's
    "activation", and its rows are `d_j^m/n_j`, so that x̂ is the same.

    | code | n_j |
    |---|---|
    | CROSSCODER | Σ_m ‖d_j^m‖ |
    | SAE | ‖[d_j^0; d_j^1]‖ |
    | MIXED | α·SAE + β·CROSSCODER, 1 and 0.1 unless the configuration says otherwise |
    | NONE | 1 |
    | DECOUPLED | of CrossCoder as CROSSCODER; of BatchTopK ‖d_j^m‖ for each m, with its own θ_m |

    Norms are of the rows as trained, in the normalised space. Source: dictionary_learning of
    science-of-finetuning (`dictionary.py`), commit 173f7fa.
    """

    def load(self, device: str) -> Sae:
        """The crosscoder on a device; ModelError says which file, tensor or key is wrong."""
        found, stored = self._read()
        where = str(found.weights)
        code, assumed = _code_of(found, stored)
        scaling, scales = _normaliser(stored, where, self._dtype, device)
        weights = {name: stored[name] for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
        threshold = stored.get("threshold")
        if threshold is not None:
            weights["threshold"] = threshold
        ready = {k: v.to(self._dtype) for k, v in finite_on(device, weights, where).items()}
        rows = ready["W_dec"]
        separate = found.facts.one_sided
        sizes = _sizes(rows, code, found, separate)
        tensors = _separate(ready, sizes) if separate else _together(ready, sizes)
        notes = [ASSUMED] if assumed else []
        if separate:
            notes.append(ONE_SIDED.format(rows.shape[1]))
            if scaling is not None:
                scaling = replace(scaling, times=2)
                notes.append(TWICE)
        if threshold is not None and bool((threshold < 0).any()):
            notes.append(UNFITTED)
        inner = LinearSae(found.config, tensors, self._dtype)
        facts = replace(found.facts, scales=scales or (1.0, 1.0), shifts=_shifts(scaling))
        return JoinedSae(inner, facts, scaling, notes=notes)


class DifferenceSae(_Fork):
    """The format `difference_sae`: class BatchTopKSAE of the fork, trained on u = x_1 − x_0.

    With ũ = (u − mean)·g where the file has a normaliser:
    `f = ReLU((ũ − b_dec) W_enc + b_enc)` where that is above θ, `û = (f W_dec + b_dec)/(g + 1e-8) +
    mean`. The mean change lies in the normaliser, outside the dictionary. Source: as `crosscoder`,
    and diffing-toolkit (`sae_difference`).
    """

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor or key is wrong."""
        found, stored = self._read()
        where = str(found.weights)
        scaling, scales = _normaliser(stored, where, self._dtype, device)
        names = ("W_enc", "W_dec", "b_enc", "b_dec", "topk_threshold")
        ready = finite_on(device, {name: stored[name] for name in names}, where)
        notes = [UNFITTED] if float(ready["topk_threshold"]) < 0 else []
        inner = LinearSae(found.config, ready, self._dtype)
        facts = replace(found.facts, scales=(scales or (1.0,)) * 2)
        return JoinedSae(inner, facts, scaling, notes=notes)


# ── Weights of a crosscoder as those of one linear SAE of joined activations ──


def _together(stored: Mapping[str, Tensor], n: Float[Tensor, " d_sae"]) -> dict[str, Tensor]:
    """One code for both models: values f·n, rows d/n; a latent of size 0 is never active."""
    encoder, rows = stored["W_enc"], stored["W_dec"]
    unit = torch.where(n > 0, n, 1)[:, None]
    tensors = {
        "W_enc": encoder.flatten(0, 1) * n,
        "b_enc": stored["b_enc"] * n,
        "W_dec": torch.cat(list(rows), dim=1) / unit,
        "b_dec": stored["b_dec"].flatten(),
    }
    if "threshold" in stored:
        tensors["topk_threshold"] = stored["threshold"]
    return tensors


def _separate(stored: Mapping[str, Tensor], n: Float[Tensor, "2 d_sae"]) -> dict[str, Tensor]:
    """A code for each model: latents of the first one, then those of the second, each with rows
    for its own model alone."""
    encoder, rows = stored["W_enc"].flatten(0, 1), stored["W_dec"]
    unit = rows / torch.where(n > 0, n, 1)[..., None]
    return {
        "W_enc": torch.cat([encoder * one for one in n], dim=1),
        "b_enc": torch.cat([stored["b_enc"] * one for one in n]),
        "W_dec": torch.block_diag(*unit),
        "b_dec": stored["b_dec"].flatten(),
        "threshold": stored["threshold"].repeat_interleave(rows.shape[1]),
    }


def _sizes(rows: Float[Tensor, "2 d_sae d"], code: str, found: Found, separate: bool) -> Tensor:
    """n_j of the class's docstring: [d_sae], or [2, d_sae] where the models are kept apart."""
    each = rows.norm(dim=2)
    if separate:
        return each
    summed, joined = each.sum(0), each.square().sum(0).sqrt()
    where = str(found.weights.with_name(CONFIG))
    of_sae = number(found.settings, "code_normalization_alpha_sae", 1.0, where)
    of_both = number(found.settings, "code_normalization_alpha_cc", 0.1, where)
    return {
        "CROSSCODER": summed,
        "DECOUPLED": summed,
        "SAE": joined,
        "MIXED": of_sae * joined + of_both * summed,
        "NONE": torch.ones_like(summed),
    }[code]


def _code_of(found: Found, stored: Mapping[str, Any]) -> tuple[str, bool]:
    """The normalisation of the code, and whether nothing says it; both files must agree."""
    number, told = stored.get("code"), found.settings.get("code_normalization")
    told = told.upper() if isinstance(told, str) else None
    if number is None:
        return told or CODES[0], told is None
    value = int(number)
    if not 1 <= value <= len(CODES):
        raise ModelError(
            f"{found.weights}: code_normalization_id is {value}. Allowed: 1 to {len(CODES)}, "
            f"which are {', '.join(CODES)}."
        )
    code = CODES[value - 1]
    fits = found.facts.one_sided == (code == "DECOUPLED") or "threshold" not in stored
    if told not in (None, code) or not fits:
        raise ModelError(
            f"{found.weights}: its code is {code}, but not by {CONFIG} or its threshold. Are both "
            "files of one crosscoder?"
        )
    return code, False


def _shifts(scaling: Scaling | None) -> tuple[tuple[float, ...], ...] | None:
    """What is taken from the activations of either model; None without a normaliser, or where
    they are normalised twice."""
    if scaling is None or scaling.times > 1:
        return None
    return tuple(tuple(half.tolist()) for half in scaling.shift.chunk(2))


def _normaliser(
    stored: Mapping[str, Any], where: str, dtype: torch.dtype, device: str
) -> tuple[Scaling | None, tuple[float, ...] | None]:
    """The scaling of the joined activations, and its gain by input; none where the file has none.

    A mean that is not a number stands for no normaliser. Raises ModelError where some of it is
    missing.
    """
    names = ("target_rms", "mean", "std", "gain")
    present = [name for name in names if name in stored]
    if not present or bool(torch.isnan(stored.get("mean", torch.zeros(1))).any()):
        return None, None
    if len(present) < len(names):
        raise ModelError(
            f"{where}: has some tensors of a normaliser and lacks others: found "
            f"{', '.join(present)} of {', '.join(names)}. Expected all or none. Copy it again."
        )
    ready = finite_on(device, {"mean": stored["mean"], "gain": stored["gain"]}, where)
    mean, gain = ready["mean"].to(dtype), ready["gain"].to(dtype)
    if not bool((gain > 0).all()):
        raise ModelError(
            f"{where}: activation_global_scale is not above 0, so nothing could be scaled back. "
            "Copy the file again; if it stays so, the training diverged."
        )
    wide = gain[..., None].expand_as(mean).flatten().contiguous()
    return Scaling(mean.flatten(), wide, _GUARD), tuple(gain.flatten().tolist())
