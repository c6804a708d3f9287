"""What the configuration of a circuit-tracer folder says, `config.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from harness.errors import ModelError
from harness_saes.core.checks import refuse_unknown, required_text, text, words, wrong
from harness_saes.files.yaml_file import read_yaml

CONFIG = "config.yaml"
SET, CROSS = "transcoder_set", "cross_layer_transcoder"
_DECIDING = words("model_kind feature_input_hook feature_output_hook transcoders")
_TELLING = words("model_name scan repo_id revision subfolder")


@dataclass(frozen=True)
class Settings:
    """A circuit-tracer configuration: what all of its layers share."""

    cross_layer: bool
    """Whether latents of a layer write into all later ones, too."""
    reads: str
    """The hook of a block that encoders read, such as `hook_resid_mid`."""
    writes: str
    """The hook of a block that decoders write to, such as `hook_mlp_out`."""
    model: str | None
    entries: tuple[str, ...] | None
    """Where each layer's weights are; None where they lie in the folder, under their usual names.
    """


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the hub."""

    repository: str
    file: str
    revision: str | None


def read_settings(file: Path) -> Settings:
    """The settings in a `config.yaml`; ModelError for an unknown key, and for what is not read."""
    data, where = read_yaml(file), str(file)
    refuse_unknown(data, _DECIDING, _TELLING, where, others="what only names model and labels")
    kind = data.get("model_kind")
    if kind not in (SET, CROSS):
        raise wrong(where, "model_kind", kind, f"{SET}, {CROSS}")
    entries = _entries(data, where)
    if kind == CROSS and entries is not None:
        raise ModelError(
            f"{where}: a {CROSS} with a list of transcoders: these are the files of Gemma Scope 2, "
            'which are read where they lie. Allowed: format = "gemma_scope_2_clt" with their '
            "repository and folder."
        )
    return Settings(
        cross_layer=kind == CROSS,
        reads=required_text(data, "feature_input_hook", where),
        writes=required_text(data, "feature_output_hook", where),
        model=text(data, "model_name", where),
        entries=entries,
    )


def _entries(data: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
    found = data.get("transcoders")
    if found is None:
        return None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise wrong(
            where, "transcoders", found, "a list of paths, one for each layer from 0 (hf://… or "
            "a file); lists of tables were circuit-tracer's before 0.2",
        )  # fmt: skip
    return tuple(found)


def on_hub(entry: str, where: str) -> HubFile | None:
    """The file that an entry such as `hf://owner/name/layer_0.safetensors` means.

    None for a local path; ModelError for an address that names no file.
    """
    if not entry.startswith("hf://"):
        return None
    path, _, query = entry.removeprefix("hf://").partition("?")
    owner, _, rest = path.partition("/")
    name, _, file = rest.partition("/")
    if not (owner and name and file) or ".." in file.split("/"):
        allowed = "hf://owner/name/file, with ?revision=… if need be"
        raise wrong(where, "transcoders", entry, allowed)
    revision = parse_qs(query).get("revision", [None])[0]
    return HubFile(f"{owner}/{name}", file, revision)
