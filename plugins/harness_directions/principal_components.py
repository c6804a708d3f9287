"""The principal components of what a fine-tune changed."""

from __future__ import annotations

import numpy as np
import torch

from harness.contract import (
    Axes,
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    Record,
    Site,
    State,
    Undefined,
)
from harness.contract.sites import parse_site
from harness.errors import ModelError
from harness_directions import scatter, states
from harness_directions.options import PrincipalComponentsOptions
from harness_directions.places import located
from harness_directions.scatter import Spectrum
from harness_directions.states import Sums

EXACT_WIDTH = 8192
"""Numbers per token up to which the whole scatter matrix is kept: 512 MB there."""
_RANK = float(np.finfo(np.float64).eps)
"""A component below this share of ‖ΔH‖², times d, is rounding of the scatter matrix."""


class PrincipalComponents(Sums[PrincipalComponentsOptions]):
    """Takes ΔH = H_right − H_left on identical tokens apart: ΔH = U Σ Vᵀ, not centred.

    ΔH: Float[Tensor, "tokens d_site"], the scatter matrix ΔHᵀΔH summed in float64 over any split
    of the documents; above 8,192 numbers per token a random sketch of it. With `center` the mean
    difference is taken off: ΔHᵀΔH − N·mean·meanᵀ. v_i are signed so that Σ_t ΔH_t·v_i ≥ 0.

    Directions: for each `pc` = i the vector σ_i/√N·v_i, so that a constant injection is α times
    it; for each `k` the first k of them; without an axis all of them. Float64 `[rank, d_site]`.

    | record, for each `pc` | formula | range |
    |---|---|---|
    | `pc_explained_variance@1` | σ_i² / Σ_j σ_j² | [0, 1] |
    | `pc.sigma@1` | σ_i/√N, in units of the activation | [0, ∞) |
    | `pc.mean_cosine@1` | cos(v_i, mean ΔH) | [0, 1]; undefined where the mean is 0 |

    Undefined: without tokens, with fewer tokens than components (one more where centred), where
    ΔH is exactly 0 (identical models) or not finite, and for a component beyond ΔH's rank.
    Raises ModelError where the two sides have different widths, for more components than the
    width or half the sketch, and for a fraction of depth in a model of unknown depth.
    Source: arXiv 2605.11426; centring, signs and lengths as in METHODS section 4.
    """

    def __init__(
        self, given: PrincipalComponentsOptions, *, exact_width: int = EXACT_WIDTH
    ) -> None:
        super().__init__(given)
        self.site = parse_site(given.site)
        self._exact_width = exact_width

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's ΔHᵀΔH or its sketch, Σ_t ΔH_t, ‖ΔH‖², and counts tokens and prompts."""
        if not len(batch.selected):
            return state
        right = batch.right
        assert right is not None, "principal_components reads a pair"
        sides = [side.x(self.site) for side in (batch.left, right)]
        self._same_width(*(x.shape[1] for x in sides))
        left, tuned = (x if len(batch.selected) == len(x) else x[batch.selected] for x in sides)
        delta = tuned.detach() - left.detach()
        delta = delta.cpu() if delta.device.type == "mps" else delta  # MPS knows no float64
        width = delta.shape[1]
        exact = width <= self._exact_width
        products = scatter.scatter(delta) if exact else scatter.sketched(delta, self._sketch(width))
        terms: states.Terms = {
            "scatter" if exact else "sketch": products,
            "sum": delta.sum(0, dtype=torch.float64).cpu().numpy(),
            "square": np.array(float(torch.linalg.vector_norm(delta, dtype=torch.float64)) ** 2),
            "tokens": len(delta),
            "prompts": states.prompts(batch),
        }
        return states.plus(state, terms)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The directions, their records, and a table of the components."""
        site = located(self.site, *inputs.facts.values())
        why = self._undefined(state, site)
        spectrum = None if why else self._spectrum(state)
        rows = [self._row(state, spectrum, pc) for pc in range(self.options.components)]
        found = [
            Found(
                self._direction(state, spectrum, why, site, axes),
                axes,
                self._records(state, rows, why, site, axes),
            )
            for axes in self.options.variants()
        ]
        return Outcome(tables={"components": rows}, directions=tuple(found))

    # ── The decomposition ──

    def _undefined(self, state: State, site: Site) -> str | None:
        """Why there is no component at all."""
        tokens, wanted = states.count(state, "tokens"), self.options.components
        if not tokens:
            return f"the pair {self.options.pair!r} has no token to measure"
        square = float(state["square"][0])
        if not np.isfinite(square):
            return f"the activations at {site} are not finite"
        if square == 0:
            return (
                f"both views of {self.options.pair!r} have the same activations at {site} on all "
                f"{tokens} tokens: nothing changed"
            )
        width = len(state["sum"])
        if wanted > width:
            raise ModelError(
                f"components = {wanted}: {site} has {width} numbers per token. Allowed: 1 to "
                f"{width}. Ask for fewer components"
            )
        if tokens - self.options.center < wanted:
            return (
                f"{tokens} tokens are too few for {wanted} components"
                f"{' around their mean' * self.options.center}; read more data, or ask for fewer"
            )
        return None

    def _spectrum(self, state: State) -> Spectrum:
        tokens, total = states.count(state, "tokens"), state["sum"]
        wanted = self.options.components
        if "scatter" in state:
            matrix = state["scatter"]
            if self.options.center:
                matrix = matrix - np.outer(total, total) / tokens
            spectrum = scatter.leading(matrix, wanted)
        else:
            sketch = state["sketch"]
            if self.options.center:
                omega = scatter.test_matrix(*sketch.shape)
                sketch = sketch - np.outer(total, total @ omega) / tokens
            spectrum = scatter.leading_of_sketch(sketch, wanted)
        floor = _RANK * len(total) * float(state["square"][0])
        values = np.where(spectrum.values > floor, spectrum.values, 0.0)
        return Spectrum(values, scatter.oriented(spectrum.vectors, total))

    # ── What comes out ──

    def _direction(
        self, state: State, spectrum: Spectrum | None, why: str | None, site: Site, axes: Axes
    ) -> Direction | Undefined:
        if spectrum is None:
            return Undefined(why or "")
        lengths = np.sqrt(spectrum.values / states.count(state, "tokens"))
        rank = int(np.count_nonzero(spectrum.values))
        if not rank:
            return Undefined(f"the difference at {site} is the same at every token: its mean alone")
        first, last = self._span(axes)
        if axes and last > rank:
            why = f"the difference at {site} has rank {rank}: there is no component {last}"
            return Undefined(why)
        kept = slice(first, min(last, rank))
        vectors = lengths[kept, None] * spectrum.vectors[kept]
        reference = float(lengths[first]) if len(vectors) == 1 else None
        return Direction(site, vectors, reference_norm=reference)

    def _span(self, axes: Axes) -> tuple[int, int]:
        """The components of a variant: from, to."""
        pc, k = axes.get("pc"), axes.get("k")
        if isinstance(pc, int):
            return pc - 1, pc
        return 0, k if isinstance(k, int) else self.options.components

    def _row(
        self, state: State, spectrum: Spectrum | None, index: int
    ) -> dict[str, str | int | float | None]:
        """What is known of one component; None where nothing is."""
        explained = cumulative = sigma = cosine = None
        if spectrum is not None:
            total, tokens = state["sum"], states.count(state, "tokens")
            variance = float(state["square"][0])  # Σ_j σ_j²
            if self.options.center:
                variance -= float(total @ total) / tokens
            if variance > 0 and spectrum.values.any():
                # Of a difference of rank one it is 1, also within rounding.
                explained = min(1.0, float(spectrum.values[index] / variance))
                cumulative = min(1.0, float(spectrum.values[: index + 1].sum() / variance))
            sigma = float(np.sqrt(spectrum.values[index] / tokens))
            if spectrum.values[index] > 0 and total.any():
                along = float(spectrum.vectors[index] @ total)
                cosine = min(1.0, abs(along) / float(np.linalg.norm(total)))
        return {
            "pair": self.options.pair,
            "site": self.options.site,
            "pc": index + 1,
            "explained_variance": explained,
            "cumulative": cumulative,
            "sigma": sigma,
            "mean_cosine": cosine,
        }

    def _records(
        self,
        state: State,
        rows: list[dict[str, str | int | float | None]],
        why: str | None,
        site: Site,
        axes: Axes,
    ) -> tuple[Record, ...]:
        pc = axes.get("pc")
        if not isinstance(pc, int):
            return ()
        row = rows[pc - 1]
        flat = "the difference is the same at every token: its mean alone"
        values = (
            ("pc_explained_variance@1", "explained_variance", "ratio", flat),
            ("pc.sigma@1", "sigma", "activation", flat),
            ("pc.mean_cosine@1", "mean_cosine", "cosine", "the component or the mean has length 0"),
        )
        options: dict[str, bool | int] = {"center": self.options.center}
        if "sketch" in state:
            options["sketch"] = state["sketch"].shape[1]
        return tuple(
            Record(
                id=id,
                value=value if isinstance(value := row[key], float) else None,
                n=states.count(state, "tokens"),
                n_of="tokens",
                unit=unit,
                options=options,
                clusters=states.count(state, "prompts"),
                ci_why="needs the scatter matrix of every draw of documents, which is not kept",
                undefined=None if row[key] is not None else (why or missing),
                axes={"pair": self.options.pair, "site": str(site)},
            )
            for id, key, unit, missing in values
        )

    def _same_width(self, left: int, right: int) -> None:
        if left != right:
            raise ModelError(
                f"pairs.{self.options.pair}: {left} numbers per token at {self.site} on the left "
                f"and {right} on the right. Allowed: two models of the same hidden size. "
                "Compare a model with its own fine-tune"
            )

    def _sketch(self, width: int) -> int:
        if 2 * self.options.components > self.options.sketch:
            raise ModelError(
                f"components = {self.options.components}: a sketch of {self.options.sketch} "
                f"columns, which {self.site} needs with its {width} numbers per token, gives at "
                "most half as many. Raise sketch to at least twice the components"
            )
        return min(self.options.sketch, width)
