"""Where in the text each feature of an SAE is most active."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache

import numpy as np
from jaxtyping import Int, Shaped

from harness.contract import Batch, Inputs, Outcome, Record, State
from harness_statistics.contexts_best import Entries, best, best_of_documents
from harness_statistics.contexts_windows import ABSENT, windows
from harness_statistics.options import Contexts as Options

_SLOTS = {"values": 0.0, "documents": 0, "positions": ABSENT, "ids": ABSENT, "activations": 0.0}
"""The arrays of the state, each with `count` slots for every feature, and what is in empty ones."""
_TEXT = ("ids", "activations")
"""Those that hold a window in each slot."""


class Contexts:
    """Keeps the `count` contexts in which each feature is strongest, as token ids.

    One context of a document at most: where it is strongest there. "Strongest" is the largest |z|;
    ties are broken by the hash of the document's id, then by position, so that the same text gives
    the same contexts in any order, split or merge. Nothing is decoded: that takes a tokenizer, and
    is for labels to do.

    Arrays, with C = `count` and W = `before` + 1 + `after`; slots are in order of strength:
    `values` Float64 [d_sae, C], z at the centre, 0 in empty slots; `documents`, `positions` Int64
    [d_sae, C], a hash of the document and the token's place in it; `ids` Int64 [d_sae, C, W], the
    tokens around it, −1 where there is none that is measured; `activations` Float64 [d_sae, C, W],
    z on each of them; `centre` Int64 [1], the place in a window of its strongest token.

    Record: `contexts.active_share@1`, the share of the SAE's features with a context, in [0, 1];
    undefined without tokens. Memory: 16 C (W + 2) bytes a feature, whatever the number of tokens.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """Nothing yet."""
        return {}

    def update(self, state: State, batch: Batch) -> State:
        """The state with the batch's contexts that are stronger than those it has."""
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
        found = best_of_documents(
            Entries(
                index[hopeful],
                value[hopeful],
                hashes[batch.document.cpu().numpy()[chosen]],
                batch.position.cpu().numpy()[chosen],
                -1 - row,  # negative: from this batch, not from a slot of the state
            )
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
        """The strongest contexts of both."""
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
        """The record and the arrays."""
        given = self.options
        sae = inputs.saes.get(given.sae)
        state = state or self._empty((sae.facts.d_sae if sae else None) or 0)
        active, width = np.count_nonzero(state["values"][:, 0]), len(state["values"])
        tokens = int(state["tokens"][0])
        site = inputs.sae_sites.get(given.sae)
        axes = {"sae": given.sae, "site": None if site is None else str(site)}
        axes |= {"pair": given.pair, "view": given.view, "data": given.data}
        record = Record(
            id="contexts.active_share@1",
            value=float(active / width) if tokens and width else None,
            n=tokens,
            n_of="tokens",
            unit="share",
            options={"side": given.side} if given.pair else {},
            ci_why="grows with the text that is read: not an estimate",
            undefined=None if tokens and width else "no token was measured",
            axes={name: value for name, value in axes.items() if value is not None},
        )
        arrays = {name: state[name] for name in _SLOTS}
        return Outcome((record,), arrays={**arrays, "centre": np.array([given.before])})

    def _empty(self, d_sae: int) -> State:
        given = self.options
        slots = (d_sae, given.count)
        text = (*slots, given.before + 1 + given.after)
        state = {
            name: np.full(
                text if name in _TEXT else slots,
                empty,
                dtype=np.float64 if isinstance(empty, float) else np.int64,
            )
            for name, empty in _SLOTS.items()
        }
        return {**state, "tokens": np.zeros(1, dtype=np.int64)}


def _entries(state: State, features: Int[np.ndarray, " m"]) -> Entries:
    """What the state holds of some features; `row` is the slot, numbered through the state."""
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
    """One of the arrays of windows, with the slots of all features in a row."""
    array = state[name]
    return array.reshape(-1, array.shape[-1])


def _written(
    state: State, kept: Entries, rank: Int[np.ndarray, " n"], text: dict[str, np.ndarray]
) -> State:
    """A new state in which the features of `kept` have these contexts, and the others theirs."""
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
