"""Runs statistics on batches, and finds single records in what came out."""

from __future__ import annotations

from typing import Any

import torch

from harness.contract import Batch, Inputs, Outcome, Record, Reduction, SaeFacts, Site, State
from harness.contract.latents import Latents


class PlainSae:
    """An SAE whose latents are its input: what a test writes is what is measured."""

    def __init__(self, width: int, site: Site) -> None:
        self.facts = SaeFacts("plain", width, width, site)
        self.fingerprint, self.notes = "plain", ()

    def encode(self, x: torch.Tensor) -> Latents:
        return Latents.from_dense(x)

    def reconstruct(self, latents: Latents) -> torch.Tensor:
        return latents.dense()

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        return torch.eye(self.facts.d_sae or 0)[indices]


def state_of(reduction: Reduction, inputs: Inputs, *batches: Batch) -> State:
    """The state after some batches."""
    state = reduction.start(inputs)
    for batch in batches:
        state = reduction.update(state, batch)
    return state


def outcome_of(reduction: Reduction, inputs: Inputs, *batches: Batch) -> Outcome:
    """What comes out after some batches."""
    return reduction.finish(state_of(reduction, inputs, *batches), inputs)


def pick(outcome: Outcome, id: str, **axes: Any) -> Record:
    """The one record of this id and these axes."""
    (record,) = [r for r in outcome.records if r.id == id and axes.items() <= r.axes.items()]
    return record
