"""One number for each prompt, by stream: what a selection remembers between batches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from harness.contract import Batch, State


@dataclass(frozen=True)
class PerPrompt:
    """The numbers of a stream, in an order that depends on the prompts alone."""

    prompts: Int[np.ndarray, " prompts"]
    """A hash of each prompt; copies of one have the same."""
    values: Float[np.ndarray, " prompts"]

    def of(self, kept: Int[np.ndarray, " kept"]) -> PerPrompt:
        """Those of some prompts alone."""
        which = np.isin(self.prompts, kept)
        return PerPrompt(self.prompts[which], self.values[which])

    @property
    def mean(self) -> float:
        """The mean over prompts; NaN without any."""
        return float(self.values.mean()) if len(self.values) else float("nan")

    @property
    def clusters(self) -> int:
        """How many different prompts there are."""
        return len(np.unique(self.prompts))


NOTHING = PerPrompt(np.zeros(0, np.int64), np.zeros(0))


def added(
    state: State, stream: str, batch: Batch, documents: Int[np.ndarray, " n"], values: np.ndarray
) -> State:
    """A state with the numbers of some documents of a batch more."""
    known = np.array([prompt_hash(name) for name in batch.documents], dtype=np.int64)
    more = {
        f"prompts {stream}": known[documents],
        f"values {stream}": np.asarray(values, np.float64),
    }
    return joined(state, more)


def joined(left: State, right: State) -> State:
    """The numbers of both; neither is modified."""
    out = dict(left)
    for name, array in right.items():
        out[name] = np.concatenate([left[name], array]) if name in left else array.copy()
    return out


def per_prompt(state: State, stream: str) -> PerPrompt:
    """The numbers of a stream; none where nothing was read."""
    if f"prompts {stream}" not in state:
        return NOTHING
    prompts, values = state[f"prompts {stream}"], state[f"values {stream}"]
    order = np.lexsort((values, prompts))
    return PerPrompt(prompts[order], values[order])


def prompt_hash(document: str) -> int:
    """A document's id as a number of 63 bits."""
    digest = hashlib.blake2b(document.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
