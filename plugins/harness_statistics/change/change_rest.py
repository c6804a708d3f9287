"""The components of what an SAE leaves of a change: one direction, or many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy import linalg

from harness.contract import Batch, Direction, Inputs, Outcome, Record, State, Undefined
from harness.errors import ModelError
from harness_statistics.change import groups
from harness_statistics.change.few_rows import SAME
from harness_statistics.change.options import ChangeRestOptions as Options
from harness_statistics.change.place import apart, both_sides, joined, site_of, started
from harness_statistics.change.pursuit import decoder
from harness_statistics.cosine_null import largest_expected, largest_quantile
from harness_statistics.inputs import site_axis
from harness_statistics.records import number
from harness_statistics.sums import plus

SHARE, MEAN, BEST, PCS = (
    f"change_rest.{name}@1" for name in ("share", "mean_cosine", "max_abs_cosine", "pcs_cosine")
)
_SMALLEST = 1e-13
"""What is left below this share of the activations' squares is the rounding of float32."""
_SCATTER = "scatter."
"""How the matrix of a group of documents is called in the state."""
_NULL = "the best of as many random unit vectors"
_ONE = "one set of vectors against another; no interval is computed for it"
_UNITS = {SHARE: "share", MEAN: "cosine", BEST: "cosine", PCS: "cosine"}


