"""Says whether a change lies along one direction, and which feature points there."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Record, Results
from harness.results.answer.features import nearest_site
from harness.results.answer.profile import Profile, percent, profiles
from harness.results.answer.sentence import Sentence
from harness.results.records import named, null_value

ENOUGH = 0.5
"""The share of the change from which on one direction is worth a sentence."""

SAME = 0.95
"""The |cosine| from which on a feature is the direction, and not only near it."""


def main_direction(results: Results) -> Iterator[Sentence]:
    """One sentence for each pair of which one direction holds at least half of the change."""
    for profile in profiles(results):
        shares = _first(results, "pc_explained_variance", profile)
        site = nearest_site([record.axes.get("site") for record in shares], profile)
        for share in (record for record in shares if record.axes.get("site") == site):
            if share.value is None or share.value < ENOUGH:
                continue
            closest = [
                record
                for record in _first(results, "pc_feature_cosine.max_abs", profile)
                if record.axes.get("site") == site and record.value is not None
            ]
            yield _sentence(results, share, closest)


def _first(results: Results, name: str, profile: Profile) -> list[Record]:
    """The records on the first principal component of a pair's change."""
    return [
        record
        for record in named(results.records, name)
        if record.axes.get("pair") == profile.pair and str(record.axes.get("pc")) == "1"
    ]


def _sentence(results: Results, share: Record, closest: list[Record]) -> Sentence:
    site, held = share.axes["site"], percent(share.value)
    best = max(closest, key=lambda record: record.value or 0.0, default=None)
    if best is None:
        return Sentence(f"One direction holds {held} of the change at {site}.", 1.0, (share,))
    feature, cosine = _feature(results, best), f"|cosine| {best.value:.2f}"
    if feature is None or (best.value or 0.0) <= (null_value(best) or 0.0):
        text = f"One direction holds {held} of the change at {site}; no feature points there"
        return Sentence(f"{text} ({cosine}).", 1.0, (share, best))
    where = "is" if (best.value or 0.0) >= SAME else "is nearest to"
    text = f"Feature {feature} {where} the direction that holds {held} of the change at {site}"
    return Sentence(f"{text} ({cosine}).", 1.0, (share, best))


def _feature(results: Results, record: Record) -> int | None:
    """The feature whose decoder row is nearest to the first component, as a table names it."""
    for table in results.tables.values():
        if not table or not {"pc", "rank", "feature", "sae", "site", "pair"} <= table[0].keys():
            continue
        for row in table:
            same = all(row[axis] == record.axes.get(axis) for axis in ("sae", "site", "pair"))
            if same and str(row["pc"]) == "1" and row["rank"] == 1:
                return int(row["feature"])
    return None
