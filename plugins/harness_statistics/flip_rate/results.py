"""Makes records, a table and arrays from the counts of a whole pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.contract import JSON, Outcome, Record, State
from harness.results.replicates import replicated
from harness_statistics.flip_rate.arrays import Flips, Kept, Key
from harness_statistics.flip_rate.counts import Counter
from harness_statistics.flip_rate.injections import NONE, Condition, conditions
from harness_statistics.flip_rate.options import FlipRateOptions
from harness_statistics.records import drawn

_RANDOM = "random vectors of the same length at every token"
_NOT_DRAWN = "needs the counts of every latent in every group of documents, which are not kept"
_UNITS = {
    "flip_rate.token@1": ("flips per token", "tokens"),
    "flip_rate.all@1": ("share", "tokens"),
    "flip_rate.micro@1": ("share", "tokens"),
    "flip_rate.latent@1": ("share", "latents"),
    "flips.off_on@1": ("flips", "tokens"),
    "flips.on_off@1": ("flips", "tokens"),
    "flip_rate.over_random@1": ("ratio", "tokens"),
}
"""Of each record its unit, and what its `n` counts."""


def outcome(
    given: FlipRateOptions,
    state: State,
    saes: Sequence[str],
    ran: tuple[Condition, ...],
    why: str | None,
) -> Outcome:
    """Records, table and arrays of a whole pass, in which the conditions `ran` were counted.

    `why`: the reason for which there are no components to inject, where the task asks for some.
    """
    records: list[Record] = []
    table: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for sae in saes:
        measured = _Measured(given, sae, state, ran)
        for one in conditions(given):
            records += measured.records(one, why)
        table += measured.rows()
        for one in ran:
            if one.injection != "random":
                arrays |= measured.arrays(one)
    return Outcome(tuple(records), {"features": table}, arrays=arrays)


@dataclass(frozen=True)
class _Measured:
    """One SAE's counts of a whole pass, and what is made of them."""

    given: FlipRateOptions
    sae: str
    state: State
    ran: tuple[Condition, ...]

    @property
    def tokens(self) -> Float[np.ndarray, " replicates"]:
        return replicated(self.state["tokens"])

    def records(self, one: Condition, why: str | None) -> Iterator[Record]:
        """The records of a condition; undefined ones where it did not run, or on no token."""
        missing = self._missing(one, why)
        if missing is not None:
            compared = one.injection == "pcs" and "random" in self.given.injections
            ids = [id for id in _UNITS if compared or id != "flip_rate.over_random@1"]
            if one.injection != "random":  # there is none because there is no `pcs`, which says why
                yield from (self._record(one, id, None, why=missing) for id in ids)
            return
        each = self._by_replicate(one)
        random = self._random_flips(one.k) if one.injection == "pcs" else None
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = each.flips / self.tokens
            micro = each.flips / each.support
            ratio = None if random is None else each.flips / random
        null: dict[str, JSON] | None = {"kind": "identical", "value": 0.0} if one == NONE else None
        if random is not None:
            null = {"kind": _RANDOM, "value": float(random[0] / self.tokens[0])}
        yield self._record(one, "flip_rate.token@1", rate, null=null)
        yield self._mean_over_latents(one)
        if one.injection == "random":
            return
        flips = self._by_feature(one)
        yield self._record(one, "flip_rate.all@1", rate / len(flips.before))
        why = "no latent was on at any token"
        yield self._record(one, "flip_rate.micro@1", micro, why=why)
        yield self._record(one, "flips.off_on@1", each.off_on)
        yield self._record(one, "flips.on_off@1", each.on_off)
        if ratio is not None:
            why = "random vectors of the same length flip nothing"
            null = {"kind": _RANDOM, "value": 1.0}
            yield self._record(one, "flip_rate.over_random@1", ratio, null=null, why=why)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The features that the fine-tune flips most; ties by index."""
        flips, given = self._by_feature(NONE), self.given
        for feature in flips.most(given.table):
            support = int(flips.support[feature])
            rate = float(flips.flips[feature]) / support
            yield {
                "pair": given.pair,
                "sae": self.sae,
                "site": given.site,
                "feature": int(feature),
                "off_on": int(flips.off_on[feature]),
                "on_off": int(flips.on_off[feature]),
                "support": support,
                "flip_rate": rate if support >= given.min_support else None,
            }

    def arrays(self, one: Condition) -> dict[str, np.ndarray]:
        """The arrays of a condition, for analyses to read."""
        flips, given = self._by_feature(one), self.given
        each, documents = self._by_replicate(one).flips, self.state["clusters"]
        kept = Kept(flips.before, flips.off_on, flips.on_off, each, self.tokens, documents)
        return kept.arrays(Key(given.pair, self.sae, given.site, one.label))

    def _missing(self, one: Condition, why: str | None) -> str | None:
        """Why a condition has no number; None where it has."""
        if one in self.ran:
            return None if self.tokens[0] else "no token was measured"
        name, rank = self.given.pcs, len(self.state["vectors"])
        if why is not None:
            return f"{name!r} is undefined: {why}"
        return (
            f"{name!r} has {rank} vectors, not {one.k}: fewer components were asked for, or the "
            "difference has no more"
        )

    @property
    def _counter(self) -> Counter:
        return Counter(self.given.saes.index(self.sae))

    def _by_replicate(self, one: Condition) -> Flips:
        return self._counter.by_replicate(self.state, self.ran.index(one))

    def _by_feature(self, one: Condition) -> Flips:
        return self._counter.by_feature(self.state, self.ran.index(one))

    def _random_flips(self, k: int | None) -> Float[np.ndarray, " replicates"] | None:
        """The flips under random vectors as long as `k` components, averaged over the vectors."""
        random = [one for one in self.ran if (one.injection, one.k) == ("random", k)]
        return (
            np.mean([self._by_replicate(one).flips for one in random], axis=0) if random else None
        )

    def _mean_over_latents(self, one: Condition) -> Record:
        flips, least = self._by_feature(one), self.given.min_support
        enough = flips.support >= least
        supported = int(np.count_nonzero(enough))
        rates = flips.flips[enough] / flips.support[enough]
        return Record(
            **self._identity(one, "flip_rate.latent@1"),
            value=float(rates.mean()) if supported else None,
            n=supported,
            ci_why=_NOT_DRAWN,
            undefined=None if supported else f"no latent was on at {least} tokens or more",
        )

    def _record(
        self,
        one: Condition,
        id: str,
        replicates: Float[np.ndarray, " replicates"] | None,
        null: dict[str, JSON] | None = None,
        why: str | None = None,
    ) -> Record:
        n = round(float(self.tokens[0]))
        return drawn(**self._identity(one, id), replicates=replicates, why=why, n=n, null=null)

    def _identity(self, one: Condition, id: str) -> dict[str, Any]:
        """The fields of a record that say which number it is."""
        given, (unit, n_of) = self.given, _UNITS[id]
        options: dict[str, JSON] = {"tau": given.tau}
        if id == "flip_rate.latent@1":
            options["min_support"] = given.min_support
        if one.injection == "constant":
            options["alpha"] = given.alpha
        if id == "flip_rate.over_random@1":
            options["draws"] = given.draws
        return {
            "id": id,
            "unit": unit,
            "n_of": n_of,
            "options": options,
            "clusters": int(self.state["clusters"][0]),
            "axes": {"pair": given.pair, "sae": self.sae, "site": given.site, **one.axes},
        }
