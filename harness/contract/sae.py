"""SAE formats: what loads a sparse autoencoder (SAE), and what every SAE can do.

`harness check` and `plan` ask `SaeOptions` what is known without reading a weight. `eval` builds
the `SaeFormat`, which loads the `Sae`; transcoders are SAEs that write elsewhere than they read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from harness.contract.backend import Needs
from harness.contract.options import Options

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from harness.contract.latents import Latents
    from harness.contract.sites import Site


@dataclass(frozen=True)
class SaeInput:
    """One of the activations that an SAE of a pair, or of several sites, reads of each token."""

    side: Literal["left", "right"] | None = None
    """Which side of a pair; None where all inputs are of one model."""
    site: Site | None = None
    """Where in that model. None for an SAE of a pair, which reads the same site of both
    (`SaeFacts.site`, or what the task says)."""
    width: int | None = None
    """How many numbers it has."""


@dataclass(frozen=True)
class TokensLeftOut:
    """Which tokens of a text an SAE never saw in training, as its publisher or its files say.

    Where a task reads such tokens all the same, `harness check`, `plan` and the run say so: the
    SAE has no features for them, and one attention sink can decide a number.
    """

    said_by: str
    """Where that stands: the address of a model card, or a key and its file."""
    skip_first: int = 0
    """So many tokens at the beginning of each text."""
    max_norm_ratio: float | None = None
    """Tokens longer than so many times the median length, of their batch as a rule."""


@dataclass(frozen=True)
class SaeFacts:
    """What is known of an SAE; each field is None where it is not.

    Options describe it from configuration and headers; a loaded SAE knows at least its widths.
    """

    architecture: str | None = None
    """Its activation function by the name that its source gives it: `topk`, `jumprelu`, …"""
    d_in: int | None = None
    """Width of the activations that it reads."""
    d_sae: int | None = None
    """Number of latents."""
    site: Site | None = None
    """Where it reads, as its files tell; the task may say it where they do not."""
    site_out: Site | None = None
    """Where a transcoder writes; None for an SAE that reconstructs what it reads."""
    signed: bool = False
    """Whether latents may be negative; a negative one then counts as active."""
    needs_sequence: bool = False
    """Whether a token's latents depend on the tokens before it: `encode` is then given all tokens
    of one document at a time, in order."""
    model: str | None = None
    """The model that it was trained on, as its files name it."""
    neuronpedia: str | None = None
    """Its id at Neuronpedia, `model/layer-source`, where labels can be looked up."""
    place: str | None = None
    """Where it reads, in the words of its files, where that is no site."""
    inputs: tuple[SaeInput, ...] = ()
    """What it reads where that is more than one site of one model: both sides of a pair, or
    several sites. `d_in` is then the width of what they are joined to, which `encode` is given and
    `reconstruct` and `rows` give back. Empty for every other SAE."""
    join: Literal["concatenated", "difference"] = "concatenated"
    """How inputs are joined: one after the other in their order, or the second minus the first."""
    scales: tuple[float, ...] | None = None
    """By input, what it is multiplied with before it is encoded: one number for all tokens. A row
    of the decoder in the units of the activations, times this, is the row that was trained. None
    where that is not known, as before loading."""
    one_sided: bool = False
    """Whether each latent writes to one input alone, so that the lengths of its decoder rows on
    both sides of a pair cannot be compared."""
    shifts: tuple[tuple[float, ...], ...] | None = None
    """By input, what is taken from it before it is multiplied with `scales`, such as the mean of
    the text that it was trained on. None where nothing is, or where that is not known."""
    partial: bool = False
    """Whether its latents are only some of those that write to `site_out`, as those of one layer of
    a cross-layer transcoder are: other layers' write there, too, and these write elsewhere as well.
    `rows` and `reconstruct` are then this part alone, and nothing is compared with it."""
    not_trained_on: TokensLeftOut | None = None
    """Which tokens it was not trained on, where its card or its files say so."""
    blocks: int | None = None
    """Of one layer of a cross-layer transcoder, how many blocks the whole of it reads and writes:
    no fewer has the model that it was trained on."""

    @property
    def of_pair(self) -> bool:
        """Whether it reads both sides of a pair at once."""
        return any(one.side is not None for one in self.inputs)

    def columns(self) -> tuple[slice, ...]:
        """Where each input stands in what is joined, in order; none where a width is unknown.

        Of a difference each input has all columns.
        """
        widths = [one.width for one in self.inputs]
        if self.join == "difference":
            return tuple(slice(0, width) for width in widths)
        known = [width for width in widths if width is not None]
        if len(known) < len(widths):
            return ()
        return tuple(slice(sum(known[:i]), sum(known[: i + 1])) for i in range(len(known)))


@dataclass(frozen=True)
class PublishedSae:
    """An SAE that a format knows where to get, such as one of a release on the hub."""

    release: str
    """The collection that it belongs to, as its publisher names it."""
    keys: Mapping[str, str]
    """What a task writes in `[saes.NAME]` to get it, beside `format`, `site` and `model`."""
    facts: SaeFacts
    """What is known of it without a download; `site` always is."""
    width: int | None = None
    """About how many latents it has, by its name; None where no name tells."""


class SaeOptions(Options):
    """Base of an SAE format's options. Its methods read local files alone and import no torch."""

    def describe(self) -> SaeFacts:
        """The facts of the SAE, from its configuration and the headers of its weights.

        Called by every command that reads a task. What no local file tells stays None; the task
        may state it (`expect`, `site`). ModelError where a file is there and wrong.
        """
        return SaeFacts()

    def needs(self) -> Needs:
        """What loading it takes. Called by `harness plan`, after `describe`."""
        return Needs()

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether the local folder or file `path` is in this format.

        Called for a table of `[saes]` that names no format: all formats are asked, and exactly one
        must say yes. So look at what is in the files; raise nothing.
        """
        return False

    @classmethod
    def published(cls, is_model: Callable[[str], bool]) -> Sequence[PublishedSae]:
        """The SAEs that can be had for a model, of which `is_model` knows the names.

        Called by `harness diff` where nobody names an SAE. Reads local files alone, asks no
        server, and raises nothing: a format without a list knows of none.
        """
        return ()


@runtime_checkable
class Sae(Protocol):
    """A loaded sparse autoencoder.

    Tokens do not influence each other, unless `facts.needs_sequence`. It keeps nothing between two
    calls and modifies nothing that it is given.
    """

    facts: SaeFacts
    """`d_in` and `d_sae` are known; what the options described is the same here."""
    fingerprint: str
    """A hash of its weights and of how they are used: what a run keeps is used again only where it
    is the same."""
    notes: tuple[str, ...]
    """What a reader of the numbers should know of how it was loaded; shown as warnings."""

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """The latents of activations as the model has them: float32, not normalized.

        What `reconstruct` needs beside the latents, such as a norm, goes into `Latents.context`.
        """

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂: what the latents stand for, as the model would have it (unit and scale of x)."""

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_out"]:
        """The decoder's rows of some latents, in the scale of x.

        x̂ of some latents minus x̂ of none is Σ value · row; times one positive number for each
        token where the SAE scales its input by token.
        """


@runtime_checkable
class Calibrated(Protocol):
    """What an `Sae` has besides where its files leave open how its input is scaled.

    The core calls it once, before any number is made, where the task has `[preflight]`.
    """

    def calibrated(
        self, x: Float[Tensor, "tokens d_in"], target: Float[Tensor, "tokens d_out"] | None = None
    ) -> Sae:
        """The SAE in the scaling that reconstructs best; one of its notes says which that is.

        `x` are activations of the model that it was trained on, on the preflight's data: of one
        whole document with `needs_sequence`, of many otherwise. `target` is what it should
        reconstruct, for a transcoder; None means x itself.
        """


@runtime_checkable
class SaeFormat(Protocol):
    """Loads an SAE. Built as `Class(options)` from `SaeOptions`."""

    def load(self, device: str) -> Sae:
        """The SAE on a device. Called once in a run, when it is first needed.

        Opens no pickle. ModelError says which file, tensor or key is missing or wrong, and what to
        do.
        """
