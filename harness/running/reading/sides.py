"""One side of a batch: activations of the measured tokens, encoded once for all who need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Activations, Sae, Site
from harness.contract.latents import Latents, joined
from harness.errors import ModelError
from harness.running.reading.rows import Measured, Row, parts


@dataclass(frozen=True)
class Forward:
    """What one model has at the rows that it read."""

    activations: Activations
    rows: Sequence[Row]

    def at(self, tokens: Measured, site: Site) -> Float[Tensor, "tokens d_site"]:
        """Activations of some tokens at a site, in the model's own precision."""
        return tokens.take(self.activations, self.activations.sites[site])

    def documents(self, site: Site) -> list[Float[Tensor, "document d_site"]]:
        """Activations of all tokens of each document at a site."""
        values, found = self.activations.sites[site], []
        for number, part in parts(self.rows):
            start = self.activations.start[number] + part.begin
            found.append(values[number, start : start + len(part.tokens.ids)])
        return found

    def places(self, tokens: Measured) -> Int[Tensor, " tokens"]:
        """The places of some tokens where all documents stand one after the other."""
        shift, total = [], 0
        for _, part in parts(self.rows):
            shift.append(total - part.begin)
            total += len(part.tokens.ids)
        return torch.tensor(shift, dtype=torch.long)[tokens.document] + tokens.offset


@dataclass(eq=False, repr=False)
class ModelSide:
    """The activations of one model at some tokens. Encodes lazily, each (SAE, site) once.

    Sites may be fractions of depth; `layers` is the model's number of blocks, 0 where unknown.
    """

    _forward: Forward
    _tokens: Measured
    _saes: Mapping[str, Sae]
    _sae_sites: Mapping[str, Site]
    _layers: int
    _float: dict[Site, Tensor] = field(default_factory=dict)
    _latents: dict[tuple[str, Site], Latents] = field(default_factory=dict)
    _reconstructions: dict[tuple[str, Site], Tensor] = field(default_factory=dict)

    def x(self, site: Site) -> Float[Tensor, "tokens d_site"]:
        """Activations at a site, float32."""
        site = site.at(self._layers)
        if site not in self._float:
            self._float[site] = self._forward.at(self._tokens, site).float()
        return self._float[site]

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """Next-token logits of all measured tokens, float32; ValueError where none were read."""
        activations = self._forward.activations
        if activations.logits is None:
            raise ValueError("logits were not asked for: say so in Reads.logits or on_logits")
        return self._tokens.take(activations, activations.logits).float()

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens, encoded at the first call."""
        key = self.key(sae, site)
        if key not in self._latents:
            self._latents[key] = self._encoded(*key)
        return self._latents[key]

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens, decoded at the first call."""
        key = self.key(sae, site)
        if self._saes[sae].facts.partial:
            raise ModelError(
                f"saes.{sae}: its latents are only a part of what is written at "
                f"{self._saes[sae].facts.site_out}, as those of one layer of a cross-layer "
                "transcoder are, so they reconstruct nothing. Allowed: what reads latents and "
                "decoder rows. Leave this SAE out of what compares reconstructions."
            )
        if key not in self._reconstructions:
            self._reconstructions[key] = self._decoded(*key)
        whole, several = self._reconstructions[key], self._several(sae)
        if not several:
            return whole
        place = several.index((site or several[0]).at(self._layers))
        return whole[:, self._saes[sae].facts.columns()[place]]

    def all_reconstructed(self, sae: str, site: Site) -> Float[Tensor, "selected d_in"]:
        """x̂ of the selected tokens as the SAE gives it: of several sites, all of them joined."""
        self.reconstruction(sae, site)
        return self._reconstructions[self.key(sae, site)]

    def encode(self, sae: str, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Latents of other activations; made anew at every call."""
        return self._saes[sae].encode(x)

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ of other latents; made anew at every call."""
        return self._saes[sae].reconstruct(latents)

    def key(self, sae: str, site: Site | None) -> tuple[str, Site]:
        """An SAE with the block that it reads; of several sites, which are encoded together, with
        the first of them."""
        several = self._several(sae)
        return sae, several[0] if several else (site or self._sae_sites[sae]).at(self._layers)

    def _several(self, sae: str) -> list[Site]:
        """The sites that an SAE of one model joins; none where it reads one."""
        inputs = self._saes[sae].facts.inputs
        sites = [one.site for one in inputs if one.side is None]
        return [site.at(self._layers) for site in sites if site is not None]

    def _read(self, sae: str, site: Site) -> Float[Tensor, "tokens d_in"]:
        """What an SAE reads of all measured tokens."""
        several = self._several(sae)
        return torch.cat([self.x(one) for one in several], dim=1) if several else self.x(site)

    def _encoded(self, sae: str, site: Site) -> Latents:
        encoder = self._saes[sae]
        if not encoder.facts.needs_sequence:
            return encoder.encode(self._read(sae, site))
        documents = [encoder.encode(x.float()) for x in self._forward.documents(site)]
        return joined(documents).take(self._forward.places(self._tokens))

    def _decoded(self, sae: str, site: Site) -> Tensor:
        return self._saes[sae].reconstruct(self.latents(sae, site))


class SelectedSide(ModelSide):
    """A side with latents of only some tokens of another, its `whole`; `x` has all of them.

    `shared` are the SAEs, each with its site, that others want of the whole, or of other tokens
    of it: there the whole encodes and decodes once, and this side takes its rows.
    """

    def __init__(
        self,
        whole: ModelSide,
        selected: Int[Tensor, " selected"],
        shared: frozenset[tuple[str, Site]],
    ) -> None:
        super().__init__(
            whole._forward,
            whole._tokens,
            whole._saes,
            whole._sae_sites,
            whole._layers,
            whole._float,
        )
        self._whole = whole
        self._selected = selected
        self._shared = shared

    def _encoded(self, sae: str, site: Site) -> Latents:
        encoder = self._saes[sae]
        if (sae, site) in self._shared or encoder.facts.needs_sequence:
            return self._whole.latents(sae, site).take(self._selected)
        x = self._read(sae, site)
        return encoder.encode(x[self._selected.to(x.device)])

    def _decoded(self, sae: str, site: Site) -> Tensor:
        if (sae, site) in self._shared:
            x_hat = self._whole.all_reconstructed(sae, site)
            return x_hat[self._selected.to(x_hat.device)]
        return super()._decoded(sae, site)
