"""SAE formats: what loads a sparse autoencoder, and the SAE that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.contract.backend import Needs
from harness.contract.options import Options
from harness.contract.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from harness.contract.latents import Latents


@dataclass(frozen=True)
class SaeFacts:
    """What is known of an SAE from its configuration and headers alone; None where it is not."""

    architecture: str | None = None
    d_in: int | None = None
    d_sae: int | None = None
    site: Site | None = None
    site_out: Site | None = None
    signed: bool = False
    """Whether negative values count as active."""
    needs_sequence: bool = False
    model: str | None = None
    neuronpedia: str | None = None


class SaeOptions(Options):
    """Options of an SAE format."""

    def describe(self) -> SaeFacts:
        """Facts without reading a weight; fields stay None where nothing local tells them."""
        return SaeFacts()

    def needs(self) -> Needs:
        """What `harness plan` asks beside the facts, from the same files."""
        return Needs()

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether the local folder or file `path` is in this format."""
        return False


@runtime_checkable
class Sae(Protocol):
    """A sparse autoencoder. Rows are independent unless `facts.needs_sequence`."""

    facts: SaeFacts
    fingerprint: str
    notes: tuple[str, ...]
    """What a reader of the numbers should know of how it was loaded; shown as warnings."""

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Sparse latents: for each token the indices and values that are not zero."""

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ from latents, in the space of the activations."""

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_out"]:
        """Decoder rows, in the space of the activations."""


@runtime_checkable
class Calibrated(Protocol):
    """An SAE whose files leave open how its input is scaled: its own model's text decides."""

    def calibrated(
        self, x: Float[Tensor, "tokens d_in"], target: Float[Tensor, "tokens d_out"] | None = None
    ) -> Sae:
        """The SAE in the scaling that explains `target` better, and a note that says which.

        `target` is what a transcoder writes; None where it is x itself. With `needs_sequence`
        these are the tokens of one document.
        """


@runtime_checkable
class SaeFormat(Protocol):
    """Loads an SAE; built as `Class(options)`."""

    def load(self, device: str) -> Sae:
        """The SAE, ready; ModelError says which file, tensor or key is missing or wrong."""
