"""Two views whose latents are swapped: which of what differs between them makes the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Arm, Direction, Edit, ModelFacts, Sae
from harness.contract.latents import Latents
from harness_interventions.chosen import encoded, inside, latents_of, only
from harness_interventions.fitting import site_of
from harness_interventions.options import LatentSwapOptions, Part


class LatentSwap:
    """Swaps, at the SAE's site and at all positions, what some latents say of two views.

    With x the edited view's activation, y the other view's at the same token, and S the latents,

    `c = Σ_{j∈S} (z_j d_j − z'_j d'_j)`: what S says of x minus what it says of y;
    `mode = "only"`: x ← y + c, the other view's stream in which S alone is the edited view's;
    `mode = "without"`: x ← x − c, the edited view's stream in which S is the other view's.

    | SAE | c |
    |---|---|
    | a crosscoder | `Σ f_j (d_j^own − d_j^other)`: one code f of both, a row for each |
    | of one model | `Σ (z_j(x) − z_j(y)) d_j`: each encoded by itself, one row |
    | of differences | `Σ f_j d_j`, f the code of x − y |

    `latents`: S is the direction's features (`chosen`), `all` or `none`. `parts` adds to c what no
    latent says: `bias`, the bias of x̂ minus that of ŷ, and `error`, (x − x̂) − (y − ŷ). So all
    latents with both parts are all that differs: `only` then changes nothing but rounding, and
    `only` with no latent and no part is the other view's stream in the edited model.
    `strength` s goes so far of the way: x + s (x' − x); 0 changes no bit.

    A later position reads earlier ones, which is why all are swapped. Measure what comes of it with
    `kl` on a pair of the model's view and the edited view: KL(p_tuned ‖ p_patched).
    x, y: Float[Tensor, "rows pos d_site"], computed in float32, returned in x's dtype. With
    `without` and chosen latents an arm is gated: it may change nothing.

    Raises ModelError as `feature_zeroing` does, and for an SAE of a pair without the view's side.
    Source: arXiv 2504.02922, section 4 (a crosscoder's causal test; h_S); METHODS 2, sections 1
    and 4 ((i) and (ii) of "Verify").
    """

    def __init__(self, given: LatentSwapOptions) -> None:
        self.options = given

    def arms(
        self,
        name: str,
        direction: Direction,
        facts: ModelFacts,
        dtype: str,
        beside: Float[Tensor, "rows pos d_site"],
        sae: Sae | None,
    ) -> Sequence[Arm]:
        """One arm for each row, with the other view's activations of its tokens."""
        options = self.options
        # Of all latents or none, no feature is needed: any latent's number will do for the check.
        chosen = options.latents == "chosen"
        sae = latents_of(name, direction, sae, () if chosen else (0,))
        site = site_of(name, direction, facts)
        apply = Swapping(sae, options.side, options.mode, options.latents, options.parts)
        device = beside.device
        shared = {
            # Whole numbers are exact in float32 up to 16 million.
            "latents": torch.tensor(
                direction.features if chosen else (), dtype=torch.float32, device=device
            ),
            "strength": torch.tensor(options.strength, dtype=torch.float32, device=device),
        }
        edits = [Edit(site, apply, {**shared, "other": row.float()}) for row in beside]
        idle = options.strength == 0 or options.keeps_everything
        gated = options.mode == "without" and chosen
        return [Arm(name, edits=(edit,), idle=idle, gated=gated) for edit in edits]


@dataclass(frozen=True)
class Swapping:
    """`Edit.apply` of one SAE; equal for equal SAEs and options, so that arms share calls."""

    sae: Sae
    side: Literal["left", "right"]
    mode: Literal["only", "without"]
    latents: Literal["chosen", "all", "none"]
    parts: tuple[Part, ...]

    def __call__(
        self, x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
    ) -> Float[Tensor, "rows pos d"]:
        """x with the latents of each row swapped with those of `other` ("rows pos d")."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        other = parameters["other"][:, : x.shape[1]].to(wide.dtype)
        code = Code(self.sae, self.side, wide, other)
        of_none = code.apart(code.nothing)
        moved = code.apart(self._selected(code, parameters["latents"].long())) - of_none
        if "bias" in self.parts:
            moved = moved + of_none
        if "error" in self.parts:
            moved = moved + (wide - other) - code.apart(code.whole)
        goal = other + moved if self.mode == "only" else torch.where(moved == 0, wide, wide - moved)
        by = parameters["strength"].to(wide.dtype)[:, None, None]
        part = torch.where(by == 1, goal, wide + by * (goal - wide)).to(x.dtype)
        return torch.where(by == 0, x, part)

    def _selected(self, code: Code, chosen: Int[Tensor, "rows n"]) -> Sequence[Latents]:
        if self.latents == "chosen":
            return code.some(chosen)
        return code.whole if self.latents == "all" else code.nothing


class Code:
    """What an SAE makes of the same tokens of two views, x and y: one code, or one of each."""

    def __init__(
        self,
        sae: Sae,
        side: Literal["left", "right"],
        x: Float[Tensor, "rows pos d"],
        y: Float[Tensor, "rows pos d"],
    ) -> None:
        self._sae, self._shape = sae, x.shape
        facts = sae.facts
        self._join = facts.join if facts.of_pair else None
        self._own = [one.side for one in facts.inputs].index(side) if facts.of_pair else 0
        both = (x, y) if self._own == 0 else (y, x)
        if self._join == "concatenated":
            self.whole: list[Latents] = [encoded(torch.cat(both, dim=-1), sae)]
        elif self._join == "difference":
            self.whole = [encoded(both[1] - both[0], sae)]
        else:
            self.whole = [encoded(x, sae), encoded(y, sae)]

    @property
    def nothing(self) -> list[Latents]:
        """The codes without any latent."""
        return [only(one, torch.zeros_like(one.indices, dtype=torch.bool)) for one in self.whole]

    def some(self, chosen: Int[Tensor, "rows n"]) -> list[Latents]:
        """The codes with the latents alone that each row has chosen."""
        return [only(one, inside(one, self._shape[1], chosen)) for one in self.whole]

    def apart(self, codes: Sequence[Latents]) -> Float[Tensor, "rows pos d"]:
        """What codes rebuild of x minus what they rebuild of y, bias included."""
        rebuilt = [self._sae.reconstruct(one) for one in codes]
        if self._join == "concatenated":
            columns = self._sae.facts.columns()
            found = rebuilt[0][:, columns[self._own]] - rebuilt[0][:, columns[1 - self._own]]
        elif self._join == "difference":
            found = rebuilt[0] if self._own == 1 else -rebuilt[0]
        else:
            found = rebuilt[0] - rebuilt[1]
        return found.reshape(self._shape)
