"""Says which features of an SAE moved most, and in which contexts they are active."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import Results
from harness.results.answer.profile import Profile, depth, percent, profiles, site_of
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_number
from harness.results.records import grouped

FEATURES = 3
"""Features that are named."""
_BEFORE, _AFTER = 14, 8
"""Characters of a context around its strongest token."""
_COLUMNS = {"sae", "site", "pair", "feature", "delta", "frequency_left", "frequency_right"}
Row = Mapping[str, Any]


def features(results: Results) -> Iterator[Sentence]:
    """A sentence for each of the features that moved most, where the change enters or grows most.

    Of several SAEs, that at the first site from there on at which features were compared.
    """
    for profile in profiles(results):
        rows = _nearest(results, profile)
        ordered = sorted(rows, key=lambda row: -abs(row["delta"] or 0.0))
        for place, row in enumerate(ordered[:FEATURES]):
            text = _text(row, _labels(results, row), named=place == 0)
            yield Sentence(text, 1 - place / 10)


def nearest_site(sites: Sequence[Any], profile: Profile) -> Any:
    """Of the sites of SAEs, as axes name them, the first from the profile's focus on, or else the
    last at which anything differs; None where there is none."""
    placed = [(depth(site), text) for text in sites if (site := site_of({"site": text}))]
    focus = profile.focus
    if focus is None or not placed:
        return None
    behind = [one for one in placed if one[0] >= depth(focus.site)]
    return min(behind)[1] if behind else max(placed)[1]


def _nearest(results: Results, profile: Profile) -> Sequence[Row]:
    """The rows of the table of shifted features of one SAE: the nearest one's."""
    rows = [
        row
        for table in results.tables.values()
        if table and table[0].keys() >= _COLUMNS
        for row in table
        if row["pair"] == profile.pair and row["delta"] and "domain" not in row
    ]
    by_site = grouped(rows, lambda row: row["site"])
    mine = by_site.get(nearest_site(list(by_site), profile), [])
    return next(iter(grouped(mine, lambda row: row["sae"]).values()), [])


def _labels(results: Results, row: Row) -> list[Row]:
    """What all sources of labels say of a feature."""
    return [
        label
        for name, table in results.tables.items()
        if name.startswith("labels.")
        for label in table
        if label["sae"] == row["sae"] and label["feature"] == row["feature"]
    ]


def _text(row: Row, labels: Sequence[Row], *, named: bool) -> str:
    """What one feature did; the first one says at which site, and those after it are there, too."""
    went = "rose" if row["delta"] > 0 else "fell"
    where = f" at {row['site']}" if named else ""
    before, after = percent(row["frequency_left"]), percent(row["frequency_right"])
    often = f"{before} to {after} of tokens"
    if before == after:  # as often, and stronger or weaker
        often = f"its mean by {format_number(abs(row['delta']))}, {before} of tokens in both"
    return f"Feature {row['feature']} {went}{where} ({often}){_meaning(labels)}"


def _meaning(labels: Sequence[Row]) -> str:
    """What a feature is about: a description that somebody wrote, or where it is strongest."""
    written = [label["description"] for label in labels if not label.get("contexts")]
    if described := [text for text in written if text]:
        return f": {described[0]}"
    contexts = [context for label in labels for context in label.get("contexts") or ()]
    if not contexts:
        return ""
    return f": {_shown(max(contexts, key=lambda one: abs(one.get('value') or 0.0)))}"


def _shown(context: Row) -> str:
    """The strongest token of a context between « and », with a little text around it."""
    tokens, mark = [str(token) for token in context.get("tokens") or ()], context.get("mark") or 0
    before, after = "".join(tokens[:mark])[-_BEFORE:], "".join(tokens[mark + 1 :])[:_AFTER]
    token = tokens[mark] if mark < len(tokens) else ""
    return f"…{before}«{token}»{after}…"
