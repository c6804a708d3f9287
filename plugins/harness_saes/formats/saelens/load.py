"""Loads SAELens SAEs: local folders without sae_lens, releases through it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core.checks import number, wrong
from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae, fingerprint, finite_on
from harness_saes.files.configuration import read_json
from harness_saes.files.header import load_safetensors
from harness_saes.formats.saelens.options import SCALER, WEIGHTS, SaelensOptions, inspected
from harness_saes.formats.saelens.original import ORIGINALS
from harness_saes.formats.saelens.scale import UNFOLDED, Unfolded, folded
from harness_saes.formats.saelens.tensors import SCALING

log = logging.getLogger(__name__)


class Saelens:
    """The format `saelens`: a folder, or a release that sae_lens resolves."""

    def __init__(self, options: SaelensOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor or key is missing or wrong."""
        options = self._options
        folder = options.folder()
        if folder is not None:
            return build(*read_folder(folder), options, device, str(folder / WEIGHTS))
        # Imported here: sae_lens costs seconds, and local folders do without it.
        from harness_saes.formats.saelens.hub import read_release

        config, tensors = read_release(options)
        return build(config, tensors, options, device, options.where)

    def read_ahead(self) -> None:
        """Reads and hashes the weights of a folder, where they are used as they are stored."""
        folder = self._options.folder()
        if folder is None or (folder / SCALER).is_file():
            return
        config, tensors = read_folder(folder)
        used = _used(tensors, "cpu", str(folder / WEIGHTS))
        # Where activations decide the scale, "none" is what weights as stored come to.
        if config.normalize == "expected_average_only_in":
            config = replace(config, normalize="none")
        fingerprint(config, used, getattr(torch, self._options.dtype))


def read_folder(folder: Path) -> tuple[Config, dict[str, Tensor]]:
    """Configuration and weights of a folder as SAELens writes it."""
    config, tensors = inspected(folder), load_safetensors(folder / WEIGHTS)
    if config.normalize != "expected_average_only_in":
        return config, tensors
    return folded(config, tensors, _scaling_factor(folder / SCALER))


def _scaling_factor(file: Path) -> float | None:
    """The factor s = √d/mean‖x‖ of a run that was not finished; sae_lens folds it in at the end."""
    if not file.is_file():
        return None
    data = read_json(file)
    if data.get("scaling_factor") is None:
        return None
    factor = number(data, "scaling_factor", 1.0, str(file))
    if factor <= 0:
        raise wrong(str(file), "scaling_factor", factor, "a number above 0")
    log.info("%s: the weights are not finished; its factor %g is folded in", file, factor)
    return factor


def build(
    config: Config,
    tensors: Mapping[str, Tensor],
    options: SaelensOptions,
    device: str,
    where: str,
) -> Sae:
    """The SAE from checked tensors: refuses values that are not finite, moves to the device."""
    ready = _used(tensors, device, where)
    dtype = getattr(torch, options.dtype)

    def built(config: Config, tensors: Mapping[str, Tensor], notes: tuple[str, ...] = ()) -> Sae:
        if config.architecture in ORIGINALS:
            return ORIGINALS[config.architecture](config, tensors, dtype, notes=notes)
        return LinearSae(config, tensors, dtype, notes=notes)

    if config.normalize == "expected_average_only_in":
        log.warning("%s: %s", where, UNFOLDED)
        return Unfolded(config, ready, built)
    return built(config, ready)


def _used(tensors: Mapping[str, Tensor], device: str, where: str) -> dict[str, Tensor]:
    """The tensors that an SAE is built from, on a device; ModelError where one is not finite, or
    the SAE was fine-tuned by scaling."""
    ready = finite_on(device, tensors, where)
    if "log_threshold" in ready:
        ready["threshold"] = ready.pop("log_threshold").float().exp()
    scaling = ready.pop(SCALING, torch.ones(1))
    if not torch.allclose(scaling.float(), torch.ones_like(scaling, dtype=torch.float32)):
        raise ModelError(
            f"{where}: {SCALING} is not all ones, so the SAE was fine-tuned by scaling. Expected "
            "an SAE without it. Fold it into W_dec with the sae_lens version that trained it."
        )
    return ready
