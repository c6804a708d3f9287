"""The tensors of a circuit-tracer file, in the three layouts that its loader reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import ModelError
from harness_saes.core.stored import Entry, Layout, Stored, layout_of, length
from harness_saes.files.header import read_header
from harness_saes.files.npz import read_npz_header
from harness_saes.formats import gemma_scope
from harness_saes.formats.gemma_scope_2.options import SKIP, TENSORS as SCOPE_2

THRESHOLD, W_SKIP = "activation_function.threshold", "W_skip"


def header_of(file: Path) -> Mapping[str, Stored]:
    """The tensors of a file of weights, `.npz` or `.safetensors`, without a weight."""
    return read_npz_header(file) if file.suffix == ".npz" else read_header(file)


def widths(found: Mapping[str, Stored], biases: tuple[str, str], where: str) -> tuple[int, int]:
    """The width of the model and the number of latents, which the biases tell."""
    return length(found, biases[1], where), length(found, biases[0], where)


def set_layout(found: Mapping[str, Stored], npz: bool, where: str) -> tuple[Layout, int, int]:
    """Layout, width and latents of one layer of a transcoder set.

    circuit-tracer's own files have encoder and decoder latent by latent; those of Gemma Scope 1
    (`.npz`) and 2 (`w_enc`) are read as they were published.
    """
    d, n = widths(found, ("b_enc", "b_dec"), where)
    if npz:
        return layout_of({name: name for name in gemma_scope.TENSORS}, d, n, d), d, n
    if "w_enc" in found:
        skip = Entry((d, d), "W_skip", turned=True, optional=True)
        return layout_of(SCOPE_2, d, n, d) | {SKIP: skip}, d, n
    if "log_thresholds" in found:
        raise ModelError(
            f"{where}: has log_thresholds, which circuit-tracer does not read either. Expected "
            f"{THRESHOLD}, or no thresholds at all."
        )
    return {
        "W_enc": Entry((n, d), "W_enc", turned=True),
        "W_dec": Entry((n, d), "W_dec"),
        "b_enc": Entry((n,), "b_enc"),
        "b_dec": Entry((d,), "b_dec"),
        THRESHOLD: Entry((n,), "threshold", optional=True),
        W_SKIP: Entry((d, d), "W_skip", optional=True),
    }, d, n  # fmt: skip


def encoder_layout(found: Mapping[str, Stored], layer: int, where: str) -> tuple[Layout, int, int]:
    """Layout, width and latents of the encoder of one layer of a cross-layer transcoder."""
    d, n = widths(found, (f"b_enc_{layer}", f"b_dec_{layer}"), where)
    return {
        f"W_enc_{layer}": Entry((n, d), "W_enc", turned=True),
        f"b_enc_{layer}": Entry((n,), "b_enc"),
        f"b_dec_{layer}": Entry((d,), "b_dec"),
        f"threshold_{layer}": Entry((n,), "threshold", optional=True),
    }, d, n  # fmt: skip


def reach_of(found: Mapping[str, Stored], name: str, where: str) -> int:
    """Into how many blocks a decoder `[latents, blocks, d]` writes; ModelError for another one."""
    shape = found[name].shape if name in found else ()
    if len(shape) != 3 or shape[1] < 1:
        raise ModelError(
            f"{where}: {name} is {list(shape) if name in found else 'not found'}. Expected "
            "[latents, blocks, width], with the block itself and all later ones."
        )
    return shape[1]
