"""Which latents carry a change: how many, woken or known before, and by crossing a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harness.contract import Batch, Inputs, Outcome, Record, State
from harness.contract.latents import Latents, counterparts
from harness_statistics.change import groups
from harness_statistics.change.options import ChangeLatentsOptions as Options
from harness_statistics.inputs import site_axis
from harness_statistics.records import number
from harness_statistics.sums import Summed, plus

WOKEN, ENERGY, BOUND, TOP, FLIPS = (
    f"change_latents.{name}@1"
    for name in ("woken", "woken_energy", "bound", "top_share", "flip_share")
)
_PIECE = 2**22
_SAME = "no latent changed on any token"
_COUNTS = "features of one SAE are not independent draws"


class ChangeLatents(Summed):
    """Adds up, for each latent j, what its change Δz_j = z_r − z_l puts into the reconstruction.

    With ‖d_j‖ the length of its decoder row, `E_j = ‖d_j‖² Σ_t Δz_tj²`, t the selected tokens,

    | record | formula |
    |---|---|
    | `change_latents.top_share@1` | the `top` largest E_j over Σ_j E_j |
    | `change_latents.flip_share@1` | the part of Σ_j E_j where z is 0 on one of the two sides |
    | `change_latents.woken@1` | how many latents are *woken* |
    | `change_latents.woken_energy@1` | `Σ_woken ‖d_j‖² Σ_t z_r²` over the same of all latents |
    | `change_latents.bound@1` | 3/N, N the tokens: a woken latent may have been that frequent |

    A latent is *woken* where it is 0 on all N tokens of the left side, and not 0 on at least
    `minimum` tokens and the share `delta` of the right side. That it was never on in N tokens
    bounds its frequency by 3/N (95%), so a rare feature may look woken with little text. A few
    latents with most of E: features moved. A large part by flips: the change lies where latents
    cross their thresholds, where `fvu_change` is large however little moved.

    Range: shares and the bound [0, 1]; of two identical models no latent is woken, and the shares
    of E are 0/0, undefined. Intervals of shares leave out one of `groups` groups of documents at a
    time (jackknife). Not symmetric: left is before.

    Table `features`: the latents with the largest E_j: `share`, `frequency_left`,
    `frequency_right`, and `woken`.
    Memory: four arrays `[groups, d_sae]`.
    Source: METHODS 2, section 5.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def update(self, state: State, batch: Batch) -> State:
        """Adds a batch to the sums of each group of documents."""
        if not len(batch.selected):
            return state
        assert batch.right is not None, "change_latents reads a pair"
        left, right = (side.latents(self.options.sae) for side in (batch.left, batch.right))
        count = max(self.options.groups, 1)
        owner = batch.document[batch.selected.to(batch.document.device)].cpu().numpy()
        group = groups.group_of(batch, count)[owner]
        by_latent = _Sums(group, count, left.d_sae)
        before = counterparts(left, right)
        change = _squares(right.values - before)
        new = (before == 0).cpu().numpy()
        # What is on at the left alone goes to 0: its change is its own value.
        gone = (counterparts(right, left) == 0).cpu().numpy()
        here, there = by_latent.places(right), by_latent.places(left)
        lost = by_latent.summed(there[gone], _squares(left.values)[gone])
        terms = {
            "active_left": by_latent.counted(there),
            "active_right": by_latent.counted(here),
            "right": by_latent.summed(here, _squares(right.values)),
            "change": lost + by_latent.summed(here, change),
            "flips": lost + by_latent.summed(here[new], change[new]),
            "tokens": np.bincount(group, minlength=count),
            "documents": np.array(
                [batch.clusters(np.bincount(owner, minlength=len(batch.documents)))]
            ),
        }
        return plus(state, terms)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Makes the records and the table."""
        sae = self.options.sae
        axes = {"pair": self.options.pair, "sae": sae, **site_axis(inputs, sae)}
        if "tokens" not in state:
            none = "no token was selected"
            return Outcome((self._record(WOKEN, None, none, state, axes),), {"features": []})
        lengths = _square_lengths(inputs, sae)
        records = list(self._records(state, lengths, axes))
        return Outcome(tuple(records), {"features": self._table(state, lengths, axes)})

    def _records(
        self, state: State, lengths: Float64[np.ndarray, " d_sae"], axes: dict[str, str]
    ) -> Iterator[Record]:
        tokens, every = int(state["tokens"].sum()), np.ones(len(state["tokens"]), bool)
        woken = self._woken(state, every)
        given: dict[str, Any] = {"state": state, "axes": axes}
        null = {"kind": "identical", "value": 0.0}
        count = float(np.count_nonzero(woken))
        yield self._record(WOKEN, count, None, unit="features", null=null, ci_why=_COUNTS, **given)
        bound = min(1.0, 3 / tokens)
        exact = "it follows from the number of tokens"
        yield self._record(BOUND, bound, None, ci_why=exact, **given)

        def energy(kept: np.ndarray) -> float | None:
            sizes = lengths * state["right"][kept].sum(0)
            return _over(sizes[self._woken(state, kept)].sum(), sizes.sum())

        yield self._share(ENERGY, energy, "no latent is on", null=null, **given)

        def flips(kept: np.ndarray) -> float | None:
            of, all_of = (lengths * state[name][kept].sum(0) for name in ("flips", "change"))
            return _over(of.sum(), all_of.sum())

        yield self._share(FLIPS, flips, _SAME, **given)
        for m in self.options.top:
            where = {**axes, "top": m}
            yield self._share(TOP, _top(state, lengths, m), _SAME, state=state, axes=where)

    def _woken(self, state: State, kept: np.ndarray) -> np.ndarray:
        tokens = int(state["tokens"][kept].sum())
        left, right = (state[f"active_{side}"][kept].sum(0) for side in ("left", "right"))
        needed = max(self.options.minimum, self.options.delta * tokens * (1 - 1e-12))
        return np.asarray((left == 0) & (right >= needed))

    def _share(
        self,
        id: str,
        value: Callable[[np.ndarray], float | None],
        none: str,
        *,
        state: State,
        axes: dict[str, Any],
        **rest: Any,
    ) -> Record:
        found = value(np.ones(len(state["tokens"]), bool))
        if found is None:
            return self._record(id, None, none, state, axes, **rest)
        ci, ci_why = groups.left_out(value, state["tokens"], (0.0, 1.0))
        return self._record(id, found, None, state, axes, ci=ci, ci_why=ci_why, **rest)

    def _record(
        self,
        id: str,
        value: float | None,
        why: str | None,
        state: State,
        axes: dict[str, Any],
        **rest: Any,
    ) -> Record:
        given: dict[str, Any] = {"unit": "share", "ci_why": why or "", **rest}
        return number(
            id, value, why,
            n=int(state["tokens"].sum()) if "tokens" in state else 0, n_of="tokens",
            clusters=int(state["documents"][0]) if "documents" in state else 0,
            options={"delta": self.options.delta, "minimum": self.options.minimum}, axes=axes,
            **given,
        )  # fmt: skip

    def _table(
        self, state: State, lengths: Float64[np.ndarray, " d_sae"], axes: dict[str, str]
    ) -> list[dict[str, Any]]:
        sizes, tokens = lengths * state["change"].sum(0), int(state["tokens"].sum())
        total = sizes.sum()
        if not total > 0:
            return []
        woken = self._woken(state, np.ones(len(state["tokens"]), bool))
        shares = sizes / total
        order = np.argsort(-shares.round(12), kind="stable")[: self.options.table]
        left, right = (state[f"active_{side}"].sum(0) / tokens for side in ("left", "right"))
        return [
            {
                **axes,
                "feature": int(j),
                "share": float(shares[j]),
                "frequency_left": float(left[j]),
                "frequency_right": float(right[j]),
                "woken": bool(woken[j]),
            }
            for j in order
            if shares[j] > 0
        ]


class _Sums:
    """Adds up numbers of active latents by the group of their token's document."""

    def __init__(self, group: Int64[np.ndarray, " tokens"], count: int, d_sae: int) -> None:
        self._group, self._shape = group, (count, d_sae)

    def places(self, latents: Latents) -> Int64[np.ndarray, " nnz"]:
        """Places of the active latents in a flat matrix `[groups, d_sae]`."""
        token = latents.token.cpu().numpy()
        return np.asarray(self._group[token] * self._shape[1] + latents.indices.cpu().numpy())

    def summed(self, places: np.ndarray, values: np.ndarray) -> Float64[np.ndarray, "groups d_sae"]:
        """Σ of the values at each place."""
        flat = np.bincount(places, values, minlength=self._shape[0] * self._shape[1])
        return np.asarray(flat.reshape(self._shape))

    def counted(self, places: np.ndarray) -> Int64[np.ndarray, "groups d_sae"]:
        """How often each place comes."""
        flat = np.bincount(places, minlength=self._shape[0] * self._shape[1])
        return flat.astype(np.int64).reshape(self._shape)


