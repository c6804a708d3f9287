"""The principal components of what a fine-tune changed."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

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
_STEP = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The relative step between two numbers of a dtype."""


class PrincipalComponents(Sums[PrincipalComponentsOptions]):
    """Takes ΔH = H_right − H_left on identical tokens apart: ΔH = U Σ Vᵀ, not centred.

    ΔH: Float[Tensor, "tokens d_site"], the scatter matrix ΔHᵀΔH summed in float64 over any split
    of the documents; above 8,192 numbers per token a random sketch of it. With `center` the mean
    difference is taken off: ΔHᵀΔH − N·mean·meanᵀ. v_i are signed so that Σ_t ΔH_t·v_i ≥ 0.

    Directions: for each `pc` = i the vector σ_i/√N·v_i, so that a constant injection is α times
    it; for each `k` the first k of them; without an axis all of them. Float64 `[rank, d_site]`.

    | record, for each `pc` | formula | range |
    |---|---|---|
    | `pc_explained_variance@2` | σ_i² / Σ_j σ_j² | [0, 1] |
    | `pc.sigma@2` | σ_i/√N, in units of the activation | (0, ∞) |
    | `pc.mean_cosine@2` | cos(v_i, mean ΔH) | [0, 1]; undefined where the mean is 0 |

    Undefined: without tokens, with fewer tokens than components (one more where centred), where
    ΔH is exactly 0 (identical models) or not finite, and for a component beyond ΔH's rank: one
    that the activations' own rounding makes. With ε the step of their dtype (the coarser of both
    sides'), summed in float32 at least (step ε₃₂), a number is known to ε_d = ε + √d·ε₃₂ of itself:
    1e-6 in float32 at d = 64, 1e-2 in bfloat16. Rounding that independent of place is a matrix with
    singular values up to σ_H = ε_d·√(Σ_t ‖H_left‖² + ‖H_right‖²)·(1/√N + 1/√d). So a component
    needs σ_i > ε_d·σ_1 and σ_i > σ_H. In version 1 it needed neither.
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
            "square": np.array(_square(delta)),
            "sides": np.array(_square(left) + _square(tuned)),
            "tokens": len(delta),
            "prompts": states.prompts(batch),
        }
        return states.plus(state, terms)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The directions, their records, and a table of the components."""
        site = located(self.site, *inputs.facts.values())
        why = self._undefined(state, site)
        dtype = _coarsest(inputs)
        spectrum = None if why else self._spectrum(state, dtype)
        rows = [self._row(state, spectrum, pc) for pc in range(self.options.components)]
        found = [
            Found(
                self._direction(state, spectrum, why, site, axes, dtype),
                axes,
                self._records(state, rows, why, site, axes, dtype, spectrum),
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

    def _spectrum(self, state: State, dtype: str) -> Spectrum:
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
        first = float(np.sqrt(spectrum.values[0]))
        floor = max(floor, self._rounding(state, dtype, first) ** 2)
        values = np.where(spectrum.values > floor, spectrum.values, 0.0)
        return Spectrum(values, scatter.oriented(spectrum.vectors, total))

    def _rounding(self, state: State, dtype: str, first: float) -> float:
        """The largest σ that the rounding of the activations alone can make."""
        width, tokens = len(state["sum"]), states.count(state, "tokens")
        sides = np.sqrt(float(state["sides"][0])) * (tokens**-0.5 + width**-0.5)
        return _carried(dtype, width) * max(first, float(sides))

    def _beyond(self, state: State, spectrum: Spectrum, site: Site, pc: int, dtype: str) -> str:
        """Why there is no component `pc`."""
        rank = int(np.count_nonzero(spectrum.values))
        if not rank:
            return f"the difference at {site} is the same at every token: its mean alone"
        share = self._rounding(state, dtype, first := float(np.sqrt(spectrum.values[0]))) / first
        return (
            f"component {pc} is beyond the rank of ΔH: the difference at {site} has rank {rank}, "
            f"and below {share:.0e} of the first component lies the rounding of {dtype} activations"
        )

    # ── What comes out ──

    def _direction(
        self,
        state: State,
        spectrum: Spectrum | None,
        why: str | None,
        site: Site,
        axes: Axes,
        dtype: str,
    ) -> Direction | Undefined:
        if spectrum is None:
            return Undefined(why or "")
        lengths = np.sqrt(spectrum.values / states.count(state, "tokens"))
        rank = int(np.count_nonzero(spectrum.values))
        first, last = self._span(axes)
        if not rank or (axes and last > rank):
            return Undefined(self._beyond(state, spectrum, site, last, dtype))
        kept = slice(first, min(last, rank))
        vectors = lengths[kept, None] * spectrum.vectors[kept]
        reference = float(lengths[first]) if len(vectors) == 1 else None
        missing = tuple(
            self._beyond(state, spectrum, site, pc, dtype) for pc in range(rank + 1, last + 1)
        )
        return Direction(site, vectors, reference_norm=reference, missing=missing)

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
        if spectrum is not None and spectrum.values[index] > 0:
            total, tokens = state["sum"], states.count(state, "tokens")
            variance = float(state["square"][0])  # Σ_j σ_j²
            if self.options.center:
                variance -= float(total @ total) / tokens
            # Of a difference of rank one it is 1, also within rounding.
            explained = min(1.0, float(spectrum.values[index] / variance))
            cumulative = min(1.0, float(spectrum.values[: index + 1].sum() / variance))
            sigma = float(np.sqrt(spectrum.values[index] / tokens))
            if total.any():
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
        dtype: str,
        spectrum: Spectrum | None,
    ) -> tuple[Record, ...]:
        pc = axes.get("pc")
        if not isinstance(pc, int):
            return ()
        row = rows[pc - 1]
        if spectrum is not None and spectrum.values[pc - 1] == 0:
            why = self._beyond(state, spectrum, site, pc, dtype)
        values = (
            ("pc_explained_variance@2", "explained_variance", "ratio"),
            ("pc.sigma@2", "sigma", "activation"),
            ("pc.mean_cosine@2", "mean_cosine", "cosine"),
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
                undefined=None if row[key] is not None else (why or "the mean has length 0"),
                axes={"pair": self.options.pair, "site": str(site)},
            )
            for id, key, unit in values
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


def _square(x: Float[Tensor, "tokens d"]) -> float:
    """‖X‖², in float64."""
    return (
        float(
            torch.linalg.vector_norm(
                x.detach().to("cpu" if x.device.type == "mps" else x.device), dtype=torch.float64
            )
        )
        ** 2
    )


def _coarsest(inputs: Inputs) -> str:
    """The dtype of both sides' activations, the coarser one; float32, as they come, if unknown."""
    known = [dtype for dtype in inputs.dtypes.values() if dtype in _STEP]
    return max(known, key=_STEP.__getitem__, default="float32")


def _carried(dtype: str, width: int) -> float:
    """To which share of itself a number of this dtype is known, after sums of `width` products."""
    return _STEP[dtype] + float(np.sqrt(width)) * min(_STEP[dtype], _STEP["float32"])
