"""A sample of a change: tokens drawn by the size of their change, whatever the order of reading."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from harness.contract import Batch, State
from harness_statistics.sums import plus

SMALLEST = 1e-13
"""A change below this share of the activations' own squares is the rounding of float32."""
_SAMPLE = ("key", "size", "document", "rows")
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


@dataclass(frozen=True)
class Drawn:
    """Changes of some tokens, with what each stands for."""

    units: Float64[np.ndarray, "tokens d"]
    """Δh / ‖Δh‖ of each."""
    weight: Float64[np.ndarray, " tokens"]
    """What each stands for of Σ‖Δh‖² over all tokens: its own ‖Δh‖² where it was sure to be drawn,
    more where it was not."""
    document: Int64[np.ndarray, " tokens"]
    """A number for the document that it is of."""


def added(
    state: State,
    batch: Batch,
    change: Float[Tensor, "selected d"],
    sides: Float[Tensor, " selected"],
    most: int,
) -> State:
    """A new state: the old one plus the selected tokens of a batch.

    `key`: u/‖Δh‖² with u in (0, 1) from the hash of the document's id and the token's place, of
    the `most` + 1 tokens where it is smallest; of these `size` ‖Δh‖², `document`, and `rows` Δh.
    Of all tokens: `square` Σ‖Δh‖², `tokens`; of those that changed: `sides`, the sum of `sides`.
    Source: Duffield, Lund and Thorup 2007, "Priority sampling for estimation of arbitrary subset
    sums": of all samples of one size by weight, one of smallest variance; and it merges.
    """
    wide = change.detach().cpu().double().numpy()
    sizes = np.einsum("td,td->t", wide, wide)
    owner = batch.document[batch.selected.to(batch.document.device)].cpu().numpy()
    place = batch.position[batch.selected.to(batch.position.device)].cpu().numpy()
    numbers = np.array([_number(one) for one in batch.documents], np.uint64)[owner]
    keys = np.full(len(sizes), np.inf)
    np.divide(_uniform(numbers, place), sizes, out=keys, where=sizes > 0)
    best = np.flatnonzero(np.isfinite(keys))
    best = best[np.argsort(keys[best], kind="stable")[: most + 1]]
    terms = {
        "square": np.array([sizes.sum()]),
        "sides": np.array([sides.detach().cpu().double().sum().item()]),
        "tokens": np.array([len(sizes)], np.int64),
    }
    out = plus({name: state[name] for name in terms if name in state}, terms)
    mine = {
        "key": keys[best],
        "size": sizes[best],
        "document": numbers[best].astype(np.int64),
        "rows": wide[best],
    }
    return out | _smallest([state, mine], most)


def merged(left: State, right: State, most: int) -> State:
    """The state of the tokens of both."""
    sums = [{k: v for k, v in one.items() if k not in _SAMPLE} for one in (left, right)]
    return plus(*sums) | _smallest([left, right], most)


def _smallest(states: list[State], most: int) -> State:
    """The tokens with the smallest keys of several samples, in the order of their keys."""
    there = [one for one in states if "key" in one]
    if not there:
        return {}
    joined = {name: np.concatenate([one[name] for one in there]) for name in _SAMPLE}
    # Copies of a document have the same keys, and then the same rows: their order is no matter.
    order = np.argsort(joined["key"], kind="stable")[: most + 1]
    return {name: values[order] for name, values in joined.items()}


def drawn(state: State, most: int) -> Drawn:
    """The sample of a state that has tokens: all of them where they are at most `most`.

    Of more, the first `most`, each standing for max(‖Δh‖², 1/the next key): the sum over any of
    them then has the expectation of the sum over all such tokens.
    """
    kept = slice(0, most)
    limit = 1 / state["key"][most] if len(state["key"]) > most else 0.0
    sizes = state["size"][kept]
    units = state["rows"][kept] / np.sqrt(sizes)[:, None]
    return Drawn(units, np.maximum(sizes, limit), state["document"][kept])


def unchanged(
    change: Float[Tensor, "selected d"],
    left: Float[Tensor, "selected d"],
    right: Float[Tensor, "selected d"],
) -> Float[Tensor, "selected d"]:
    """The change, and exactly 0 where it is no more than the rounding of float32."""
    squares = [torch.linalg.vector_norm(one, dim=1).square() for one in (change, left, right)]
    return torch.where((squares[0] > SMALLEST * (squares[1] + squares[2]))[:, None], change, 0)


def both(
    change: Float[Tensor, "selected d"],
    left: Float[Tensor, "selected d"],
    right: Float[Tensor, "selected d"],
) -> Float[Tensor, " selected"]:
    """‖l‖² + ‖r‖² of each token that changed, 0 of the others."""
    squares = [torch.linalg.vector_norm(one, dim=1).square() for one in (left, right)]
    return torch.where(change.any(1), squares[0] + squares[1], 0)


def _number(document: str) -> int:
    """63 bits of a document's id: the same in every shard, process and version."""
    digest = hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _uniform(document: np.ndarray, place: np.ndarray) -> Float64[np.ndarray, " tokens"]:
    """A number in (0, 1) for each token, by splitmix64 of its document and place."""
    bits = document + (place.astype(np.uint64) + np.uint64(1)) * _STEP
    for shift, factor in _MIX:
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    return np.asarray(((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)
