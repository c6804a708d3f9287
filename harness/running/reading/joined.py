"""SAEs that read both sides of a pair at once: encoded once for the pair, and shown by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Sae, SaeFacts, Site
from harness.contract.latents import Latents
from harness.running.reading.sides import ModelSide

SideOf = Literal["left", "right"]


def joined(
    facts: SaeFacts, parts: Mapping[SideOf | None, Float[Tensor, "tokens d"]]
) -> Float[Tensor, "tokens d_in"]:
    """The activations of both sides as an SAE of the pair reads them, in its order."""
    found = [parts[one.side] for one in facts.inputs]
    if facts.join == "difference":
        return found[1] - found[0].to(found[1].device)
    return torch.cat([one.to(found[0].device) for one in found], dim=1)


@dataclass(eq=False, repr=False)
class PairCode:
    """What the SAEs of a pair make of the tokens of both sides: each encodes once."""

    left: ModelSide
    right: ModelSide
    saes: Mapping[str, Sae]
    _latents: dict[tuple[str, Site], Latents] = field(default_factory=dict)
    _reconstructions: dict[tuple[str, Site], Tensor] = field(default_factory=dict)

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """The latents of the selected tokens, which both sides share."""
        key = self.left.key(sae, site)
        if key not in self._latents:
            self._latents[key] = self._encoded(*key)
        return self._latents[key]

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d_in"]:
        """x̂ of the selected tokens, joined as the SAE reads them."""
        key = self.left.key(sae, site)
        if key not in self._reconstructions:
            self._reconstructions[key] = self._decoded(*key)
        return self._reconstructions[key]

    def read(self, sae: str, site: Site) -> Float[Tensor, "tokens d_in"]:
        """What an SAE reads of all measured tokens."""
        facts = self.saes[sae].facts
        return joined(facts, {"left": self.left.x(site), "right": self.right.x(site)})

    def _encoded(self, sae: str, site: Site) -> Latents:
        return self.saes[sae].encode(self.read(sae, site))

    def _decoded(self, sae: str, site: Site) -> Tensor:
        return self.saes[sae].reconstruct(self.latents(sae, site))


class SelectedCode(PairCode):
    """The same of only some tokens of another, its `whole`.

    What others want of the whole, or of other tokens of it (`shared`), the whole encodes once.
    """

    def __init__(
        self,
        whole: PairCode,
        selected: Int[Tensor, " selected"],
        shared: frozenset[tuple[str, Site]],
    ) -> None:
        super().__init__(whole.left, whole.right, whole.saes)
        self._whole = whole
        self._selected = selected
        self._shared = shared

    def _encoded(self, sae: str, site: Site) -> Latents:
        if (sae, site) in self._shared:
            return self._whole.latents(sae, site).take(self._selected)
        x = self._whole.read(sae, site)
        return self.saes[sae].encode(x[self._selected.to(x.device)])

    def _decoded(self, sae: str, site: Site) -> Tensor:
        if (sae, site) in self._shared:
            x_hat = self._whole.reconstruction(sae, site)
            return x_hat[self._selected.to(x_hat.device)]
        return super()._decoded(sae, site)


class PairSide:
    """One side of a pair, with what SAEs of the pair say of it; in all else the side itself."""

    def __init__(
        self, own: ModelSide, name: SideOf, code: PairCode, selected: Int[Tensor, " selected"]
    ) -> None:
        self._own = own
        self._name = name
        self._code = code
        self._selected = selected
        self._parts: dict[tuple[str, Site], Tensor] = {}

    def x(self, site: Site) -> Float[Tensor, "tokens d_site"]:
        """Activations at a site, float32."""
        return self._own.x(site)

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """Next-token logits of all measured tokens."""
        return self._own.logits()

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens; of an SAE of the pair those of both sides together."""
        side = self._code if sae in self._code.saes else self._own
        return side.latents(sae, site)

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens: of an SAE of the pair, this side's part.

        An SAE of differences gives this side from the other: x̂_right = x_left + û, where û is the
        reconstructed change from left to right.
        """
        if sae not in self._code.saes:
            return self._own.reconstruction(sae, site)
        key = self._own.key(sae, site)
        if key not in self._parts:
            self._parts[key] = self._part(*key)
        return self._parts[key]

    def encode(self, sae: str, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Latents of other activations, joined where the SAE reads both sides."""
        return self._own.encode(sae, x)

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ of other latents, joined where the SAE reads both sides."""
        return self._own.decode(sae, latents)

    def _part(self, sae: str, site: Site) -> Tensor:
        facts = self._code.saes[sae].facts
        if facts.join == "concatenated":
            place = [one.side for one in facts.inputs].index(self._name)
            return self._code.reconstruction(sae, site)[:, facts.columns()[place]]
        change = change_of(self._code, sae, site)
        other = self._code.left if self._name == "right" else self._code.right
        x = other.x(site)
        x = x[self._selected.to(x.device)].to(change.device)
        return x + change if self._name == "right" else x - change


class DifferenceSide:
    """The change of each token from left to right, as a side: what SAEs of differences read."""

    def __init__(self, code: PairCode) -> None:
        self._code = code
        self._x: dict[Site, Tensor] = {}

    def x(self, site: Site) -> Float[Tensor, "tokens d_site"]:
        """x_right − x_left at a site, float32."""
        if site not in self._x:
            right = self._code.right.x(site)
            self._x[site] = right - self._code.left.x(site).to(right.device)
        return self._x[site]

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """None: ValueError."""
        raise ValueError("a difference between two sides has no logits")

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens; ValueError unless the SAE reads differences."""
        self._check(sae)
        return self._code.latents(sae, site)

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """û of the selected tokens, from left to right; ValueError unless the SAE reads that."""
        self._check(sae)
        return change_of(self._code, sae, site)

    def encode(self, sae: str, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Latents of other differences, in the SAE's own order."""
        return self._code.left.encode(sae, x)

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """û of other latents, in the SAE's own order."""
        return self._code.left.decode(sae, latents)

    def _check(self, sae: str) -> None:
        if sae not in self._code.saes or self._code.saes[sae].facts.join != "difference":
            raise ValueError(f"SAE {sae} does not read the difference between two sides")


def change_of(code: PairCode, sae: str, site: Site | None) -> Float[Tensor, "selected d"]:
    """û from left to right, whichever of them the SAE subtracts."""
    change = code.reconstruction(sae, site)
    return change if code.saes[sae].facts.inputs[1].side == "right" else -change
