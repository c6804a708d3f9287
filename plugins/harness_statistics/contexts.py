"""Where in the text each feature of an SAE is most active."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from harness.contract import Batch, Inputs, Outcome, Record, State
from harness.contract.latents import Latents
from harness_statistics.inputs import site_axis, width
from harness_statistics.options import ContextsOptions as Options

ABSENT = -1
"""The id of a place of a window that holds no measured token of the document."""
_SLOTS = {"values": 0.0, "documents": 0, "positions": ABSENT, "ids": ABSENT, "activations": 0.0}
"""The arrays of the state, each with `count` slots for every feature, and what is in empty ones."""
_TEXT = ("ids", "activations")
"""Those that hold a window in each slot."""


class Contexts:
    """Keeps the `count` contexts in which each feature is strongest, as token ids.

    One context of a document at most: where it is strongest there. "Strongest" is the largest |z|;
    ties are broken by the hash of the document's id, then by position, so that the same text gives
    the same contexts in any order, split or merge. Token ids are not decoded: sources of labels
    do that, with a tokenizer.

    Arrays, with C = `count` and W = `before` + 1 + `after`; slots are in order of strength:
    `values` Float64 [d_sae, C], z at the centre, 0 in empty slots; `documents`, `positions` Int64
    [d_sae, C], a hash of the document and the token's place in it; `ids` Int64 [d_sae, C, W], the
    tokens around it, −1 where there is none that is measured; `activations` Float64 [d_sae, C, W],
    z on each of them; `centre` Int64 [1], the place in a window of its strongest token.

    Record: `contexts.active_share@1`, the share of the SAE's features with a context, in [0, 1];
    undefined without tokens; no interval, as it grows with the text that is read.
    Memory: 16 C (W + 2) bytes a feature, whatever the number of tokens.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """An empty state: no context yet."""
        return {}

    def update(self, state: State, batch: Batch) -> State:
        """Adds the contexts of a batch that are stronger than those kept so far."""
        given = self.options
        if not len(batch.selected):
            return state
        side = batch.left if given.side == "left" else batch.right
        assert side is not None, "the right side of a pair was asked for"
        latents = side.latents(given.sae)
        state = state or self._empty(latents.d_sae)
        tokens = state["tokens"] + len(batch.selected)
        index = latents.indices.cpu().numpy()
        value = latents.values.detach().cpu().double().numpy()
        # Most latents are weaker than the weakest kept one; equals may still win a tie.
        hopeful = np.flatnonzero(np.abs(value) >= np.abs(state["values"][:, -1])[index])
        if not len(hopeful):
            return {**state, "tokens": tokens}
        row = latents.token.cpu().numpy()[hopeful]
        chosen = batch.selected.cpu().numpy()[row]
        hashes = np.array([_hash(name) for name in batch.documents], dtype=np.int64)
        found = Entries(
            index[hopeful],
            value[hopeful],
            hashes[batch.document.cpu().numpy()[chosen]],
            batch.position.cpu().numpy()[chosen],
            -1 - row,  # negative: from this batch, not from a slot of the state
        )
        kept, rank = best(_entries(state, np.unique(found.feature)).plus(found), given.count)
        fresh = kept.row < 0
        token, feature = -1 - kept.row[fresh], kept.feature[fresh]
        new = windows(batch, latents, token, feature, given.before, given.after)
        text = {name: _slots(state, name)[np.maximum(kept.row, 0)] for name in _TEXT}
        for name, array in zip(_TEXT, new, strict=True):
            text[name][fresh] = array
        return {**_written(state, kept, rank, text), "tokens": tokens}

    def merge(self, left: State, right: State) -> State:
        """Keeps the strongest contexts of two states that saw different documents."""
        if not left or not right:
            return left or right
        everything = np.arange(len(left["values"]))
        one, other = _entries(left, everything), _entries(right, everything)
        other = replace(other, row=other.row + left["values"].size)
        kept, rank = best(one.plus(other), self.options.count)
        text = {
            name: np.concatenate([_slots(left, name), _slots(right, name)])[kept.row]
            for name in _TEXT
        }
        merged = _written(self._empty(len(left["values"])), kept, rank, text)
        return {**merged, "tokens": left["tokens"] + right["tokens"]}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Makes the record and the arrays."""
        given = self.options
        state = state or self._empty(width(inputs, given.sae))
        active, features = np.count_nonzero(state["values"][:, 0]), len(state["values"])
        tokens = int(state["tokens"][0])
        measured = bool(tokens and features)
        of = {"pair": given.pair, "view": given.view, "data": given.data}
        axes = {name: value for name, value in of.items() if value is not None}
        record = Record(
            id="contexts.active_share@1",
            value=float(active / features) if measured else None,
            n=tokens,
            n_of="tokens",
            unit="share",
            options={"side": given.side} if given.pair else {},
            ci_why="grows with the text that is read: not an estimate",
            undefined=None if measured else "no token was measured",
            axes={"sae": given.sae, **site_axis(inputs, given.sae), **axes},
        )
        arrays = {name: state[name] for name in _SLOTS}
        return Outcome((record,), arrays={**arrays, "centre": np.array([given.before])})

    def _empty(self, d_sae: int) -> State:
        given = self.options
        slots = (d_sae, given.count)
        text = (*slots, given.before + 1 + given.after)
        return {
            "tokens": np.zeros(1, dtype=np.int64),
            **{
                name: np.full(text if name in _TEXT else slots, empty)
                for name, empty in _SLOTS.items()
            },
        }


# ── The strongest entries of each feature, in whatever order they come ──


@dataclass(frozen=True)
class Entries:
    """Candidates for contexts of features: tokens on which a latent is not zero."""

    feature: Int[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]
    document: Int[np.ndarray, " n"]
    """A hash of the document's id."""
    position: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    """Where the entry comes from; never compared."""

    def take(self, chosen: Shaped[np.ndarray, " m"]) -> Entries:
        """The chosen entries, in the order of `chosen`."""
        return Entries(*(getattr(self, one.name)[chosen] for one in fields(self)))

    def plus(self, other: Entries) -> Entries:
        """These entries, then the others."""
        both = (
            np.concatenate([getattr(self, one.name), getattr(other, one.name)])
            for one in fields(self)
        )
        return Entries(*both)