def _squares(values: Tensor) -> Float64[np.ndarray, " nnz"]:
    found: Float64[np.ndarray, " nnz"] = np.square(values.detach().cpu().double().numpy())
    return found


def _top(
    state: State, lengths: Float64[np.ndarray, " d_sae"], m: int
) -> Callable[[np.ndarray], float | None]:
    def share(kept: np.ndarray) -> float | None:
        sizes = np.sort(lengths * state["change"][kept].sum(0))[::-1]
        return _over(sizes[:m].sum(), sizes.sum())

    return share


def _over(part: float, whole: float) -> float | None:
    return min(1.0, float(part / whole)) if whole > 0 else None


def _square_lengths(inputs: Inputs, sae: str) -> Float64[np.ndarray, " d_sae"]:
    """‖d_j‖² of every latent, some rows at a time."""
    loaded = inputs.saes[sae]
    d_sae = loaded.facts.d_sae
    assert d_sae is not None, "a loaded SAE knows its width"
    width = loaded.rows(torch.arange(1)).shape[1]
    step = max(1, _PIECE // width)
    pieces = []
    for start in range(0, d_sae, step):
        rows = loaded.rows(torch.arange(start, min(start + step, d_sae))).detach().cpu().double()
        pieces.append(rows.square().sum(1).numpy())
    return np.concatenate(pieces)
