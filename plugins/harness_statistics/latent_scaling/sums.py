"""Sums over tokens of which the coefficients of all latents are made, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from harness.contract import Batch, Inputs, SaeFacts, Side, Site, State
from harness.contract.latents import Latents
from harness.contract.sites import parse_site
from harness.errors import ModelError
from harness_statistics.change.groups import group_of
from harness_statistics.sums import plus

SideOf = Literal["left", "right"]
_PIECE = 2**20
"""Numbers of gathered rows that are made float64 at a time."""
_LARGE = 2.0**20
"""A latent is decoded at this value, so that the bias beside it costs its row no digit."""
_WHERE = ("site", "columns")
"""Entries of a state that are no sums."""


@dataclass(frozen=True)
class Scaling:
    """Adds up what each latent f_j has in common with the activations, along its row d_j.

    d_j is the row of `side`, for both sides. The state has, for each group of documents,

    | entry | shape | what |
    |---|---|---|
    | `left`, `right` | `[groups, d_sae]` | Σ_t f_tj ⟨x_t, d_j⟩ of either side |
    | `left_hat`, `right_hat` | `[groups, d_sae]` | the same of x̂; of crosscoders alone |
    | `sum`, `square`, `active` | `[groups, d_sae]` | Σ f, Σ f², tokens where f is not 0 |
    | `mean`, `energy` | `[groups, d]`, `[groups]` | Σ u, Σ ‖u‖², u = right − left; of SAEs of
      differences alone |
    | `tokens`, `documents` | `[groups]`, `[1]` | how many were read |

    Tokens where f is 0 add nothing, so only active latents are looked at: no matrix of tokens,
    latents and dimensions is made.
    """

    sae: str
    side: SideOf
    groups: int

    def started(self, inputs: Inputs) -> State:
        """Where to read and which columns of a row are whose: `update` is not told."""
        loaded, site = inputs.saes.get(self.sae), inputs.sae_sites.get(self.sae)
        if loaded is None or site is None:
            return {}
        columns = columns_of(loaded.facts)
        ends = [end for side in ("left", "right") for end in columns[side]]
        apart = int(loaded.facts.join == "concatenated")
        return {
            "site": np.frombuffer(str(site).encode(), np.uint8).astype(np.int64),
            "columns": np.array([apart, *ends], np.int64),
        }

    def added(self, state: State, batch: Batch) -> State:
        """A new state with the selected tokens of a batch."""
        if not len(batch.selected):
            return state
        assert batch.right is not None, "latent_scaling reads a pair"
        site = parse_site(bytes(state["site"].astype(np.uint8)).decode())
        latents = batch.left.latents(self.sae)
        if latents.context:
            raise ModelError(
                f"saes.{self.sae}: it scales each token by itself, so its rows have no one length. "
                "Allowed here: SAEs that scale all tokens alike"
            )
        xs = {
            "left": _selected(batch, batch.left, site),
            "right": _selected(batch, batch.right, site),
        }
        apart = bool(state["columns"][0])
        targets = dict(xs)
        if apart:
            for name, side in (("left", batch.left), ("right", batch.right)):
                targets[f"{name}_hat"] = side.reconstruction(self.sae)
        count = max(self.groups, 1)
        owner = batch.document[batch.selected.to(batch.document.device)].cpu().numpy()
        group = group_of(batch, count)[owner]
        low, high = self._own(state)
        terms = _latent_sums(batch.left, self.sae, latents, targets, slice(low, high), group, count)
        terms["tokens"] = np.bincount(group, minlength=count)
        there = np.bincount(owner, minlength=len(batch.documents))
        terms["documents"] = np.array([batch.clusters(there)])
        if not apart:
            change = (_wide(xs["right"]) - _wide(xs["left"])).cpu()
            terms["mean"] = _by_group(change, group, count)
            terms["energy"] = _by_group(change.square().sum(1, keepdim=True), group, count)[:, 0]
        return self.merged(state, terms)

    def merged(self, left: State, right: State) -> State:
        """The state of both: their sums, at the one place that both have."""
        sums = [{k: v for k, v in one.items() if k not in _WHERE} for one in (left, right)]
        where = {k: v for one in (right, left) for k, v in one.items() if k in _WHERE}
        return plus(*sums) | where

    def _own(self, state: State) -> tuple[int, int]:
        ends = state["columns"][1:].tolist()
        return (ends[0], ends[1]) if self.side == "left" else (ends[2], ends[3])


def columns_of(facts: SaeFacts) -> dict[str, tuple[int, int]]:
    """Which columns of a joined row are each side's; of a difference, all are both sides'."""
    parts = zip(facts.inputs, facts.columns(), strict=True)
    return {str(one.side): (part.start, part.stop) for one, part in parts}


def _latent_sums(
    side: Side,
    sae: str,
    latents: Latents,
    targets: dict[str, Float[Tensor, "tokens d"]],
    own: slice,
    group: Int64[np.ndarray, " tokens"],
    count: int,
) -> dict[str, np.ndarray]:
    """The sums of the active latents, by group."""
    size = count * latents.d_sae
    token, indices = latents.token, latents.indices
    places = group[token.cpu().numpy()] * latents.d_sae + indices.cpu().numpy()
    values = latents.values.detach().cpu().double().numpy()
    terms = {
        "sum": np.bincount(places, values, minlength=size),
        "square": np.bincount(places, values**2, minlength=size),
        "active": np.bincount(places, minlength=size).astype(np.int64),
    }
    along = {name: np.zeros(len(values)) for name in targets}
    for part, rows in _rows(side, sae, latents, own):
        at = part.cpu().numpy()
        for name, y in targets.items():
            mine = _wide(y[token[part].to(y.device)])
            along[name][at] = torch.linalg.vecdot(mine, rows.to(mine.device)).cpu().numpy()
    for name, products in along.items():
        terms[name] = np.bincount(places, values * products, minlength=size)
    return {name: term.reshape(count, latents.d_sae) for name, term in terms.items()}


def _rows(
    side: Side, sae: str, latents: Latents, own: slice
) -> Iterator[tuple[Int64[Tensor, " piece"], Float64[Tensor, "piece d"]]]:
    """The active latents in pieces, as places among them, with the decoder row of each."""
    order = torch.argsort(latents.indices)  # so that a piece has few different ones
    step = max(1, _PIECE // max(1, own.stop - own.start))
    none = _at(latents, latents.indices[:0], 1)
    bias = side.decode(sae, none)[:, own]
    for part in order.split(step):
        some, which = torch.unique_consecutive(latents.indices[part], return_inverse=True)
        decoded = side.decode(sae, _at(latents, some, len(some)))[:, own]
        yield part, ((_wide(decoded) - _wide(bias)) / _LARGE)[which.to(decoded.device)]


def _at(latents: Latents, indices: Tensor, tokens: int) -> Latents:
    """One latent a token, all at one large value; or a token without any."""
    device = latents.values.device
    offsets = torch.arange(tokens + 1, device=device) if len(indices) else torch.zeros(
        tokens + 1, dtype=torch.long, device=device
    )  # fmt: skip
    values = torch.full((len(indices),), _LARGE, dtype=latents.values.dtype, device=device)
    return Latents(offsets, indices, values, latents.d_sae)


def _by_group(
    rows: Float64[Tensor, "tokens n"], group: np.ndarray, count: int
) -> Float64[np.ndarray, "groups n"]:
    out = torch.zeros(count, rows.shape[1], dtype=torch.float64)
    return out.index_add_(0, torch.from_numpy(group), rows).numpy()


def _selected(batch: Batch, side: Side, site: Site) -> Float[Tensor, "selected d"]:
    x = side.x(site)
    return x if len(batch.selected) == len(x) else x[batch.selected.to(x.device)]


def _wide(x: Tensor) -> Float64[Tensor, "*any"]:
    # Apple's GPU knows no float64.
    return (x.cpu() if x.device.type == "mps" else x).double()
