"""A single file of tensors: which of them is what, and by which rule they compute, as a task says.

For an SAE whose publisher has no format of its own. Nothing is guessed: what shapes do not tell,
the task has to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from harness.contract import SaeFacts, SiteName, parse_site
from harness.errors import ModelError, listed, suggestion
from harness.text import for_terminal
from harness_saes.core.config import Config, Normalize
from harness_saes.core.stored import Entry, Inspected, Layout, Stored, check_layout, shapes_of
from harness_saes.files.places import FileOptions
from harness_saes.files.pt_file import Contents
from harness_saes.files.tensor_file import SUFFIXES, read_contents
from harness_saes.formats.tensors.widths import DecoderFirst, EncoderFirst, Shape, Widths, widths

_NAMED = {
    "encoder": "W_enc",
    "encoder_bias": "b_enc",
    "decoder": "W_dec",
    "decoder_bias": "b_dec",
    "threshold": "threshold",
    "gate_bias": "b_gate",
    "magnitude_bias": "b_mag",
    "magnitude_scale": "r_mag",
}
"""What `LinearSae` calls the tensor that a key names."""
_ARCHITECTURES = {"relu": "standard"}
"""Of activations that are called otherwise there."""
_TAKES: Mapping[str, tuple[str, ...]] = {
    "relu": (),
    "topk": ("k",),
    "abstopk": ("k",),
    "batchtopk": ("threshold",),
    "jumprelu": ("threshold",),
    "gated": ("gate_bias", "magnitude_bias", "magnitude_scale"),
}
"""The keys that an activation needs; with every other activation they have no meaning."""
_SHOWN = 12


class TensorsOptions(FileOptions):
    """An SAE or transcoder in any single file of tensors: `.safetensors`, `.npz`, `.pt`, `.pth`.

    The task names the tensors and states the rule; see `harness_saes.formats.tensors.load`.
    """

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    encoder: str
    """The name of the encoder's matrix in the file; keys of nested objects are joined by dots."""
    decoder: str
    """The name of the decoder's matrix; the encoder's again for tied weights."""
    encoder_bias: str | None = None
    """The name of b_enc, one number for each latent; without it, 0."""
    decoder_bias: str | None = None
    """The name of b_dec; without it, 0."""
    subtract_decoder_bias: bool | None = None
    """Whether the encoder reads x − b_dec, or x. Has to be said where an SAE has a b_dec."""
    activation: Literal["relu", "topk", "abstopk", "batchtopk", "jumprelu", "gated"]
    """What decides which latents are active: above 0, the k largest (by size: `abstopk`), those
    above one threshold for all (`batchtopk`) or above one for each (`jumprelu`), or a gate."""
    k: int | None = Field(None, ge=1)
    """Latents per token of `topk` and `abstopk`."""
    threshold: float | str | None = None
    """Of `batchtopk` and `jumprelu`, a number, or the name of a tensor with one number or one for
    each latent; held against the pre-activation."""
    threshold_is_log: bool = False
    """Whether that tensor holds logarithms of thresholds."""
    gate_bias: str | None = None
    """Of `gated`: the name of the bias on the path that decides what is active."""
    magnitude_bias: str | None = None
    """Of `gated`: the name of the bias on the path that decides how active it is."""
    magnitude_scale: str | None = None
    """Of `gated`: the name of the logarithm of what magnitudes are multiplied with (r_mag)."""
    encoder_first: EncoderFirst | None = None
    """What the first axis of the encoder counts; by its shape where that tells."""
    decoder_first: DecoderFirst | None = None
    """What the first axis of the decoder counts; by its shape where that tells."""
    decoder_rows: Literal["stored", "into_latents", "unit"] = "stored"
    """Whether the decoder's rows are used as they are; made length 1 and pre-activations
    multiplied by their former lengths, before anything is selected; or only made length 1."""
    normalize: Literal["none", "constant_norm_rescale", "layer_norm"] = "none"
    """How each token is scaled before it is encoded, and back: to length √d_in, or to mean 0 and
    standard deviation 1."""
    input_scale: float = Field(1.0, gt=0)
    """What activations are multiplied with before they are encoded, such as √d_in / mean‖x‖; a
    reconstruction is divided by it. After `normalize`."""
    site_out: SiteName | None = None
    """Where a transcoder writes; without it, an SAE, which writes where it reads."""

    @field_validator("threshold", mode="before")
    @classmethod
    def _no_truth(cls, value: object) -> object:
        if isinstance(value, bool):  # which would count as 1
            raise ValueError("must be a number, or the name of a tensor")
        return value

    @model_validator(mode="after")
    def _whole_rule(self) -> TensorsOptions:
        for needing, keys in _TAKES.items():
            for key in keys:
                given, needed = getattr(self, key) is not None, key in _TAKES[self.activation]
                if needing == self.activation and not given:
                    raise ValueError(f'{key} is missing; activation "{needing}" needs it')
                if given and not needed:
                    users = [name for name, takes in _TAKES.items() if key in takes]
                    raise ValueError(
                        f'{key} has no meaning with activation "{self.activation}". Allowed with '
                        f"{listed(users)}. Remove it, or change the activation"
                    )
        if self.activation == "gated" and (self.encoder_bias or self.decoder_rows != "stored"):
            raise ValueError(
                "encoder_bias and decoder_rows have no meaning with activation gated, whose two "
                "paths have biases of their own. Remove them"
            )
        if self.threshold_is_log and not isinstance(self.threshold, str):
            raise ValueError("threshold_is_log has no meaning without a tensor. Remove it")
        return self._bias_is_clear()

    def _bias_is_clear(self) -> TensorsOptions:
        if self.site_out is not None or self.decoder_bias is None:
            if self.subtract_decoder_bias:
                what = "a transcoder" if self.site_out else "an SAE without decoder_bias"
                raise ValueError(
                    f"subtract_decoder_bias is true, and {what} has nothing to subtract. Remove it"
                )
        elif self.subtract_decoder_bias is None:
            raise ValueError(
                "subtract_decoder_bias is missing; true where the encoder reads x − b_dec, false "
                "where it reads x. The numbers hang on it"
            )
        return self

    def inspect(self, place: Path) -> Named:
        """Which tensors of the file are what; ModelError where a name or a shape is not right."""
        where, contents = str(place), read_contents(place)
        called = self._called(contents, where)
        shapes = {ours: contents.tensors[name].shape for ours, name in called.items()}
        found = widths(
            shapes,
            self.encoder_first,
            self.decoder_first,
            transcodes=self.site_out is not None,
            where=where,
            called=called,
        )
        if self.site_out is None and found.d_out != found.d_in:
            raise ModelError(
                f"{where}: {called['W_enc']} reads {found.d_in} numbers per token and "
                f"{called['W_dec']} writes {found.d_out}. Expected the same of an SAE. Name other "
                "tensors, or say where a transcoder writes (site_out)."
            )
        layout = _layout(called, shapes, found)
        _check(contents.tensors, layout, where, found)
        if self.k is not None and self.k > found.d_sae:
            raise ModelError(f"{where}: k is {self.k}. Allowed: 1 to {found.d_sae}, its latents.")
        return Named(place, self._config(found, contents, called), layout, called, found.turned)

    def facts_by_name(self) -> SaeFacts:
        """What the task itself says."""
        out = parse_site(self.site_out) if self.site_out else None
        return SaeFacts(architecture=self._architecture, site_out=out)

    @classmethod
    def recognises(cls, file: Path) -> bool:
        """Whether it may be the file of a folder, by its name."""
        return file.suffix in cls.suffixes

    @classmethod
    def claims(cls, path: str) -> bool:
        """Never: no file says by which rule it is meant."""
        return False

    @property
    def _architecture(self) -> str:
        return _ARCHITECTURES.get(self.activation, self.activation)

    def _called(self, contents: Contents, where: str) -> dict[str, str]:
        """The names in the file, by those of `LinearSae`; each is there."""
        written = {key: getattr(self, key) for key in _NAMED}
        called = {key: name for key, name in written.items() if isinstance(name, str)}
        for key, name in called.items():
            if name not in contents.tensors:
                raise ModelError(_absent(key, name, contents, where))
        return {_NAMED[key]: name for key, name in called.items()}

    def _config(self, found: Widths, contents: Contents, called: Mapping[str, str]) -> Config:
        normalize: Normalize = self.normalize
        transcodes = self.site_out is not None
        return Config(
            architecture=self._architecture,
            d_in=found.d_in,
            d_sae=found.d_sae,
            d_out=found.d_out if transcodes else None,
            k=self.k,
            apply_b_dec_to_input=bool(self.subtract_decoder_bias),
            normalize=normalize,
            site_out=parse_site(self.site_out) if self.site_out else None,
            notes=_unused(contents, set(called.values())),
        )