def best(entries: Entries, count: int) -> tuple[Entries, Int[np.ndarray, " n"]]:
    """Of each feature the `count` strongest entries of different documents, and their ranks.

    Of a document the strongest entry counts, of equal ones the first in the text. Ordered by
    feature, then rank from 0; equal strengths by the document's hash. The best of a union are the
    best of the parts' best, so that parts merge in any order.
    """
    strength = -np.abs(entries.value)
    order = np.lexsort((entries.position, strength, entries.document, entries.feature))
    entries = entries.take(order)
    entries = entries.take(_first(entries.feature, entries.document))
    entries = entries.take(np.lexsort((entries.document, -np.abs(entries.value), entries.feature)))
    place = np.arange(len(entries.feature))
    rank = place - np.maximum.accumulate(np.where(_first(entries.feature), place, 0))
    return entries.take(rank < count), rank[rank < count]


def _first(*columns: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether each row of sorted columns differs from the row before it."""
    first = np.ones(len(columns[0]), dtype=bool)
    first[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return first


def _entries(state: State, features: Int[np.ndarray, " m"]) -> Entries:
    """The contexts that a state holds of some features; `row` is the slot, counted over all."""
    values = state["values"][features]
    place, slot = values.nonzero()
    feature = features[place]
    return Entries(
        feature,
        values[place, slot],
        state["documents"][feature, slot],
        state["positions"][feature, slot],
        feature * values.shape[1] + slot,
    )


def _slots(state: State, name: str) -> Shaped[np.ndarray, "slots window"]:
    """An array of windows as a row for each slot, all slots of feature 0 first."""
    array = state[name]
    return array.reshape(-1, array.shape[-1])


def _written(
    state: State, kept: Entries, rank: Int[np.ndarray, " n"], text: dict[str, np.ndarray]
) -> State:
    """A new state in which the features of `kept` have new contexts; the others keep theirs."""
    found = {"values": kept.value, "documents": kept.document, "positions": kept.position, **text}
    out = {name: state[name].copy() for name in _SLOTS}
    # A feature never loses a slot: what was there is either kept or replaced by what is stronger.
    for name, array in found.items():
        out[name][kept.feature, rank] = array
    return out


@lru_cache(maxsize=4096)
def _hash(document: str) -> int:
    """63 bits of a document's id: the same in every process."""
    digest = hashlib.blake2b(document.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


# ── The text around a token ──


def windows(
    batch: Batch,
    latents: Latents,
    token: Int[np.ndarray, " n"],
    feature: Int[np.ndarray, " n"],
    before: int,
    after: int,
) -> tuple[Int[np.ndarray, "n window"], Float[np.ndarray, "n window"]]:
    """Token ids around selected tokens, and the latent of a feature on each of them.

    `token` is a row of `latents`, `feature` the latent to look up around it. A window has the
    places −before … after around its token; `ABSENT` and 0 where the document has no measured
    token.
    """
    row, ids = _around(batch, token, before, after)
    selected = np.full(len(batch.document) + 1, -1)  # the last one stands for absent tokens
    selected[batch.selected.cpu().numpy()] = np.arange(len(batch.selected))
    return ids, _values(latents, selected[row], feature)


def _around(
    batch: Batch, token: Int[np.ndarray, " n"], before: int, after: int
) -> tuple[Int[np.ndarray, "n window"], Int[np.ndarray, "n window"]]:
    """For each place of each window the measured token there (−1 for none), and its id."""
    document, position = batch.document.cpu().numpy(), batch.position.cpu().numpy()
    width = int(position.max(initial=0)) + before + after + 1  # no window reaches another document
    key = document * width + position + before
    centre = batch.selected.cpu().numpy()[token]
    row = _places(key, key[centre][:, None] + np.arange(-before, after + 1))
    return row, np.where(row >= 0, batch.ids.cpu().numpy()[row], ABSENT)


def _values(
    latents: Latents, row: Int[np.ndarray, "n window"], feature: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n window"]:
    """The latent of a feature on each row of its window; 0 on row −1, which is no token."""
    index = latents.indices.cpu().numpy()
    asked = np.zeros(latents.d_sae, dtype=bool)
    asked[feature] = True
    kept = asked[index]
    key = latents.token.cpu().numpy()[kept] * latents.d_sae + index[kept]
    value = latents.values.detach().cpu().double().numpy()[kept]
    place = _places(key, row * latents.d_sae + feature[:, None])  # row −1 has none: keys are ≥ 0
    return np.where(place >= 0, value[place], 0.0)


def _places(keys: Int[np.ndarray, " m"], wanted: Int[np.ndarray, "n w"]) -> Int[np.ndarray, "n w"]:
    """Where each wanted number stands in `keys`, −1 where it does not; no key is there twice."""
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys[order], wanted), len(order) - 1)
    return np.where(keys[order][at] == wanted, order[at], -1)
