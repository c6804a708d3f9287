"""Makes records of sums over clusters, in a group for each place that was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from harness.contract import JSON, Findings, Record
from harness_analyses.clusters import sums
from harness_analyses.clusters.options import ClustersOptions
from harness_analyses.clusters.sums import Number
from harness_analyses.flips.kept import kept

Labels = Mapping[int, str]


def options_of(given: ClustersOptions) -> dict[str, Any]:
    """The options that change a number; names of entries are axes, and a path says nothing."""
    left_out = {"sae", "labels", "taxonomy", "against", "flips", "shift", "condition", "pair"}
    return given.model_dump(mode="json", exclude=left_out)


def flip_records(
    labels: Labels, clusters: Mapping[str, str], findings: Findings, given: ClustersOptions
) -> Iterator[list[Record]]:
    """Sums of flips over clusters, for each place where the statistic measured this SAE."""
    for key, found in kept(findings, [given.flips or ""], given.condition).items():
        if key.sae != given.sae or not _wanted(given, key.axes):
            continue
        width = len(found.flips)
        records = []
        for cluster, features in _members(labels, clusters, width):
            micro = sums.flip_rate(found.flips, found.support, features)
            macro = sums.flip_rate_macro(found.flips, found.support, features)
            records += [
                _record(given, "flip_rate.cluster@1", micro, "activations", cluster),
                _record(given, "flip_rate.cluster_macro@1", macro, "features", cluster),
            ]
        if given.task:
            number = sums.collateral(found.flips, labels, given.task)
            records.append(_record(given, "collateral@1", number, "flips"))
        yield [record.on(**key.axes) for record in records]


def shift_records(
    labels: Labels, clusters: Mapping[str, str], findings: Findings, given: ClustersOptions
) -> Iterator[list[Record]]:
    """Sums of shifts over clusters, for each variant of the statistic on this SAE."""
    for arrays in findings.arrays:
        mine = arrays.statistic == given.shift and arrays.axes.get("sae", given.sae) == given.sae
        if not mine or "domain" in arrays.axes or "delta" not in arrays.values:
            continue
        axes = {**_pair(findings, given), **arrays.axes}
        if not _wanted(given, axes):
            continue
        values = arrays.values
        width = len(values["delta"])
        records = []
        for cluster, features in _members(labels, clusters, width):
            share = sums.shift_share(values, features)
            relative = sums.shift_relative(values, features)
            records += [
                _record(given, "feature_shift.cluster@1", share, "features", cluster),
                _record(given, "feature_shift.cluster_relative@1", relative, "features", cluster),
            ]
        if given.task:
            chance = sum(name in given.task for name in labels.values()) / max(len(labels), 1)
            found = sums.label_share(values, labels, given.task, given.top)
            recall = sums.label_recall(values, labels, given.task, given.within)
            random = min(given.within, width) / max(width, 1)
            records += [
                _record(given, "label_share@1", found, "features", chance=chance),
                _record(given, "label_recall@1", recall, "features", chance=random),
            ]
        yield [record.on(**axes) for record in records]


def _wanted(given: ClustersOptions, axes: Mapping[str, JSON]) -> bool:
    """Whether this place is of the pair that was asked for, if one was."""
    return given.pair is None or axes.get("pair") == given.pair


def _pair(findings: Findings, given: ClustersOptions) -> dict[str, JSON]:
    """The pair that the shift statistic compares, as its table says."""
    rows = findings.tables.get(f"{given.shift}.features", ())
    pairs = {row["pair"] for row in rows if row.get("sae") == given.sae}
    return {"pair": pairs.pop()} if len(pairs) == 1 else {}


def _record(
    given: ClustersOptions,
    id: str,
    number: Number,
    n_of: str,
    cluster: str | None = None,
    chance: float | None = None,
) -> Record:
    return Record(
        id=id,
        value=number.value,
        n=number.n,
        n_of=n_of,
        unit="share",
        options=options_of(given),
        ci_why=number.undefined or "features of one SAE are not independent draws",
        null=None if chance is None else {"kind": "chance", "value": chance},
        undefined=number.undefined,
        axes={} if cluster is None else {"cluster": cluster},
    )


def _members(
    labels: Labels, clusters: Mapping[str, str], width: int
) -> Iterator[tuple[str, Int[np.ndarray, " m"]]]:
    """The clusters that have a feature, and their features."""
    for cluster in clusters:
        features = sums.members(labels, (cluster,), width)
        if len(features):
            yield cluster, features
