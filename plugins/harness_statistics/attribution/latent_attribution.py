"""Which latents of an SAE carry a change of behaviour from one model to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from harness.contract import Batch, Inputs, Outcome, Record, State
from harness.contract.attributed import EXACT
from harness.results.replicates import replicated
from harness_statistics.attribution import sums
from harness_statistics.attribution.options import LatentAttributionOptions as Options
from harness_statistics.attribution.ranking import Ranking, agreement, ranking, shuffled_tops
from harness_statistics.inputs import site_axis
from harness_statistics.records import drawn, number

PARTS = ("change", "up", "down", "latents", "error", "rest")
"""The records of means over prompts, in nats."""
GAP, PUT_BACK, TOP, RANKS = (
    f"latent_attribution.{name}@1" for name in ("gap", "put_back", "top", "rank_agreement")
)
_CHOSEN = "its latents are chosen by the same prompts"
_FEW = "ranks of the latents of one SAE are not independent draws"


class LatentAttribution:
    """Splits how far two models are apart in a number M of their predictions among latents.

    M_θ(h): M of the model whose layers above the SAE's site are those of the side θ, with h at the
    site at all positions; h_l and h_r are what the left and the right model have there on the same
    tokens. Means over prompts, in nats:

    | record | formula |
    |---|---|
    | `latent_attribution.change@1` | M_r(h_r) − M_l(h_l) = up + down |
    | `latent_attribution.up@1` | ½ Σ_θ [M_θ(h_r) − M_θ(h_l)]: what the activations carry |
    | `latent_attribution.down@1` | ½ Σ_h [M_r(h) − M_l(h)]: what the layers above do alone |
    | `latent_attribution.latents@1` | Σ_j A_j |
    | `latent_attribution.error@1` | A_err: selected tokens, what no latent says of their change |
    | `latent_attribution.rest@1` | Σ_t ḡ·Δh of all other tokens (BOS, ends of turns, filtered) |
    | `latent_attribution.gap@1` | Σ abs(δ − Σ_t ḡ·Δh) over Σ abs(δ), δ = M_θ(h_r) − M_θ(h_l) |
    | `latent_attribution.put_back@1` | the largest abs(M_θ(h_θ) − M plain) / max(1, abs(M plain)) |
    | `latent_attribution.top@1` | Σ A_j of the first `k`, over up |
    | `latent_attribution.rank_agreement@1` | Spearman of abs(A_j) and Σ_t abs(Δz_tj) |

    `A_j = Σ_t (ḡ_t·d_j) Δz_tj` with d_j the decoder row, Δz = z_r − z_l in the scale in which x̂ is
    Σ z·d (also of SAEs that scale their input), and ḡ = ∂M_θ/∂h averaged over the path's points and
    over both θ. So `up = latents + error + rest + what the gradients miss`, the last at most the
    gap. Latents rank by A_j in the direction of up. The null of `top` deals decoder directions out
    anew among the latents, at their own lengths, and takes the first k of those: `value` is the
    mean, `largest` the largest of all shuffles. If up is small, no latent of this site
    explains the change.

    Table `features`: the first `table` latents: `attribution` (mean over prompts), its 95% interval
    (Student's, by prompt), `left` and `right` (A_j on each side's upper layers), `positive` (share
    of prompts with A_j > 0), `moved` (mean Σ_t |Δz_tj|), `rank_by_change`. Arrays: `attribution`,
    `half_interval`, `positive`, `moved` of all latents.
    Undefined: without a prompt that has a selected token and a defined M; where h does not
    determine the layers above (`put_back` above 1e-5: per-layer embeddings, values that later
    layers reuse); rankings where the gap is above `gap_max`, or fewer than k latents push that way.
    Range: all numbers in nats; gap [0, ∞); put_back [0, ∞); top any; rank_agreement [−1, 1].
    Two identical models: change, up, down and all A are exactly 0. Not symmetric: left is before.
    Memory: 7 + `shuffles` numbers for each latent.
    Source: METHODS 2, section 4; Marks et al., arXiv 2403.19647 (integrated gradients of features
    and the error's node); Syed et al. 2023 (attribution patching). The two-model form is ours.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """No prompts yet: the seed of what is drawn."""
        return {"seed": np.array([inputs.seed], dtype=np.int64)}

    def update(self, state: State, batch: Batch) -> State:
        """Adds a batch's prompts to the sums."""
        return sums.added(state, batch, self.options.sae, self.options.shuffles)

    def merge(self, left: State, right: State) -> State:
        """The state of the prompts of both."""
        return sums.merged(left, right)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Makes the records, the table and the arrays from the sums."""
        sae = self.options.sae
        axes = {"pair": self.options.pair, "sae": sae, **site_axis(inputs, sae)}
        if "whole" not in state:
            lost = int(state["undefined"][0]) if "undefined" in state else 0
            none = "no prompt has a selected token"
            why = f"the number is undefined for all {lost} prompts" if lost else none
            return Outcome(tuple(self._nothing(why, axes)), {"features": []})
        columns = dict(zip(sums.WHOLE, replicated(state["whole"]).T, strict=True))
        why = self._unsound(state)
        records = list(self._whole(state, columns, why, axes))
        gap = _over(columns["gap"], columns["size"])
        refused = why or self._incomplete(float(gap[0]))
        if refused:
            records += self._unranked(refused, axes, self._n(state))
            return Outcome(tuple(records), {"features": []})
        documents = float(columns["n"][0])
        ranked = ranking(
            state, documents, int(state["clusters"][0]), float(columns["up"][0] / documents)
        )
        records += self._ranked(state, columns, ranked, axes)
        arrays = {
            "attribution": ranked.mean,
            "half_interval": ranked.half,
            "positive": state["positive"] / documents,
            "moved": ranked.moved,
        }
        table = list(self._rows(state, documents, ranked, axes))
        return Outcome(tuple(records), {"features": table}, arrays=arrays)

    def _unsound(self, state: State) -> str | None:
        off = float(state[sums.LARGEST][0])
        if off <= EXACT:
            return None
        return (
            f"a model's own activations, put back at the site, change the number by {off:.2g}: "
            "something else than they reaches the layers above, such as embeddings of each layer"
        )

    def _incomplete(self, gap: float) -> str | None:
        if not np.isfinite(gap):
            return "the activations at the site change nothing in the number"
        if gap <= self.options.gap_max:
            return None
        more = 'order = "integrated"' if self.options.order == "first" else "more steps"
        return (
            f"what the gradients say misses {gap:.2g} of the change, more than gap_max = "
            f"{self.options.gap_max:g}; {more} may help"
        )

    # ── Records ──

    def _whole(
        self,
        state: State,
        columns: Mapping[str, Float64[np.ndarray, " replicates"]],
        why: str | None,
        axes: Mapping[str, Any],
    ) -> Iterator[Record]:
        rest: dict[str, Any] = {**self._n(state), "axes": axes}
        null = {"kind": "identical", "value": 0.0}
        for part in PARTS:
            yield drawn(
                f"latent_attribution.{part}@1", None if why else _over(columns[part], columns["n"]),
                why, unit="nats", null=null, **rest,
            )  # fmt: skip
        gap = _over(columns["gap"], columns["size"])
        none = "the activations at the site change nothing in the number"
        yield drawn(GAP, None if why else gap, why or none, unit="ratio", **rest)
        yield number(
            PUT_BACK, float(state[sums.LARGEST][0]), None, ci_why="the largest of all prompts",
            unit="ratio", **rest,
        )  # fmt: skip

    def _ranked(
        self,
        state: State,
        columns: Mapping[str, Float64[np.ndarray, " replicates"]],
        ranked: Ranking,
        axes: Mapping[str, Any],
    ) -> Iterator[Record]:
        documents = float(columns["n"][0])
        up = float(columns["up"][0] / documents)
        for k in self.options.k:
            top, chance = ranked.top(k), shuffled_tops(state, documents, ranked.sign, k)
            only = f"only {len(ranked.order)} latents push the number where it went"
            shares = np.array(chance) / up if up else np.zeros(0)
            null = {
                "kind": "directions dealt out anew",
                "value": float(shares.mean()),
                "largest": float(shares.max()),
            }
            yield number(
                TOP, None if top is None else top / up, only if top is None else None,
                ci_why=_CHOSEN, unit="ratio", null=None if top is None else null,
                axes={**axes, "k": k}, **self._n(state),
            )  # fmt: skip
        active = ranked.moved > 0
        found = agreement(np.abs(ranked.mean[active]), ranked.moved[active])
        few = "fewer than three latents change, or all alike"
        yield number(
            RANKS, found, few if found is None else None, ci_why=_FEW, unit="correlation",
            null={"kind": "independent", "value": 0.0}, axes=axes, **self._n(state),
        )  # fmt: skip

    def _n(self, state: State) -> dict[str, Any]:
        n = round(float(state["whole"][0, 0])) if "whole" in state else 0
        clusters = int(state["clusters"][0]) if "clusters" in state else 0
        kept = self.options.model_dump(mode="json", exclude={"pair", "sae", "table", "k"})
        return {"n": n, "n_of": "prompts", "clusters": clusters, "options": kept}

    def _nothing(self, why: str, axes: Mapping[str, Any]) -> Iterator[Record]:
        rest: dict[str, Any] = {**self._n({}), "axes": axes, "ci_why": why}
        for part in PARTS:
            yield number(f"latent_attribution.{part}@1", None, why, unit="nats", **rest)
        for id in (GAP, PUT_BACK):
            yield number(id, None, why, unit="ratio", **rest)
        yield from self._unranked(why, axes, self._n({}))

    def _unranked(
        self, why: str, axes: Mapping[str, Any], n: Mapping[str, Any]
    ) -> Iterator[Record]:
        for k in self.options.k:
            at = {**axes, "k": k}
            yield number(TOP, None, why, ci_why=why, unit="ratio", axes=at, **n)
        yield number(RANKS, None, why, ci_why=why, unit="correlation", axes=axes, **n)

    def _rows(
        self, state: State, documents: float, ranked: Ranking, axes: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        by_change = np.empty(len(ranked.moved), dtype=np.int64)
        by_change[np.argsort(-ranked.moved.round(12), kind="stable")] = np.arange(
            1, len(ranked.moved) + 1
        )
        for rank, j in enumerate(ranked.order[: self.options.table], 1):
            half = float(ranked.half[j])
            known = bool(np.isfinite(half))
            yield {
                **axes,
                "rank": rank,
                "feature": int(j),
                "attribution": float(ranked.mean[j]),
                "low": float(ranked.mean[j] - half) if known else None,
                "high": float(ranked.mean[j] + half) if known else None,
                "left": float(state["left"][j] / documents),
                "right": float(state["right"][j] / documents),
                "positive": float(state["positive"][j] / documents),
                "moved": float(ranked.moved[j]),
                "rank_by_change": int(by_change[j]),
            }


def _over(
    part: Float64[np.ndarray, " replicates"], whole: Float64[np.ndarray, " replicates"]
) -> Float64[np.ndarray, " replicates"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))
