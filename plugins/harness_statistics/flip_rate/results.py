"""From counts of flips to records, a table and arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.contract import JSON, Outcome, Record, State
from harness_statistics.flip_rate.arrays import Flips, Kept, Key
from harness_statistics.flip_rate.counts import Counter
from harness_statistics.flip_rate.injections import NONE, Condition, conditions
from harness_statistics.flip_rate.options import FlipRateOptions
from harness_statistics.records import drawn

_NO_TOKEN = "no token was measured"
_RANDOM = "random vectors of the same length at every token"
_UNITS = {
    "flip_rate.token@1": ("flips per token", "tokens"),
    "flip_rate.all@1": ("share", "tokens"),
    "flip_rate.micro@1": ("share", "tokens"),
    "flip_rate.latent@1": ("share", "latents"),
    "flips.off_on@1": ("flips", "tokens"),
    "flips.on_off@1": ("flips", "tokens"),
    "flip_rate.over_random@1": ("ratio", "tokens"),
}


@dataclass(frozen=True)
class _Measured:
    """One SAE's counts of a whole pass."""

    given: FlipRateOptions
    sae: str
    state: State
    ran: tuple[Condition, ...]

    @property
    def tokens(self) -> Float[np.ndarray, " draws"]:
        return self.state["tokens"]

    @property
    def clusters(self) -> int:
        return int(self.state["clusters"][0])

    @property
    def d_sae(self) -> int:
        return len(self.state[f"{self.sae}/before"])

    def by_draw(self, one: Condition) -> Flips:
        return Counter(self.sae).by_draw(self.state, self.ran.index(one))

    def by_feature(self, one: Condition) -> Flips:
        return Counter(self.sae).by_feature(self.state, self.ran.index(one))

    def random_flips(self, k: int | None) -> Float[np.ndarray, " draws"] | None:
        """The flips under random vectors as long as `k` components, averaged over the vectors."""
        random = [one for one in self.ran if (one.injection, one.k) == ("random", k)]
        return np.mean([self.by_draw(one).flips for one in random], axis=0) if random else None


def outcome(
    given: FlipRateOptions,
    state: State,
    saes: Sequence[str],
    ran: tuple[Condition, ...],
    why: str | None,
) -> Outcome:
    """All that came out; `why` says why there is nothing to inject, where there should be."""
    records: list[Record] = []
    table: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for sae in saes:
        measured = _Measured(given, sae, state, ran)
        for one in conditions(given):
            records += _records(measured, one, _missing(measured, one, why))
        table += _rows(measured)
        for one in ran:
            if one.injection != "random":
                arrays |= _arrays(measured, one)
    return Outcome(tuple(records), {"features": table}, arrays=arrays)


def _missing(measured: _Measured, one: Condition, why: str | None) -> str | None:
    """Why a condition has no number; None where it has."""
    if one not in measured.ran:
        name, rank = measured.given.pcs, len(measured.state["vectors"])
        if why is not None:
            return f"{name!r} is undefined: {why}"
        return (
            f"{name!r} has {rank} vectors, not {one.k}: fewer components were asked for, or the "
            "difference has no more"
        )
    return None if measured.tokens[0] else _NO_TOKEN


def _records(measured: _Measured, one: Condition, missing: str | None) -> Iterator[Record]:
    """The records of a condition; undefined ones where `missing` says why."""
    if missing is not None:
        compared = one.injection == "pcs" and "random" in measured.given.injections
        ids = [id for id in _UNITS if compared or id != "flip_rate.over_random@1"]
        if one.injection != "random":  # there is none because there is no `pcs`, which says why
            yield from (_record(measured, one, id, None, why=missing) for id in ids)
        return
    draws, tokens = measured.by_draw(one), measured.tokens
    random = measured.random_flips(one.k) if one.injection == "pcs" else None
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = draws.flips / tokens
        micro = draws.flips / draws.support
        ratio = None if random is None else draws.flips / random
    null: dict[str, JSON] | None = {"kind": "identical", "value": 0.0} if one == NONE else None
    if random is not None:
        null = {"kind": _RANDOM, "value": float(random[0] / tokens[0])}
    yield _record(measured, one, "flip_rate.token@1", rate, null=null)
    yield _macro(measured, one)
    if one.injection == "random":
        return
    yield _record(measured, one, "flip_rate.all@1", rate / measured.d_sae)
    why = "no latent was on at any token"
    yield _record(measured, one, "flip_rate.micro@1", micro, why=why)
    yield _record(measured, one, "flips.off_on@1", draws.off_on)
    yield _record(measured, one, "flips.on_off@1", draws.on_off)
    if ratio is not None:
        why = "random vectors of the same length flip nothing"
        null = {"kind": _RANDOM, "value": 1.0}
        yield _record(measured, one, "flip_rate.over_random@1", ratio, null=null, why=why)


def _macro(measured: _Measured, one: Condition) -> Record:
    flips, least = measured.by_feature(one), measured.given.min_support
    enough = flips.support >= least
    supported = int(np.count_nonzero(enough))
    rates = flips.flips[enough] / flips.support[enough]
    return Record(
        **_identity(measured, one, "flip_rate.latent@1"),
        value=float(rates.mean()) if supported else None,
        n=supported,
        ci_why="needs the counts of every latent in every draw of documents, which are not kept",
        undefined=None if supported else f"no latent was on at {least} tokens or more",
    )


def _record(
    measured: _Measured,
    one: Condition,
    id: str,
    draws: Float[np.ndarray, " draws"] | None,
    *,
    null: dict[str, JSON] | None = None,
    why: str | None = None,
) -> Record:
    """A record of draws[0] with its interval; undefined, because of `why`, where it is not."""
    n = round(float(measured.tokens[0]))
    return drawn(**_identity(measured, one, id), draws=draws, why=why, n=n, null=null)


def _identity(measured: _Measured, one: Condition, id: str) -> dict[str, Any]:
    """The fields of a record that name its number: id, unit, options, axes."""
    given = measured.given
    unit, n_of = _UNITS[id]
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
        "clusters": measured.clusters,
        "axes": {"pair": given.pair, "sae": measured.sae, "site": given.site, **one.axes},
    }


def _rows(measured: _Measured) -> Iterator[dict[str, Any]]:
    """The features that the fine-tune flips most; ties by index."""
    flips, given = measured.by_feature(NONE), measured.given
    for feature in flips.most(given.table):
        support = int(flips.support[feature])
        yield {
            "pair": given.pair,
            "sae": measured.sae,
            "site": given.site,
            "feature": int(feature),
            "off_on": int(flips.off_on[feature]),
            "on_off": int(flips.on_off[feature]),
            "support": support,
            "flip_rate": (
                float(flips.flips[feature]) / support if support >= given.min_support else None
            ),
        }


def _arrays(measured: _Measured, one: Condition) -> dict[str, np.ndarray]:
    flips, given = measured.by_feature(one), measured.given
    draws, documents = measured.by_draw(one).flips, measured.state["clusters"]
    kept = Kept(flips.before, flips.off_on, flips.on_off, draws, measured.tokens, documents)
    return kept.arrays(Key(given.pair, measured.sae, given.site, one.label))
