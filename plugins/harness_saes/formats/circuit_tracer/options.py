"""circuit-tracer: its options, and what configuration and headers say of one layer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from harness.contract import Needs, SaeFacts
from harness.errors import ModelError, listed
from harness_saes.core.checks import wrong
from harness_saes.core.config import Config
from harness_saes.core.hooks import Read, Through, norm_of, read_hook, written_hook
from harness_saes.core.layered import chosen_layer, partial_note
from harness_saes.core.stored import Entry, Inspected, check_layout
from harness_saes.files.header import read_header
from harness_saes.files.hub_files import cached, fetch
from harness_saes.files.places import FolderOptions
from harness_saes.files.yaml_file import read_yaml
from harness_saes.formats.circuit_tracer.layouts import (
    encoder_layout,
    header_of,
    reach_of,
    set_layout,
)
from harness_saes.formats.circuit_tracer.settings import (
    CONFIG,
    CROSS,
    SET,
    HubFile,
    Settings,
    on_hub,
    read_settings,
)

_LAYER = re.compile(r"(?:layer|W_enc)_(\d+)\.safetensors")


@dataclass(frozen=True)
class CircuitTracerInspected(Inspected):
    """What the files say of one layer; of a cross-layer one, where its decoder is, too."""

    decoder: tuple[Path, str] | None = None
    """The file and the tensor `[latents, blocks, width]` of a cross-layer decoder."""


class CircuitTracerOptions(FolderOptions):
    """One layer of a circuit-tracer folder: `config.yaml`, and the weights of every layer."""

    choice: ClassVar[str] = "folder"
    usual: ClassVar[tuple[str, ...]] = (CONFIG,)
    folder: str | None = None
    """The folder in a repository with several."""
    layer: int | None = Field(None, ge=0)
    """The layer whose latents are read, from 0."""
    norm: Literal["rms", "layer"] | None = None
    """The kind of norm that the model has before its MLP: needed where encoders read it before its
    gain (`ln2.hook_normalized`) and the model is no Gemma 2 or 3."""
    norm_epsilon: float | None = Field(None, ge=0)
    """What that norm adds to the mean square, as the model's configuration says."""
    neuronpedia: str | None = None
    """Its id on Neuronpedia."""

    @model_validator(mode="after")
    def _whole_norm(self) -> CircuitTracerOptions:
        if (self.norm is None) != (self.norm_epsilon is None):
            raise ValueError("norm and norm_epsilon belong together; write both, or neither")
        return self

    @property
    def where(self) -> str:
        """How messages name this SAE."""
        return f"SAE {self.path}" + (f" {self.folder}" if self.folder else "")

    def describe(self) -> SaeFacts:
        """What configuration and headers say; where the weights are not here, the former alone."""
        place = self.found()
        if place is None:
            return SaeFacts()
        settings = read_settings(place / CONFIG)
        layer = self.number(settings, place)
        if self.weights(settings, place, layer) is None:
            known = self._config(settings, place, layer, 0, 0, "").facts
            return replace(known, architecture=None, d_in=None, d_sae=None)
        return self.inspect(place).config.facts

    def needs(self) -> Needs:
        """What is to be downloaded, None if all is here."""
        place, needs = self.found(), super().needs()
        if place is None:
            return needs
        settings = read_settings(place / CONFIG)
        here = self.weights(settings, place, self.number(settings, place)) is not None
        return Needs(None if here else self.path, number_bytes=needs.number_bytes)

    def fetched(self) -> Path:
        """The folder, with the weights of the layer, downloaded where needed."""
        place = super().fetched()
        settings = read_settings(place / CONFIG)
        layer = self.number(settings, place)
        if self.weights(settings, place, layer) is not None:
            return place
        found = self._named(settings, place, layer)
        if isinstance(found, HubFile):
            fetch(found.repository, [found.file], found.revision, self.where)
            return place
        inside = f"{self.folder}/" if self.folder else ""
        names = [f"{inside}{file.name}" for file in found]
        root = fetch(self.path, names, self.revision, self.where)
        return root / (self.folder or "")

    def number(self, settings: Settings, place: Path) -> int:
        """The layer that is read; ModelError where the task names none or one that is not there."""
        kind = "a cross-layer transcoder" if settings.cross_layer else "a set of transcoders"
        if settings.entries is not None:
            known = list(range(len(settings.entries)))
        elif self._local() is None:
            if self.layer is None:
                raise ModelError(
                    f"{self.where}: holds a transcoder for every layer. Choose one: layer = its "
                    "number, from 0."
                )
            return self.layer
        else:
            start = "W_enc" if settings.cross_layer else "layer"
            found = (_LAYER.fullmatch(f.name) for f in place.glob(f"{start}_*.safetensors"))
            known = sorted(int(match[1]) for match in found if match)
            if not known:
                raise ModelError(
                    f"{self.where}: has no {start}_0.safetensors, nor that of any other layer. "
                    f"Expected a file for each layer beside {CONFIG}. Copy them there."
                )
        return chosen_layer(self.layer, known, self.where, kind=kind)

    def weights(self, settings: Settings, place: Path, layer: int) -> tuple[Path, ...] | None:
        """The layer's files; None where the hub's are not here, ModelError where local ones aren't.

        A set has one, a cross-layer transcoder that of the encoder and that of the decoder.
        """
        found = self._named(settings, place, layer)
        if isinstance(found, HubFile):
            snapshot = cached(found.repository, found.revision)
            file = snapshot / found.file if snapshot is not None else None
            return (file,) if file is not None and file.is_file() else None
        missing = [file.name for file in found if not file.is_file()]
        if not missing:
            return found
        if self._local() is None and settings.entries is None:
            return None
        raise ModelError(
            f"{self.where}: {CONFIG} is there, and {listed(missing)} of layer {layer} is not. "
            "Expected the files of that layer. Copy them there, or choose another layer."
        )

    def inspect(self, place: Path) -> CircuitTracerInspected:
        """What configuration and headers say of the layer; ModelError where they disagree."""
        settings = read_settings(place / CONFIG)
        layer = self.number(settings, place)
        files = self.weights(settings, place, layer)
        if files is None:
            raise ModelError(f"{self.where}: the weights of layer {layer} are not here.")
        if settings.cross_layer:
            return self._cross(settings, place, layer, files)
        file, where = files[0], str(files[0])
        found = header_of(file)
        layout, d, n = set_layout(found, file.suffix == ".npz", where)
        check_layout(found, layout, where, f"{d} numbers in b_dec and {n} in b_enc")
        held = {entry.name for name, entry in layout.items() if name in found}
        architecture = "skip_transcoder" if "W_skip" in held else "transcoder"
        if "threshold" in held:
            architecture = f"jumprelu_{architecture}"
        config = self._config(settings, place, layer, d, n, architecture)
        return CircuitTracerInspected(file, config, layout)

    def _cross(
        self, settings: Settings, place: Path, layer: int, files: tuple[Path, ...]
    ) -> CircuitTracerInspected:
        """One layer of a cross-layer transcoder."""
        (encoder, decoder), name = files, f"W_dec_{layer}"
        found, where = read_header(encoder), str(encoder)
        layout, d, n = encoder_layout(found, layer, where)
        what = f"{d} numbers in b_dec_{layer} and {n} in b_enc_{layer}"
        check_layout(found, layout, where, what)
        header = read_header(decoder)
        reach = reach_of(header, name, str(decoder))
        check_layout(header, {name: Entry((n, reach, d))}, str(decoder), what)
        jumps = f"threshold_{layer}" in found
        config = self._config(
            settings, place, layer, d, n, "jumprelu_transcoder" if jumps else "transcoder",
        )  # fmt: skip
        blocks = layer + reach
        config = replace(config, blocks=blocks, notes=(partial_note(layer, blocks),))
        return CircuitTracerInspected(encoder, config, layout, (decoder, name))

    def _named(self, settings: Settings, place: Path, layer: int) -> tuple[Path, ...] | HubFile:
        """Where the layer's weights ought to be."""
        if settings.entries is not None:
            entry, where = settings.entries[layer], str(place / CONFIG)
            if (file := on_hub(entry, where)) is not None:
                return file
            path = Path(entry).expanduser()
            if self._local() is None and (path.is_absolute() or ".." in path.parts):
                raise wrong(where, "transcoders", entry, "hf://…, or a file of the repository")
            return (place / path,)
        names = ("W_enc", "W_dec") if settings.cross_layer else ("layer",)
        return tuple(place / f"{name}_{layer}.safetensors" for name in names)

    def _config(
        self, settings: Settings, place: Path, layer: int, d: int, n: int, architecture: str
    ) -> Config:
        where = str(place / CONFIG)
        stated = None
        if self.norm is not None and self.norm_epsilon is not None:
            stated = Through(self.norm, self.norm_epsilon)
        read: Read = read_hook(
            f"blocks.{layer}.{settings.reads}", stated or norm_of(settings.model), where
        )
        return Config(
            architecture=architecture,
            d_in=d,
            d_sae=n,
            d_out=d,
            apply_b_dec_to_input=False,
            site=read.site,
            site_out=written_hook(f"blocks.{layer}.{settings.writes}", where),
            model=settings.model,
            neuronpedia=self.neuronpedia,
            partial=settings.cross_layer,
            norm=read.through.norm if read.through else None,
            norm_epsilon=read.through.epsilon if read.through else 0.0,
        )

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the configuration is circuit-tracer's: it says which kind of model it is."""
        try:
            return read_yaml(folder / CONFIG).get("model_kind") in (SET, CROSS)
        except ModelError:
            return any(_LAYER.fullmatch(file.name) for file in folder.glob("*.safetensors"))
