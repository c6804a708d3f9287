"""Keeps the vectors of a direction, or the decoder rows of an SAE, as an array for analyses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from harness.contract import Batch, Inputs, Outcome, Sae, State, Undefined
from harness_statistics.inputs import site_axis
from harness_statistics.kept_vectors.options import KeptVectorsOptions as Options
from harness_statistics.records import number
from harness_statistics.sums import Summed

ID = "kept_vectors.count@1"
_PIECE = 2**22
"""Numbers of decoder rows that are read at a time."""


class KeptVectors(Summed):
    """Keeps vectors as they were found: an analysis reads arrays, and no directions or SAEs.

    Array `vectors`: of a direction Float64 `[rank, d]`, with their lengths; of an SAE its decoder
    rows, Float32 `[d_sae, d]`, in the units of the activations. Record `kept_vectors.count@1`: how
    many there are; undefined where the direction is. Reads no activations.
    Source: of our own making.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def update(self, state: State, batch: Batch) -> State:
        """Does nothing: the statistic reads no activations."""
        return state

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The array, and how many vectors it has."""
        axes: dict[str, Any] = {} if self.options.pair is None else {"pair": self.options.pair}
        found: Float[np.ndarray, "n d"] | str
        if self.options.sae is not None:
            found = decoder_rows(inputs.saes[self.options.sae])
            axes |= {"sae": self.options.sae, **site_axis(inputs, self.options.sae)}
        else:
            assert self.options.direction is not None, "validated"
            direction = inputs.directions[self.options.direction]
            axes["direction"] = self.options.direction
            if isinstance(direction, Undefined):
                found = direction.reason
            else:
                found = direction.vectors
                axes["site"] = str(direction.site)
        why = found if isinstance(found, str) else None
        count = 0 if isinstance(found, str) else len(found)
        record = number(
            ID, float(count), why, ci_why="vectors are counted: nothing was drawn", n=count,
            n_of="vectors", unit="vectors", axes=axes,
        )  # fmt: skip
        return Outcome((record,), arrays={} if isinstance(found, str) else {"vectors": found})


def decoder_rows(sae: Sae) -> Float[np.ndarray, "d_sae d"]:
    """All decoder rows, float32 on the CPU."""
    d_sae, width = sae.facts.d_sae, int(sae.rows(torch.arange(1)).shape[1])
    assert d_sae is not None, "a loaded SAE knows its width"
    step = max(1, _PIECE // width)
    pieces = [
        sae.rows(torch.arange(start, min(start + step, d_sae))).detach().cpu().float().numpy()
        for start in range(0, d_sae, step)
    ]
    return np.concatenate(pieces)
