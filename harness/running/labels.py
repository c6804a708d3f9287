"""Asks a source of labels what the features mean that the tables of a run name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from harness.contract import Findings, Labels, SaeFacts
from harness.errors import MachineError, PluginError, UsageError
from harness.task.task import Entry

Rows = Sequence[Mapping[str, Any]]


def features_named(tables: Mapping[str, Rows], sae: str, top: int) -> list[int]:
    """The features of an SAE that tables name, each once: the first `top` of every table.

    A table names features where its rows have the columns `sae` and `feature`. The order is that
    of the tables, and of the rows in them.
    """
    found: dict[int, None] = {}
    for rows in tables.values():
        mine = dict.fromkeys(
            int(row["feature"])
            for row in rows
            if row.get("sae") == sae and _is_number(row.get("feature"))
        )
        found.update(dict.fromkeys(list(mine)[:top]))
    return list(found)


def label_rows(
    entry: Entry[Any], sae: str, facts: SaeFacts, top: int, findings: Findings
) -> tuple[list[dict[str, Any]], list[str]]:
    """The labels of one source as rows of a table, and its notes on them as warnings.

    A source that cannot be reached gives no rows and a warning, so that what was measured is not
    lost. Raises PluginError where a source labels a feature twice, one that it was not asked for,
    or one of another SAE.
    """
    wanted = features_named(findings.tables, sae, top)
    if not wanted:
        return [], []
    source: Labels = entry.build()
    try:
        found = list(source.describe(sae, facts, wanted, findings))
    except (MachineError, UsageError) as error:
        return [], [*_notes(source), f"{error} Without these labels, a rerun asks again."]
    by_feature = {label.feature: label for label in found}
    foreign = any(label.sae != sae for label in found)
    if foreign or len(by_feature) < len(found) or not by_feature.keys() <= set(wanted):
        raise PluginError(
            f"labels.{entry.name}: {entry.owner} gave labels of features that it was not asked "
            "for, or two of one. Report it to the plugin's author."
        )
    labels = [by_feature[feature] for feature in wanted if feature in by_feature]
    rows = [{**vars(label), "contexts": [dict(one) for one in label.contexts]} for label in labels]
    return rows, _notes(source)


def _notes(source: Labels) -> list[str]:
    return [str(note) for note in getattr(source, "notes", ())]


def _is_number(value: object) -> bool:
    """Whether it is an integer, numpy's included, and not a bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)
