"""Cross-layer transcoders of Gemma Scope 2: a file for each layer, of which one is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from harness.contract import SaeFacts
from harness.errors import ModelError, listed, suggestion
from harness_saes.core.checks import allowed, refuse_unknown, required_text, text, words, wrong
from harness_saes.core.config import Config
from harness_saes.core.layered import chosen_layer, partial_note
from harness_saes.core.stored import Entry, Inspected, Stored, check_layout, length
from harness_saes.files.configuration import read_json
from harness_saes.files.header import read_header
from harness_saes.files.hub_files import fetch
from harness_saes.files.places import FolderOptions
from harness_saes.formats.gemma_scope_2 import names
from harness_saes.formats.gemma_scope_2.config import CONFIG
from harness_saes.formats.gemma_scope_2.options import SKIP

_DEPTH = 3
"""Levels of folders in which transcoders are searched for."""
_FILE = re.compile(r"params_layer_(\d+)\.safetensors")
_KINDS = ("clt", "cross_layer_transcoder")
_DECIDING = words("architecture type width affine_connection hf_hook_point_in hf_hook_point_out")
_TELLING = words("model_name l0")
_HOOKS = {
    "hf_hook_point_in": "pre_feedforward_layernorm.output",
    "hf_hook_point_out": "post_feedforward_layernorm.output",
}
"""What all of them read and write, after `model.layers.…`."""
_LAYERS = re.compile(r"(?:\w+\.)*layers\.(?:\d+|\{[\d,\s]*\})\.(.+)")


@dataclass(frozen=True)
class CltInspected(Inspected):
    """What configuration and header say of one layer of a cross-layer transcoder."""

    layer: int
    present: tuple[str, ...]
    """The tensors that are read in whole."""


class GemmaScope2CltOptions(FolderOptions):
    """One layer of a cross-layer transcoder of Gemma Scope 2: `params_layer_N.safetensors`."""

    choice: ClassVar[str] = "id"
    usual: ClassVar[tuple[str, ...]] = ()
    id: str | None = None
    """Which one of the repository, by its folder: `clt/width_…`."""
    layer: int | None = Field(None, ge=0)
    """The layer whose latents are read, from 0."""
    neuronpedia: str | None = None
    """Its id on Neuronpedia."""

    @property
    def where(self) -> str:
        """How messages name this SAE."""
        return f"SAE {self.path}" + (f" {self.id}" if self.id else "")

    def names(self) -> tuple[str, ...]:
        """The layer's file; any layer's where the task names none."""
        return () if self.layer is None else (f"params_layer_{self.layer}.safetensors",)

    def patterns(self) -> list[str]:
        """The layer's file, and the configuration where there is one."""
        inside = f"{self.id}/" if self.id else ""
        return [f"{inside}{name}" for name in self.names()]

    def within(self, root: Path) -> Path:
        """The folder with the layers; ModelError where it has none, or there are several."""
        folder = root / self.id if self.id else root
        if layers_in(folder):
            return folder
        others = sorted({str(f.relative_to(root)) for f in folders(root) if f != root})
        if not others:
            what = "is a file" if folder.is_file() else "has no params_layer_0.safetensors"
            raise ModelError(
                f"{self.where}: {what}, nor that of any other layer. Expected a folder with a file "
                "for each layer."
            )
        if self.id is not None:
            raise ModelError(
                f"{self.path}: id {self.id!r} has no layer. Allowed: {listed(others)}."
                f"{suggestion(self.id, others)}"
            )
        raise self.several("cross-layer transcoders", others, "id")

    def describe(self) -> SaeFacts:
        """What the files say; what the path tells where they are not here."""
        place = self.found()
        return self.facts_by_name() if place is None else self.inspect(place).config.facts

    def found(self) -> Path | None:
        """The folder without a network; None where the layer's file of the hub is not cached."""
        place = super().found()
        if place is None or self._local() is not None or self.layer in layers_in(place):
            return place
        return None

    def fetched(self) -> Path:
        """The folder, with the layer's file and the configuration, downloaded where needed."""
        if (here := self.found()) is not None:
            return here
        self.facts_by_name()  # which says so where no layer is named
        inside = f"{self.id}/" if self.id else ""
        root = fetch(
            self.path, self.patterns(), self.revision, self.where, optional=[f"{inside}{CONFIG}"]
        )
        return self.within(root)

    def facts_by_name(self) -> SaeFacts:
        """Model and sites of a layer that is not here."""
        if self.layer is None:
            raise ModelError(
                f"{self.where}: a cross-layer transcoder has latents for every layer. Choose one: "
                "layer = its number, from 0."
            )
        model = names.read_names(f"{self.path}/").model
        return SaeFacts("jumprelu", model=model, partial=True, **_sites(self.layer, self.where))

    def inspect(self, place: Path) -> CltInspected:
        """What configuration and header say; ModelError where they disagree."""
        known = layers_in(place)
        layer = chosen_layer(self.layer, known, self.where, kind="a cross-layer transcoder")
        file = place / f"params_layer_{layer}.safetensors"
        found, where = read_header(file), str(file)
        d, n = length(found, "b_dec", where), length(found, "b_enc", where)
        shape = found.get("w_dec", Stored("F32", ())).shape
        layers = shape[1] if len(shape) == 3 else max(known) + 1
        if layer >= layers or max(known) >= layers:
            raise ModelError(
                f"{where}: w_dec writes into {layers} blocks, and there is a file of layer "
                f"{max(known)}. Expected one block for each layer. Copy all files again."
            )
        layout = {
            "w_enc": Entry((d, n), "W_enc"),
            "w_dec": Entry((n, layers, d)),
            "b_enc": Entry((n,), "b_enc"),
            "b_dec": Entry((d,), "b_dec"),
            "threshold": Entry((n,), "threshold"),
            SKIP: Entry((d, d), "W_skip", turned=True, optional=True),
        }
        check_layout(found, layout, where, f"{d} numbers in b_dec, {n} in b_enc, {layers} blocks")
        model = self._model(place, SKIP in found)
        config = Config(
            "jumprelu",
            d,
            n,
            d_out=d,
            apply_b_dec_to_input=False,
            model=model,
            neuronpedia=self.neuronpedia,
            partial=True,
            blocks=layers,
            notes=(partial_note(layer, layers),),
            **_sites(layer, self.where),
        )
        present = tuple(name for name, entry in layout.items() if entry.name and name in found)
        return CltInspected(file, config, layout, layer, present)

    def _model(self, place: Path, affine: bool) -> str | None:
        """The model, from a configuration that must fit, or from the path where there is none."""
        file = place / CONFIG
        if not file.is_file():
            path = self.path if self._local() is None else place.absolute().as_posix()
            return names.read_names(f"{path}/").model
        data, where = read_json(file), str(file)
        refuse_unknown(data, _DECIDING, _TELLING, where)
        if "type" in data and data["type"] not in _KINDS:
            raise wrong(where, "type", data["type"], ", ".join(_KINDS))
        allowed(data, "architecture", "jump_relu", ("jump_relu",), where)
        for key, expected in _HOOKS.items():
            hook = required_text(data, key, where)
            match = _LAYERS.fullmatch(hook)
            if match is None or match[1] != expected:
                raise wrong(where, key, hook, f"model.layers.{{0,1,…}}.{expected}")
        if allowed(data, "affine_connection", affine, (True, False), where) != affine:
            raise ModelError(
                f"{where}: affine_connection is {str(not affine).lower()}, but the files have "
                f"{'a' if affine else 'no'} tensor {SKIP}. They must agree: copy all files again."
            )
        told = text(data, "model_name", where)
        return names.model_named(told) if told else None

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether `path` is a folder of layers that write into several, and no crosscoder's."""
        return any(cls.recognises(folder) for folder in folders(Path(path)))

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether it is called such, or else writes into several layers and is no crosscoder.

        A folder whose configuration cannot be read is the crosscoders', which must have one.
        """
        try:
            told = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
        except ModelError:
            return False
        if told.get("type") in ("crosscoder", *_KINDS):
            return told["type"] != "crosscoder"
        try:
            header = read_header(folder / f"params_layer_{layers_in(folder)[0]}.safetensors")
        except ModelError:
            return True
        return len(header.get("w_dec", Stored("F32", ())).shape) == 3


def layers_in(folder: Path) -> list[int]:
    """The numbers of the layers whose files are in a folder, in order."""
    found = (_FILE.fullmatch(file.name) for file in folder.glob("params_layer_*.safetensors"))
    return sorted(int(match[1]) for match in found if match)


def folders(root: Path) -> list[Path]:
    """The folders with layers, at or below a place, down to a few levels."""
    levels = range(_DEPTH + 1)
    files = (f for depth in levels for f in root.glob("*/" * depth + "params_layer_*.safetensors"))
    return sorted({file.parent for file in files if _FILE.fullmatch(file.name)})


def _sites(layer: int, where: str) -> dict[str, Any]:
    """Where a layer reads, and the first of the places that it writes to."""
    places = [names.site_of(f"model.layers.{layer}.{end}", where) for end in _HOOKS.values()]
    return dict(zip(("site", "site_out"), places, strict=True))