@dataclass(frozen=True)
class Named(Inspected):
    """What the task and a file say together, before a weight is read."""

    called: Mapping[str, str]
    """The names in the file by those of `LinearSae`; two of them may be one tensor."""
    turned: frozenset[str]
    """Of the names of `LinearSae`, those that the file has transposed."""


def _layout(called: Mapping[str, str], shapes: Mapping[str, Shape], found: Widths) -> Layout:
    """What each tensor that is named has to look like; one threshold may stand for all latents."""
    expected = shapes_of(found.d_in, found.d_sae, found.d_out)
    layout = {}
    for ours, name in called.items():
        shape, turned = expected[ours], ours in found.turned
        if ours == "threshold" and shapes[ours] in ((), (1,)):
            shape = shapes[ours]
        layout[name] = Entry(shape[::-1] if turned else shape, ours, turned=turned)
    return layout


def _check(
    tensors: Mapping[str, Stored], layout: Mapping[str, Entry], where: str, found: Widths
) -> None:
    named = {name: tensors[name] for name in layout}
    what = f"d_in {found.d_in}, {found.d_sae} latents"
    check_layout(named, layout, where, what)


def _absent(key: str, name: str, contents: Contents, where: str) -> str:
    """The message for a tensor that is not there: what is, with shapes."""
    tensors = contents.tensors
    if name in contents.plain:
        what = f"{name!r}, which {key} names, is no tensor but a plain value"
    else:
        what = f"has no tensor {for_terminal(name, 80)!r}, which {key} names"
    shown = [f"{one} {list(stored.shape)}" for one, stored in sorted(tensors.items())]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    have = for_terminal(", ".join(shown[:_SHOWN]) or "no tensor", 1000)
    return f"{where}: {what}. It holds {have}{more}.{suggestion(name[:80], tensors)}"


def _unused(contents: Contents, used: set[str]) -> tuple[str, ...]:
    """A note on what the file holds beside the tensors that are named, which could matter."""
    left = (contents.tensors.keys() | contents.plain.keys()) - used
    if not left:
        return ()
    return (f"its file also holds {listed(left)}, which the task names for nothing: not used.",)
