"""Options of the SAE format, and the facts that files tell without reading a weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from harness.contract import Location, Needs, PublishedSae, SaeFacts, SaeOptions
from harness.errors import ModelError, listed
from harness_saes.cards import stated
from harness_saes.core.config import Config
from harness_saes.files.configuration import read_json
from harness_saes.files.header import read_header
from harness_saes.formats.saelens.config import parse_config
from harness_saes.formats.saelens.tensors import check_tensors

if TYPE_CHECKING:
    from harness_saes.formats.saelens.kinds import Reading

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
SCALER = "activation_scaler.json"
"""Beside checkpoints of a training run: the factor that is not folded into them yet."""
_SHOWN = 5


class SaelensOptions(SaeOptions):
    """An SAE in the form of SAELens: a local folder, or a release on the hub."""

    path: Location | None = None
    """A folder with cfg.json and sae_weights.safetensors."""
    release: str | None = None
    """A release that sae_lens lists, or a hub repository (owner/name)."""
    id: str | None = None
    """The SAE's id in that release, such as `blocks.8.hook_resid_pre`."""
    revision: str | None = None
    """Branch, tag or commit of the release's repository."""
    dtype: Literal["float32", "float64"] = "float32"
    """Numbers to compute in, however the weights are stored: half precision is not offered,
    because it changes which latents are active."""

    @model_validator(mode="after")
    def _one_place(self) -> SaelensOptions:
        if self.path is not None:
            for name in ("release", "id", "revision"):
                if getattr(self, name) is not None:
                    raise ValueError(f"path and {name} exclude each other; give one place")
        elif self.release is None or self.id is None:
            raise ValueError("path is missing; give a folder, or a release with the SAE's id")
        return self

    @property
    def where(self) -> str:
        """How messages name this SAE."""
        return f"SAE {self.path or f'{self.release} {self.id}'}"

    def folder(self) -> Path | None:
        """The local folder, with both files; None for a release. ModelError says what is wrong."""
        if self.path is None:
            return None
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "no such folder"
            raise ModelError(
                f"{self.where}: {what}. Expected a folder with {CONFIG} and {WEIGHTS}. "
                "An SAE on the hub is named by release and id."
            )
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise ModelError(
                    f"{self.where}: has no {name}. Expected a folder with {CONFIG} and {WEIGHTS}."
                    f"{_inside(folder)}"
                )
        return folder

    def describe(self) -> SaeFacts:
        """Facts from cfg.json, and whether the weights' header fits it; of a release what the list
        of sae_lens and names tell, without importing it. ModelError for one that is not listed."""
        folder = self.folder()
        if folder is not None:
            return inspected(folder).facts
        listed = self.listed()
        return listed.facts if listed else SaeFacts()

    def listed(self) -> Reading | None:
        """How an SAE of a release is read, with what its card says; None of one that no list has.

        ModelError for a release, or an id of one, that is not (or no longer) listed.
        """
        # The options of all formats that read files of the list take a fifth of a second to import.
        from harness_saes.formats.saelens.kinds import known

        found = known(str(self.release), str(self.id), self.where)
        if found is None:
            return None
        release, reading = found
        facts = replace(reading.facts, not_trained_on=stated(release.repository))
        return replace(reading, facts=facts)

    def needs(self) -> Needs:
        """The release, as if it had to be downloaded: only sae_lens knows whether it is cached."""
        bytes_ = 8 if self.dtype == "float64" else 4
        return Needs(None if self.path else f"{self.release} {self.id}", number_bytes=bytes_)

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether `path` is a folder with both files."""
        folder = Path(path)
        return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()

    @classmethod
    def published(cls, is_model: Callable[[str], bool]) -> Sequence[PublishedSae]:
        """Those of the residual stream in the list that comes with sae_lens."""
        from harness_saes.formats.saelens.published import published

        return published(is_model)


def inspected(folder: Path) -> Config:
    """What cfg.json says; ModelError where the header of the weights does not fit it."""
    file, weights = folder / CONFIG, folder / WEIGHTS
    config = parse_config(read_json(file), str(file))
    check_tensors(read_header(weights), config, str(weights))
    return config


def _inside(folder: Path) -> str:
    """A sentence that lists the SAEs one or two levels below a folder, if there are any."""
    found = [file for depth in ("*", "*/*") for file in folder.glob(f"{depth}/{WEIGHTS}")]
    if not found:
        return ""
    names = (str(file.parent.relative_to(folder)) for file in found)
    return f" It holds {listed(names, _SHOWN)}: give the path of one."