class ChangeRest:
    """Takes Δε = Δh − Δĥ apart, what the SAE's latents do not rebuild of each token's change.

    Δh = r − l at the site that the SAE writes to, Δĥ = x̂_r − x̂_l: Float64 `[tokens, d]`. λ_i, v_i:
    eigenvalues, falling, and eigenvectors of `Σ_t Δε_t Δε_tᵀ`, summed in float64 and not centred.
    Signed so that `Σ_t Δε_t · v_i ≥ 0`.

    | record, for each `pc` = i | formula | range |
    |---|---|---|
    | `change_rest.share@1` | `λ_i / Σ_j λ_j` | [0, 1] |
    | `change_rest.mean_cosine@1` | `cos(v_i, Σ_t Δh_t)`: is it the mean shift? | [−1, 1] |
    | `change_rest.max_abs_cosine@1` | `max_j abs cos(v_i, W_dec[j])`, the decoder's rows | [0, 1] |
    | `change_rest.pcs_cosine@1` | `max_m abs cos(v_i, p_m)` over the components `pcs` | [0, 1] |

    A large first share and a cosine no higher than chance: one direction is left for which the
    dictionary has no word. A flat spectrum is noise, or many directions. The null of the cosine
    with decoder rows is that of the best of d_sae random unit vectors, its expectation and 95%.
    Beware: an SAE that is unsure of a feature it knows leaves a direction, too, and no row need be
    near it. `few_rows` asks the dictionary without the encoder.

    The interval of a share leaves out one of `groups` groups of documents at a time (jackknife).
    Undefined: where the two sides have the same activations, where the SAE rebuilds the change to
    the rounding of float32, and beyond the rank of Δε.

    Table `components`: for each one also `share_of_change`, `λ_i / Σ_t ‖Δh_t‖²`, which may exceed
    1, and the best aligned feature with its signed cosine. Arrays, for a logit lens: `components`
    Float64 `[found, d]`, unit vectors; `length` `[1]`, the root mean square of ‖r‖.
    Raises ModelError where `pcs` lives at another site.
    Source: METHODS 2, section 5; of our own making.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """Nothing was read; where to read is known."""
        return started(inputs, self.options.sae)

    def update(self, state: State, batch: Batch) -> State:
        """Adds Δε Δεᵀ, Δε and ‖Δh‖² by group of documents, and Δh, ‖r‖², ‖l‖² of all."""
        if not len(batch.selected):
            return state
        left, right = both_sides(state, batch)
        assert batch.right is not None
        fits = [side.reconstruction(self.options.sae) for side in (batch.left, batch.right)]
        sides = [one.detach().cpu().double().numpy() for one in (left, right, *fits)]
        change = sides[1] - sides[0]
        rest = (sides[1] - sides[3]) - (sides[0] - sides[2])
        count = max(self.options.groups, 1)
        owner = batch.document[batch.selected.to(batch.document.device)].cpu().numpy()
        group = groups.group_of(batch, count)[owner]
        documents = batch.clusters(np.bincount(owner, minlength=len(batch.documents)))
        terms = {
            **{f"{_SCATTER}{one}": _products(rest[group == one]) for one in np.unique(group)},
            "rest": rest.sum(0),
            "change": change.sum(0),
            "moved": np.array([np.square(change).sum()]),
            "squares": np.array([np.square(one).sum() for one in sides[:2]]),
            "tokens": np.bincount(group, minlength=count),
            "documents": np.array([documents]),
        }
        sums, place = apart(state)
        return plus(sums, terms) | place

    def merge(self, left: State, right: State) -> State:
        """Adds the sums of two states that saw different documents."""
        return joined(left, right, plus)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The components, their records, the table and the arrays."""
        sae = self.options.sae
        axes = {"pair": self.options.pair, "sae": sae, **site_axis(inputs, sae)}
        why = _undefined(state)
        if why:
            records = [self._record(SHARE, None, why, state, {**axes, "pc": 1})]
            return Outcome(tuple(records), {"components": []})
        scatter = _scatter(state)
        wanted = min(self.options.components, len(state["rest"]))
        values, vectors = _leading(scatter, wanted)
        vectors = _turned(vectors, state["rest"])
        kept = int(np.count_nonzero(values > _SMALLEST * state["squares"].sum()))
        values, vectors = values[:kept], vectors[:kept]
        best, cosines = self._nearest(inputs, vectors)
        shares = _Shares(state, kept)
        rows = []
        records = []
        for pc, (value, vector) in enumerate(zip(values, vectors, strict=True)):
            where = {**axes, "pc": pc + 1}
            rows.append(
                {
                    **where,
                    "share": float(value / np.trace(scatter)),
                    "share_of_change": float(value / state["moved"][0]),
                    "mean_cosine": _cosine(vector, state["change"]),
                    "feature": int(best[pc]),
                    "cosine": float(cosines[pc]),
                }
            )
            records += self._component(pc, rows[-1], vector, shares, state, inputs, where)
        length = np.sqrt(state["squares"][1] / max(1, state["tokens"].sum()))
        arrays = {"components": vectors, "length": np.array([length])}
        return Outcome(tuple(records), {"components": rows}, arrays=arrays)

    def _component(
        self,
        pc: int,
        row: dict[str, Any],
        vector: Float64[np.ndarray, " d"],
        shares: _Shares,
        state: State,
        inputs: Inputs,
        axes: dict[str, Any],
    ) -> Iterator[Record]:
        ci, ci_why = groups.left_out(lambda kept: shares.of(kept, pc), state["tokens"], (0.0, 1.0))
        yield self._record(SHARE, row["share"], None, state, axes, ci=ci, ci_why=ci_why)
        mean = row["mean_cosine"]
        none = None if mean is not None else "the mean of the change has length 0"
        yield self._record(MEAN, mean, none, state, axes, ci_why=none or _ONE)
        d_sae = inputs.saes[self.options.sae].facts.d_sae or 0
        null = {
            "kind": _NULL,
            "value": largest_expected(d_sae, len(vector)),
            "q95": largest_quantile(0.95, d_sae, len(vector)),
        }
        best = abs(row["cosine"])
        yield self._record(BEST, best, None, state, axes, null=null, ci_why=_ONE)
        if self.options.pcs is not None:
            found, none = self._like(state, inputs, vector)
            yield self._record(PCS, found, none, state, axes, ci_why=none or _ONE)

    def _like(
        self, state: State, inputs: Inputs, vector: Float64[np.ndarray, " d"]
    ) -> tuple[float | None, str | None]:
        """The largest |cos| of a component of what is left with those of the whole change."""
        name = self.options.pcs
        assert name is not None
        found = inputs.directions[name]
        if isinstance(found, Undefined):
            return None, f"{name!r} is undefined: {found.reason}"
        assert isinstance(found, Direction)
        if found.vectors.shape[1] != len(vector) or found.site != site_of(state):
            raise ModelError(
                f"directions.{name} lives at {found.site}, and the change of {self.options.sae} at "
                f"{site_of(state)}. Allowed: components of the same site. Give both the same site"
            )
        units = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
        return min(1.0, float(np.abs(units @ vector).max())), None

    def _nearest(
        self, inputs: Inputs, vectors: Float64[np.ndarray, "found d"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best aligned decoder row of each component, with its signed cosine."""
        best, cosine = np.zeros(len(vectors), np.int64), np.zeros(len(vectors))
        wanted, start = torch.from_numpy(vectors), 0
        for piece in decoder(inputs.saes[self.options.sae])():
            products = (wanted @ piece.T).numpy()
            if products.size:
                place = np.abs(products).argmax(1)
                found = products[np.arange(len(vectors)), place]
                better = np.abs(found) > np.abs(cosine)
                best = np.where(better, start + place, best)
                cosine = np.where(better, found, cosine)
            start += len(piece)
        return best, cosine.clip(-1, 1)

    def _record(
        self,
        id: str,
        value: float | None,
        why: str | None,
        state: State,
        axes: dict[str, Any],
        **rest: Any,
    ) -> Record:
        given = {"ci_why": why or "", **rest}
        documents = int(state["documents"][0]) if "documents" in state else 0
        tokens = int(state["tokens"].sum()) if "tokens" in state else 0
        return number(
            id, value, why, n=tokens, n_of="tokens", unit=_UNITS[id], clusters=documents, axes=axes,
            **given,
        )  # fmt: skip


def _products(rest: Float64[np.ndarray, "tokens d"]) -> Float64[np.ndarray, "d d"]:
    return np.asarray(rest.T @ rest)


def _scatter(state: State, kept: np.ndarray | None = None) -> Float64[np.ndarray, "d d"]:
    """Σ Δε Δεᵀ over all groups, or over those that are kept."""
    d = len(state["rest"])
    total = np.zeros((d, d))
    for group in range(len(state["tokens"])):
        if (kept is None or kept[group]) and f"{_SCATTER}{group}" in state:
            total += state[f"{_SCATTER}{group}"]
    return total


def _undefined(state: State) -> str | None:
    """Why there is no component at all."""
    if "rest" not in state:
        return "no token was selected"
    squares, left = float(state["squares"].sum()), float(np.trace(_scatter(state)))
    if not np.isfinite(squares + left):
        return "the activations are not finite"
    if float(state["moved"][0]) <= _SMALLEST * squares:
        return SAME
    if left <= _SMALLEST * squares:
        return "the SAE rebuilds all of the change: nothing is left"
    return None


class _Shares:
    """The shares of the leading components without one group or another, each computed once."""

    def __init__(self, state: State, count: int) -> None:
        self._state, self._count = state, count
        self._found: dict[bytes, np.ndarray | None] = {}

    def of(self, kept: np.ndarray, pc: int) -> float | None:
        """λ_pc / Σ λ over the groups that are kept."""
        key = kept.tobytes()
        if key not in self._found:
            scatter = _scatter(self._state, kept)
            total = float(np.trace(scatter))
            values = _leading(scatter, self._count)[0] if total > 0 else None
            self._found[key] = None if values is None else values / total
        shares = self._found[key]
        return None if shares is None else float(shares[pc])


def _leading(scatter: Float64[np.ndarray, "d d"], count: int) -> tuple[np.ndarray, np.ndarray]:
    d = len(scatter)
    values, vectors = linalg.eigh(scatter, subset_by_index=[d - count, d - 1])
    return values[::-1].clip(min=0), vectors.T[::-1].copy()


def _turned(
    vectors: Float64[np.ndarray, "k d"], total: Float64[np.ndarray, " d"]
) -> Float64[np.ndarray, "k d"]:
    """Each turned so that it points along the sum; where that is rounding, so that its largest
    coordinate is positive."""
    along = vectors @ total
    largest = vectors[np.arange(len(vectors)), np.abs(vectors).argmax(1)]
    sign = np.where(np.abs(along) > 1e-9 * np.linalg.norm(total), along, largest)
    return np.asarray(np.where(sign < 0, -1.0, 1.0)[:, None] * vectors)


def _cosine(vector: np.ndarray, total: np.ndarray) -> float | None:
    length = float(np.linalg.norm(total))
    return float(np.clip(vector @ total / length, -1, 1)) if length > 0 else None
