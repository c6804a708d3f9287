"""Looks up what features mean: those that the tables of a run name, once for each source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.contract import Findings, Label, Labels, SaeFacts
from harness.errors import PluginError
from harness.task import Entry

Rows = Sequence[Mapping[str, Any]]


def features_named(tables: Mapping[str, Rows], sae: str, top: int) -> list[int]:
    """The features of an SAE that tables name, at most `top` of each, in the order of the tables.

    A table names features where its rows have the columns `sae` and `feature`.
    """
    found: dict[int, None] = {}
    for rows in tables.values():
        mine = dict.fromkeys(
            int(row["feature"])
            for row in rows
            if row.get("sae") == sae and isinstance(row.get("feature"), int)
        )
        found.update(dict.fromkeys(list(mine)[:top]))
    return list(found)


def label_rows(
    entry: Entry[Any], sae: str, facts: SaeFacts, top: int, findings: Findings
) -> list[dict[str, Any]]:
    """The labels of one source as rows of a table.

    PluginError where a source labels a feature twice, or one that it was not asked for.
    """
    wanted = features_named(findings.tables, sae, top)
    source: Labels = entry.build()
    found = list(source.describe(sae, facts, wanted, findings) if wanted else ())
    numbers = [label.feature for label in found]
    if len(set(numbers)) < len(numbers) or not set(numbers) <= set(wanted):
        raise PluginError(
            f"labels.{entry.name}: {entry.owner} gave labels of features that it was not asked "
            "for, or two of one. Report it to the plugin's author."
        )
    return [_row(label) for label in _in_order(found, wanted)]


def _in_order(labels: Iterable[Label], wanted: Sequence[int]) -> list[Label]:
    place = {feature: i for i, feature in enumerate(wanted)}
    return sorted(labels, key=lambda label: place[label.feature])


def _row(label: Label) -> dict[str, Any]:
    return {
        "sae": label.sae,
        "feature": label.feature,
        "description": label.description,
        "cluster": label.cluster,
        "url": label.url,
        "contexts": [dict(context) for context in label.contexts],
    }
