"""What the statistic `flip_rate` kept, by what it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from harness.contract import Findings
from harness_statistics.flip_rate.arrays import Key, key_of


@dataclass(frozen=True)
class Kept:
    """The arrays of one pair, SAE and site under one condition."""

    off_on: Int[np.ndarray, " d_sae"]
    on_off: Int[np.ndarray, " d_sae"]
    active: Int[np.ndarray, " d_sae"]
    drawn_flips: Float[np.ndarray, " draws"]
    drawn_tokens: Float[np.ndarray, " draws"]
    documents: int

    @property
    def flips(self) -> Int[np.ndarray, " d_sae"]:
        """Tokens on which each latent flips."""
        return np.asarray(self.off_on + self.on_off)

    @property
    def support(self) -> Int[np.ndarray, " d_sae"]:
        """Tokens on which each latent is on before, after, or both."""
        return np.asarray(self.active + self.off_on)


def kept(findings: Findings, statistics: Sequence[str], condition: str) -> dict[Key, Kept]:
    """What the named statistics kept under a condition, over all categories of their data."""
    parts: dict[Key, dict[str, np.ndarray]] = {}
    for arrays in findings.arrays:
        if arrays.statistic in statistics and "domain" not in arrays.axes:
            for name, values in arrays.values.items():
                found = key_of(name)
                if found is not None and found[0].condition == condition:
                    parts.setdefault(found[0], {})[found[1]] = values
    return {key: _kept(values) for key, values in parts.items()}


def _kept(values: Mapping[str, np.ndarray]) -> Kept:
    return Kept(
        off_on=values["flips_off_on"],
        on_off=values["flips_on_off"],
        active=values["active"],
        drawn_flips=values["drawn_flips"],
        drawn_tokens=values["drawn_tokens"],
        documents=int(values["documents"][0]),
    )
