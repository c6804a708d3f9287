"""Template: which features of a crosscoder write to one of its two models alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import Record, Results
from harness.results.answer.profile import percent
from harness.results.answer.sentence import Sentence
from harness.results.records import grouped

_SHARE = "decoder_norms.share@1"
_KINDS = "latent_scaling.share@1"
_NAMED = 4
"""Features that are named."""
_COLUMNS = {"direction", "feature", "rank", "towards_side", "written"}


def sides(results: Results) -> Iterator[Sentence]:
    """A sentence for each crosscoder: shares of its features by model, and the strongest ones.

    The shares are those of the rows as they were trained. Named are the features that a direction
    of one side was made of.
    """
    shares = [
        one
        for one in results.records
        if one.id == _SHARE and one.axes.get("space") == "normalised" and one.value is not None
    ]
    places = grouped(shares, lambda one: (str(one.axes.get("sae")), str(one.options)))
    for (sae, _), mine in places.items():
        by_place = {str(one.axes["place"]): one for one in mine}
        if {"left_only", "shared", "right_only"} <= by_place.keys():
            yield Sentence(_text(results, sae, by_place), 0.85, tuple(mine))


def _text(results: Results, sae: str, by_place: Mapping[str, Record]) -> str:
    left, right = _views(results, sae)
    share = {place: percent(one.value or 0.0) for place, one in by_place.items()}
    text = (
        f"Of {by_place['shared'].n} features of `{sae}`, {share['right_only']} write to {right} "
        f"alone, {share['left_only']} to {left} alone, {share['shared']} to both alike"
    )
    text += _artefacts(results, sae, {"left": left, "right": right})
    named = "".join(
        f"; the strongest of `{direction}`: {', '.join(str(feature) for feature in features)}"
        for direction, features in _strongest(results, sae).items()
    )
    return f"{text}{named}."


def _artefacts(results: Results, sae: str, views: Mapping[str, str]) -> str:
    """How many of those of one side are free of known artefacts, where that was measured."""
    found = [
        one
        for one in results.records
        if one.id == _KINDS
        and one.axes.get("sae") == sae
        and one.axes.get("space") == "normalised"
        and one.axes.get("kind") == "genuine"
        and one.value is not None
    ]
    return "".join(
        f". Of those of {views.get(str(one.axes.get('side')), 'one side')} alone, "
        f"{round((one.value or 0.0) * one.n)} of {one.n} are free of known artefacts"
        for one in found
    )


def _strongest(results: Results, sae: str) -> Mapping[str, Sequence[int]]:
    """By direction, the features of one side that it has, those that write most first."""
    rows = [
        row
        for table in results.tables.values()
        if table and table[0].keys() >= _COLUMNS
        for row in table
        if row.get("draw") is None and _sae_of(results, row["direction"]) == sae
    ]
    found = {}
    for direction, mine in grouped(rows, lambda row: str(row["direction"])).items():
        ranked = {int(row["rank"]): int(row["feature"]) for row in mine}
        found[direction] = [ranked[rank] for rank in sorted(ranked)[:_NAMED]]
    return found


def _sae_of(results: Results, direction: object) -> object:
    return _table(results, "directions", direction).get("sae")


def _views(results: Results, sae: str) -> tuple[str, str]:
    """The views of the crosscoder's pair, as the task names them; else the words for its sides."""
    pair = _table(results, "pairs", _table(results, "saes", sae).get("pair"))
    return str(pair.get("left", "the left side")), str(pair.get("right", "the right side"))


def _table(results: Results, kind: str, name: object) -> Mapping[str, Any]:
    tables = results.task.get(kind)
    found = tables.get(name) if isinstance(tables, Mapping) else None
    return found if isinstance(found, Mapping) else {}
