"""First and second moments of latents and of raw activations, per dimension, in one pass."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from harness.contract import Batch, Inputs, Outcome, Side, State
from harness.contract.latents import Latents
from harness.contract.sites import parse_site
from harness_statistics.options import LatentMomentsOptions as Options
from harness_statistics.sums import Summed, plus


class LatentMoments(Summed):
    """Sums over tokens of each latent z_j, and of each raw dimension x_i, before (l) and after (r).

    | array | shape | what |
    |---|---|---|
    | `tokens`, `documents` | Int64 `[groups]` | how many were measured |
    | `left_sum`, `left_square` | Float64 `[groups, d_sae]` | Σ z_l, Σ z_l² |
    | `change_square` | Float64 `[groups, d_sae]` | Σ (z_r − z_l)², token by token |
    | `right_sum`, `right_square` | Float64 `[groups, d_sae]` | Σ z_r, Σ z_r² |
    | `left_active`, `right_active` | Int64 `[d_sae]` | tokens with z ≠ 0 |
    | `raw_left_sum`, … | Float64 `[groups, d_site]` | the same sums of x at the site `raw` |

    Of a view by itself, only the left ones. Tokens are those that passed the stream's filters.
    Documents fall into groups by the hash of their id, so that an analysis can leave out one group
    at a time; with `groups = 0` there is one. A change is subtracted token by token, so identical
    sides give exactly 0. Without a measured token `tokens` is 0 and the sums are absent. The
    statistic makes no records; the analysis `sts` makes them from the arrays.
    Source: SAE as a Crystal Ball, section 4.1.
    """

    def __init__(self, given: Options) -> None:
        self.options = given
        self._groups = max(given.groups, 1)
        self._raw = None if given.raw is None else parse_site(given.raw)

    def start(self, inputs: Inputs) -> State:
        """An empty state: every sum is zero."""
        return {name: np.zeros(self._groups, np.int64) for name in ("tokens", "documents")}

    def update(self, state: State, batch: Batch) -> State:
        """Adds the sums of a batch, group by group."""
        if not len(batch.selected):
            return state
        document = batch.document.index_select(0, batch.selected).cpu().numpy()
        of = np.array([_group(id, self._groups) for id in batch.documents], np.int64)
        group = of[document]
        sums = _Sums(group, self._groups)
        terms = {
            "tokens": np.bincount(group, minlength=self._groups),
            "documents": np.bincount(of[_first(batch, document)], minlength=self._groups),
        }
        sides = {"left": batch.left, **({"right": batch.right} if batch.right else {})}
        latents = {name: _matrix(side.latents(self.options.sae)) for name, side in sides.items()}
        for name, z in latents.items():
            terms[f"{name}_sum"] = sums.sparse(z)
            terms[f"{name}_square"] = sums.sparse(z.power(2))
            terms[f"{name}_active"] = np.bincount(z.indices, minlength=z.shape[1])
        if "right" in latents:
            change = latents["right"] - latents["left"]
            terms["change_square"] = sums.sparse(change.power(2))
        if self._raw is not None:
            xs = {name: self._activations(side, batch) for name, side in sides.items()}
            for name, x in xs.items():
                terms[f"raw_{name}_sum"] = sums.dense(x)
                terms[f"raw_{name}_square"] = sums.dense(x.square())
            if "right" in xs:
                terms["raw_change_square"] = sums.dense((xs["right"] - xs["left"]).square())
        return plus(state, terms)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Gives the sums as arrays, for analyses to read."""
        return Outcome(arrays=dict(state))

    def _activations(self, side: Side, batch: Batch) -> Float[Tensor, "selected d"]:
        assert self._raw is not None
        whole = side.x(self._raw)
        x = whole.index_select(0, batch.selected.to(whole.device)).detach()
        # Apple's GPU knows no float64.
        return (x.cpu() if x.device.type == "mps" else x).double()


class _Sums:
    """Adds up rows of a batch by the group of their document."""

    def __init__(self, group: Int[np.ndarray, " tokens"], groups: int) -> None:
        self._group = group
        # One row for each group, with a one for each of its tokens.
        ones = np.ones(len(group))
        places = (group, np.arange(len(group)))
        self._gather = sparse.csr_array((ones, places), shape=(groups, len(group)))

    def sparse(self, z: sparse.csr_array) -> Float[np.ndarray, "groups d"]:
        """Σ over the tokens of each group; no matrix `[tokens, d]` is made."""
        total: np.ndarray = (self._gather @ z).toarray()
        return total

    def dense(self, x: Float[Tensor, "tokens d"]) -> Float[np.ndarray, "groups d"]:
        """Σ over the tokens of each group."""
        group = torch.from_numpy(self._group).to(x.device)
        total = x.new_zeros(self._gather.shape[0], x.shape[1]).index_add_(0, group, x)
        return total.cpu().numpy()


def _matrix(latents: Latents) -> sparse.csr_array:
    """Latents of some tokens as scipy's rows, float64."""
    values = latents.values.detach().cpu().double().numpy()
    indices, offsets = latents.indices.cpu().numpy(), latents.offsets.cpu().numpy()
    return sparse.csr_array((values, indices, offsets), shape=(latents.tokens, latents.d_sae))


def _first(batch: Batch, document: np.ndarray) -> np.ndarray:
    """The documents that have one of these tokens, copies of earlier ones left out."""
    there = np.unique(document)
    return there[np.array(batch.copies)[there] == 0] if batch.copies else there


def _group(document: str, groups: int) -> int:
    """The group of a document: the same in every shard, process and version."""
    digest = hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % groups
