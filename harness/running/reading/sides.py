"""One side of a batch: activations of the measured tokens, encoded once for all who ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Sae, Site
from harness.contract.latents import Latents, joined

Sequences = Callable[[Site], tuple[list[Tensor], Tensor]]
"""All tokens of every document at a site, and the places of the measured ones among them."""


class ModelSide:
    """The activations of one model on one choice of tokens. Encodes lazily, each (SAE, site) once.

    A side that only some tokens of another are selected from has that one as its `whole`; where
    an SAE is wanted on both, the other one encodes and this one takes its rows.
    """

    def __init__(
        self,
        values: Callable[[Site], Float[Tensor, "tokens d"]],
        sequences: Sequences,
        saes: Mapping[str, Sae],
        sae_sites: Mapping[str, Site],
        layers: int,
        logits: Callable[[], Tensor] | None = None,
    ) -> None:
        self._values = values
        self._sequences = sequences
        self._saes = saes
        self._sae_sites = sae_sites
        self._layers = layers
        self._logits = logits
        self._float: dict[Site, Tensor] = {}
        self._latents: dict[tuple[str, Site], Latents] = {}
        self._reconstructions: dict[tuple[str, Site], Tensor] = {}

    def x(self, site: Site) -> Float[Tensor, "tokens d_site"]:
        """Activations at a site, float32."""
        site = site.at(self._layers)
        if site not in self._float:
            self._float[site] = self._values(site).float()
        return self._float[site]

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """Next-token logits of all measured tokens, float32."""
        if self._logits is None:
            raise ValueError("logits were not asked for: say so in Reads.logits or on_logits")
        return self._logits()

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens; encoded once, whoever asks."""
        key = self._key(sae, site)
        if key not in self._latents:
            self._latents[key] = self._encoded(*key)
        return self._latents[key]

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens; decoded once, whoever asks."""
        key = self._key(sae, site)
        if key not in self._reconstructions:
            self._reconstructions[key] = self._decoded(*key)
        return self._reconstructions[key]

    def encode(self, sae: str, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Latents of other activations; made anew at every call."""
        return self._saes[sae].encode(x)

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ of other latents; made anew at every call."""
        return self._saes[sae].reconstruct(latents)

    def _encoded(self, sae: str, site: Site) -> Latents:
        encoder = self._saes[sae]
        if not encoder.facts.needs_sequence:
            return encoder.encode(self.x(site))
        documents, places = self._sequences(site)
        return joined([encoder.encode(x.float()) for x in documents]).take(places)

    def _decoded(self, sae: str, site: Site) -> Tensor:
        return self._saes[sae].reconstruct(self.latents(sae, site))

    def _key(self, sae: str, site: Site | None) -> tuple[str, Site]:
        return sae, (site or self._sae_sites[sae]).at(self._layers)


class SelectedSide(ModelSide):
    """A side of which only some tokens are selected: `x` has all of them, latents only these."""

    def __init__(
        self,
        whole: ModelSide,
        selected: Int[Tensor, " selected"],
        shared: Callable[[str, Site], bool],
    ) -> None:
        super().__init__(
            whole._values,
            whole._sequences,
            whole._saes,
            whole._sae_sites,
            whole._layers,
            whole._logits,
        )
        self._float = whole._float
        self._whole = whole
        self._selected = selected
        self._shared = shared

    def _encoded(self, sae: str, site: Site) -> Latents:
        encoder = self._saes[sae]
        if self._shared(sae, site) or encoder.facts.needs_sequence:
            return self._whole.latents(sae, site).take(self._selected)
        x = self.x(site)
        return encoder.encode(x[self._selected.to(x.device)])

    def _decoded(self, sae: str, site: Site) -> Tensor:
        if self._shared(sae, site):
            x_hat = self._whole.reconstruction(sae, site)
            return x_hat[self._selected.to(x_hat.device)]
        return super()._decoded(sae, site)
