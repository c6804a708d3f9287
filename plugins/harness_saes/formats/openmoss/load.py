"""Loads OpenMOSS' current folders: folds their normalisation, and selects as they do."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core.linear import LinearSae, finite_on
from harness_saes.core.own_units import OwnUnits
from harness_saes.files.slices import load_slice
from harness_saes.formats.openmoss.options import (
    NORM,
    THRESHOLD,
    OpenmossInspected,
    OpenmossOptions,
)

Read = Callable[..., Tensor]
"""A tensor of the file by name, and what stands at some place of its first axes."""


class Openmoss:
    """The format `openmoss`: `a = s x W_E + b_E`, `z = a` where it is selected,
    `x̂ = (z W_D + b_D) / s′`.

    s = √d_model / mean‖x‖ of what is read, s′ that of what is written (`dataset-wise`; both are 1
    with `inference`, and √d_model / ‖x‖ of each token with `token-wise`). Selected is, with
    ℓ_j = ‖W_D[j]‖ if `sparsity_include_decoder_norm` and 1 otherwise:

    | act_fn | active where |
    |---|---|
    | relu | `a > 0` |
    | jumprelu | `a·ℓ_j > θ_j`, `θ_j = exp(log_jumprelu_threshold_j)` |
    | topk | a·ℓ_j is positive and among the k largest |

    Of a cross-layer transcoder one layer is read: ℓ_j is then the length of all that latent j
    writes into all blocks, and `rows` and x̂ are what it writes into its own (`facts.partial`).
    Source: OpenMOSS' library, llamascopium 2.0 (`models/sae.py`, `models/clt.py`).
    """

    def __init__(self, options: OpenmossOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor or key is wrong."""
        found = self._options.inspect(self._options.fetched())
        dtype, where = getattr(torch, self._options.dtype), str(found.weights)
        read: Read = partial(load_slice, found.weights)
        stored = _of_layer(read, found) if found.stored.cross_layer else _of_all(read, found)
        stored = finite_on(device, stored, where)
        lengths = stored.pop("lengths").to(dtype)
        before, after = _scales(read, found, where)
        tensors = {
            "W_enc": stored["W_enc"].to(dtype) * before,
            "b_enc": stored["b_enc"].to(dtype),
            "W_dec": stored["W_dec"].to(dtype) / after,
            "b_dec": stored["b_dec"].to(dtype) / after,
        }
        by_length = found.stored.by_decoder_norm
        if found.stored.act == "topk" and by_length:
            return OwnUnits(found.config, tensors, lengths, dtype)
        if found.stored.act == "jumprelu":
            threshold = stored["threshold"]
            if by_length:
                # A row of length 0 never passes a threshold, and would add nothing.
                most = torch.finfo(torch.float32).max
                threshold = torch.where(lengths > 0, threshold / lengths, most)
            tensors["threshold"] = threshold
        return LinearSae(found.config, tensors, dtype)


def _of_all(read: Read, found: OpenmossInspected) -> dict[str, Tensor]:
    """The tensors of an SAE or a transcoder, and the lengths of its decoder rows."""
    decoder = read("W_D")
    bias = read("b_D") if found.stored.decoder_bias else decoder.new_zeros(decoder.shape[1])
    return {
        "W_enc": read("W_E"),
        "b_enc": read("b_E"),
        "W_dec": decoder,
        "b_dec": bias,
        "lengths": decoder.double().norm(dim=1),
        **({"threshold": _exp(read(THRESHOLD))} if found.stored.act == "jumprelu" else {}),
    }


def _of_layer(read: Read, found: OpenmossInspected) -> dict[str, Tensor]:
    """The same of one layer of a cross-layer transcoder; lengths are of all that is written."""
    layer = found.layer
    decoder = read(f"W_D.{layer}", (layer,))
    squares = decoder.double().square().sum(dim=1)
    # Only lengths need the other blocks: a file of a large one is long.
    if found.stored.by_decoder_norm and found.stored.act != "relu":
        for to in range(layer + 1, len(found.stored.reads)):
            squares += read(f"W_D.{to}", (layer,)).double().square().sum(dim=1)
    jumps = found.stored.act == "jumprelu"
    return {
        "W_enc": read("W_E", (layer,)),
        "b_enc": read("b_E", (layer,)),
        "W_dec": decoder,
        "b_dec": read(f"b_D.{layer}"),
        "lengths": squares.sqrt(),
        **({"threshold": _exp(read(THRESHOLD, (layer,)))} if jumps else {}),
    }


def _exp(logarithms: Tensor) -> Tensor:
    """Thresholds; a logarithm of −∞ is one of 0."""
    return logarithms.double().exp()


def _scales(read: Read, found: OpenmossInspected, where: str) -> tuple[float, float]:
    """What activations are multiplied with before they are read, and what is written, too."""
    stored, layer = found.stored, found.layer
    if stored.norm != "dataset-wise":
        return 1.0, 1.0
    scales = []
    for hook in (stored.reads[layer], stored.writes[layer]):
        norm = float(read(f"{NORM}{hook}"))
        if not (norm > 0 and math.isfinite(norm)):
            raise ModelError(
                f"{where}: {NORM}{hook} is {norm}. Expected a mean length, above 0. Copy it again."
            )
        scales.append(math.sqrt(stored.d_in) / norm)
    return scales[0], scales[1]
