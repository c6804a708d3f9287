"""Counts of flips, and the arrays in which `flip_rate` keeps them for analyses. Imports no torch.

An array's name is `<pair>/<sae>/<site>/<condition>/<what>`, with `<condition>` `none`, `pcs.<k>`
or `constant.<k>`, so that an analysis can read it without anything else:

| what | shape | |
|---|---|---|
| `flips_off_on`, `flips_on_off` | Int64 [d_sae] | tokens on which each latent turns on, off |
| `active` | Int64 [d_sae] | tokens on which it is on before |
| `replicated_flips` | Float64 [REPLICATES] | all flips in each replicate of the documents |
| `replicated_tokens` | Float64 [REPLICATES] | tokens, likewise |
| `documents` | Int64 [1] | documents with a token |

Replicates are those of `harness.results.replicates`. The group of a document depends on its id and
the seed alone: replicates of two pairs, sites or SAEs that read the same documents are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_ARRAYS = {
    "off_on": "flips_off_on",
    "on_off": "flips_on_off",
    "before": "active",
    "replicated_flips": "replicated_flips",
    "replicated_tokens": "replicated_tokens",
    "clusters": "documents",
}
"""The fields of `Kept`, and what they are called in the names of arrays."""


@dataclass(frozen=True)
class Key:
    """The pair, SAE, site and condition that an array belongs to."""

    pair: str
    sae: str
    site: str
    condition: str

    @property
    def axes(self) -> dict[str, str | int]:
        """The axes of a record made from the array."""
        injection, _, k = self.condition.partition(".")
        place = {"pair": self.pair, "sae": self.sae, "site": self.site, "injection": injection}
        return {**place, "k": int(k)} if k else {**place}

    def name(self, what: str) -> str:
        """The array's name."""
        return "/".join((self.pair, self.sae, self.site, self.condition, what))


@dataclass(frozen=True)
class Flips:
    """Tokens on which latents turned on and off: an entry a latent, or an entry a replicate."""

    before: np.ndarray
    """Tokens on which a latent is on before."""
    off_on: np.ndarray
    """Tokens on which it turns on."""
    on_off: np.ndarray
    """Tokens on which it turns off."""

    @property
    def flips(self) -> np.ndarray:
        """Tokens on which it does either."""
        return np.asarray(self.off_on + self.on_off)

    @property
    def support(self) -> np.ndarray:
        """Tokens on which it is on before, after, or both."""
        return np.asarray(self.before + self.off_on)

    def most(self, count: int) -> Int[np.ndarray, " n"]:
        """The `count` latents with the most flips, ties by index; none that never flips."""
        order = np.argsort(-self.flips, kind="stable")[:count]
        return np.asarray(order[self.flips[order] > 0])


@dataclass(frozen=True)
class Kept(Flips):
    """What is kept of one pair, SAE, site and condition: flips by latent, and their replicates."""

    replicated_flips: Float[np.ndarray, " replicates"]
    """Flips of all latents, in each replicate of the documents."""
    replicated_tokens: Float[np.ndarray, " replicates"]
    clusters: Int[np.ndarray, " 1"]

    @property
    def documents(self) -> int:
        """Documents with a token."""
        return int(self.clusters[0])

    def arrays(self, key: Key) -> dict[str, np.ndarray]:
        """The arrays, under their names."""
        return {key.name(what): getattr(self, field) for field, what in _ARRAYS.items()}


def kept_in(arrays: Mapping[str, np.ndarray]) -> dict[Key, Kept]:
    """Reads back what `Kept.arrays` wrote; arrays with other names are passed over."""
    found: dict[Key, dict[str, np.ndarray]] = {}
    for name, values in arrays.items():
        parts = name.split("/")
        if len(parts) == 5 and parts[-1] in _ARRAYS.values():
            found.setdefault(Key(*parts[:-1]), {})[parts[-1]] = values
    return {
        key: Kept(**{field: values[what] for field, what in _ARRAYS.items()})
        for key, values in found.items()
    }
