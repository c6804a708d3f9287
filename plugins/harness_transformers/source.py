"""Where a model's weights, tokenizer and adapter are, as transformers is told to read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness_transformers.files import (
    ADAPTER,
    companions,
    digest,
    fetch_folder,
    local_folder,
    read_config,
    require_weights,
    weight_files,
    weights_sha256,
)
from harness_transformers.gguf_file import GgufFile
from harness_transformers.options import TransformersOptions

_FILE = "model.gguf"


@dataclass(frozen=True)
class Source:
    """The files of a model, all of them there."""

    folder: Path
    """The folder that transformers reads the weights from."""
    voice: Path
    """The folder of the tokenizer."""
    files: Mapping[str, Sequence[Path]]
    """What decides what the model does, by its part."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What config.json says; a GGUF file has none."""
    adapter: Path | None = None
    gguf: GgufFile | None = None
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What `from_pretrained` of the configuration and the weights is told besides."""
    speaks: Mapping[str, Any] = field(default_factory=dict)
    """What `from_pretrained` of the tokenizer is told besides."""

    def fingerprint(self, *also: str) -> str:
        """A hash of all files and of what `also` decides; wherever they lie."""
        return digest(self.files.items(), *also)


@contextmanager
def source(options: TransformersOptions) -> Iterator[Source]:
    """The files that options mean, downloaded where they are on the hub.

    ModelError says which is missing, or is not what the task says.
    """
    if (gguf := options.gguf_file) is not None:
        with TemporaryDirectory(prefix="harness-gguf-") as alone:
            yield _of_file(options, gguf, Path(alone))
    else:
        yield _of_folder(options)


def own_weights(options: TransformersOptions) -> list[Path]:
    """The files of weights that are on this machine already; no network is asked for others."""
    found: list[Path] = []
    if (gguf := options.gguf_file) is not None:
        found.append(gguf.file)
    elif (root := local_folder(options.folder, options.revision, "model")) is not None:
        found += weight_files(options.inside(root), options.where)
    if options.adapter is not None:
        folder = local_folder(options.adapter, options.adapter_revision, "adapter")
        found += sorted(folder.glob("*.safetensors")) if folder is not None else []
    return found


def _of_folder(options: TransformersOptions) -> Source:
    code = options.trust_remote_code
    root = fetch_folder(
        options.folder, options.revision, "model", subfolder=options.subfolder, code=code
    )
    folder = options.inside(root)
    config = read_config(folder, options.where)
    weights = require_weights(folder, options.where)
    voice = _voice(options) or options.tokenizer_folder(root)
    adapter, theirs = _adapter(options)
    files = {"weights": weights, "config": companions(folder), "tokenizer": companions(voice)}
    notes = [*_adapter_beside(folder), *_other_weights(options, weights)]
    return Source(folder, voice, {**files, **theirs}, config, adapter, None, tuple(notes))


def _of_file(options: TransformersOptions, gguf: GgufFile, alone: Path) -> Source:
    """A GGUF file, linked into a folder where nothing else lies that transformers could read."""
    gguf.check()
    if options.sha256 is not None:
        gguf.require(options.sha256)
    (alone / _FILE).symlink_to(gguf.file.resolve())
    told = {"gguf_file": _FILE}
    voice = _voice(options)
    adapter, files = _adapter(options)
    notes = list(_other_weights(options, [gguf.file]))
    if voice is None:
        notes += gguf.doubts_of_tokenizer()
    else:
        files["tokenizer"] = companions(voice)
    files["weights"] = [alone / _FILE]
    return Source(
        alone, voice or alone, files, {}, adapter, gguf, tuple(notes), told, {} if voice else told
    )


def _voice(options: TransformersOptions) -> Path | None:
    """The folder of a tokenizer that is not the model's own."""
    if options.tokenizer is None:
        return None
    return fetch_folder(options.tokenizer, None, "tokenizer", code=options.trust_remote_code)


def _adapter(options: TransformersOptions) -> tuple[Path | None, dict[str, list[Path]]]:
    if options.adapter is None:
        return None, {}
    folder = fetch_folder(options.adapter, options.adapter_revision, "adapter")
    return folder, {"adapter": [*companions(folder), *sorted(folder.glob("*.safetensors"))]}


def _adapter_beside(folder: Path) -> Iterator[str]:
    if (folder / ADAPTER).is_file():
        yield (
            f"{folder} also holds an adapter ({ADAPTER}). It is left out: an adapter counts only"
            " where the task says adapter = …."
        )


def _other_weights(options: TransformersOptions, weights: Sequence[Path]) -> Iterator[str]:
    """Says that the weights are not those that the task was made with, where it tells."""
    if options.made_with is None or (found := weights_sha256(weights)) == options.made_with:
        return
    yield (
        f"its weights have the sha256 {found}; the task was made with {options.made_with}."
        " SAEs, adapters and expected numbers of the task belong to those: the preflight says"
        " whether its SAEs fit these, too."
    )
