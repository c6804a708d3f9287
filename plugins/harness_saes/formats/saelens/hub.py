"""Releases on the hub, resolved by sae_lens: where they are and how their files are converted.

Releases in SAELens' own form are downloaded and read by us, which allows a revision; others go
through the converter that sae_lens has for them. Either way only weights and a configuration come
out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.errors import HarnessError, ModelError, listed, unknown
from harness.web import hub_error, patiently
from harness_saes.core.config import Config
from harness_saes.core.stored import Stored
from harness_saes.files.configuration import read_json
from harness_saes.files.header import first_line, read_header
from harness_saes.formats.saelens.config import parse_config
from harness_saes.formats.saelens.keys import DECIDING
from harness_saes.formats.saelens.kinds import Reading
from harness_saes.formats.saelens.options import CONFIG, WEIGHTS, SaelensOptions
from harness_saes.formats.saelens.scale import folded
from harness_saes.formats.saelens.tensors import check_tensors

_NATIVE = "sae_lens"
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
}


def read_release(options: SaelensOptions) -> tuple[Config, dict[str, Tensor]]:
    """Configuration and weights of one SAE of a release, its scaling factor folded in if known.

    Raises ModelError for an unknown release or id, files that cannot be had, an architecture that
    is not known, and a revision of a release that only a converter reads.
    """
    from sae_lens.loading import pretrained_saes_directory as directory
    from sae_lens.loading.pretrained_sae_loaders import (
        get_conversion_loader_name,
        handle_config_defaulting,
    )

    release, name = str(options.release), str(options.id)
    releases = directory.get_pretrained_saes_directory()
    if release not in releases and "/" not in release:
        raise ModelError(f"{options.where}: {unknown('release', release, releases)}")
    if release in releases and name not in releases[release].saes_map:
        known = releases[release].saes_map
        raise ModelError(f"{options.where}: {unknown('id', name, known)}")
    repository, folder = directory.get_repo_id_and_folder_name(release, name)
    overrides = directory.get_config_overrides(release, name)
    loader = get_conversion_loader_name(release)
    try:
        if loader == _NATIVE:
            data, tensors = patiently(lambda: _native(options, repository, folder), repository)
            data = _overridden(data, overrides)
        else:
            data, tensors = patiently(
                lambda: _converted(options, loader, repository, folder, overrides), repository
            )
    except Exception as error:
        if isinstance(error, HarnessError):
            raise
        if known := hub_error(error, options.where, repository, ModelError):
            raise known from error
        if not isinstance(error, (OSError, ValueError)):  # every other of the hub is one of the two
            raise
        raise ModelError(
            f"{options.where}: not in the local cache, and {repository} could not be downloaded "
            f"({first_line(error)}). Allowed: a release that is cached or reachable. Load it once "
            "where there is a network, or give a folder as path."
        ) from error
    # Of a listed release sae_lens knows which keys matter; elsewhere an unknown key is an error.
    if release in releases:
        # It raises KeyError for an unknown architecture, which `parse_config` refuses in words.
        with contextlib.suppress(KeyError):
            data = handle_config_defaulting(dict(data))
    _refuse_gaps(tensors, options, loader)
    config = parse_config(data, f"{options.where}: {CONFIG}")
    # The list that is read without sae_lens may lack what an earlier one had.
    with contextlib.suppress(ModelError):
        config = _placed(config, options.listed())
    stored = {
        key: Stored(_NAMES.get(t.dtype, str(t.dtype)), tuple(t.shape)) for key, t in tensors.items()
    }
    check_tensors(stored, config, f"{options.where}: {WEIGHTS}")
    return folded(config, tensors, directory.get_norm_scaling_factor(release, name))


def _placed(config: Config, told: Reading | None) -> Config:
    """A configuration with what names tell where the converter's does not, and its notes."""
    if told is None:
        return config
    facts = told.facts
    return replace(
        config,
        site=config.site or facts.site,
        site_out=config.site_out or facts.site_out,
        place=None if config.site or facts.site else config.place,
        partial=facts.partial,
        not_trained_on=config.not_trained_on or facts.not_trained_on,
        notes=(*config.notes, *([told.note] if told.note else [])),
    )


def _refuse_gaps(tensors: Mapping[str, Any], options: SaelensOptions, loader: str) -> None:
    """Refuses what a converter gives in place of a tensor that it did not find."""
    if gaps := [name for name, tensor in tensors.items() if not isinstance(tensor, Tensor)]:
        raise ModelError(
            f"{options.where}: sae_lens' converter {loader} finds no {listed(gaps)} in its files. "
            "Expected files that it knows. Name the format of the files themselves, such as "
            "dictionary_learning."
        )


def _native(
    options: SaelensOptions, repository: str, folder: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from huggingface_hub import hf_hub_download

    config, weights = (
        Path(hf_hub_download(repository, f"{folder}/{name}", revision=options.revision))
        for name in (CONFIG, WEIGHTS)
    )
    read_header(weights)
    return read_json(config), load_file(weights)


def _converted(
    options: SaelensOptions,
    loader: str,
    repository: str,
    folder: str,
    overrides: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from sae_lens.loading.pretrained_sae_loaders import NAMED_PRETRAINED_SAE_LOADERS

    if options.revision is not None:
        raise ModelError(
            f"{options.where}: revision is set, but sae_lens' converter {loader} always reads the "
            "default branch. Remove revision, or convert the SAE and give its folder as path."
        )
    data, tensors, _ = NAMED_PRETRAINED_SAE_LOADERS[loader](
        repo_id=repository,
        folder_name=folder,
        device="cpu",
        force_download=False,
        cfg_overrides={**overrides, "device": "cpu", "dtype": "float32"},
    )
    return data, tensors


def _overridden(data: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with what sae_lens' list corrects in it, each key where it is looked for."""
    metadata = data.get("metadata")
    if not isinstance(metadata, dict):
        return {**data, **overrides}
    decides = {key: value for key, value in overrides.items() if key in DECIDING}
    about = {key: value for key, value in overrides.items() if key not in DECIDING}
    return {**data, **decides, "metadata": {**metadata, **about}}
