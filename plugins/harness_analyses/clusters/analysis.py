"""What kinds of features changed, and how far their labels can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.contract import Findings, Outcome, Record
from harness.results.intervals import wilson
from harness.text import well_formed
from harness_analyses.clusters.assign import Assignment, judged_clusters, own_clusters
from harness_analyses.clusters.judge import ClusterJudge
from harness_analyses.clusters.kappa import kappa
from harness_analyses.clusters.options import ClustersOptions
from harness_analyses.clusters.records import Labels, flip_records, options_of, shift_records
from harness_analyses.clusters.taxonomy import taxonomy


class Clusters:
    """Sorts features into the clusters of a taxonomy, and sums flips and shifts over each.

    Clusters come with the labels, or from a judge that reads their descriptions, blind to the task
    and to what happened to the feature. Only labelled features have one: those in the tables of
    the task's statistics, as many as `[labels]` looks up.

    | record | formula | axes |
    |---|---|---|
    | `invalid_labels@1` | share of the features whose cluster was no valid one, and is "other" | |
    | `clusters.kappa@1` | Cohen's kappa with other labels | `against` |
    | `flip_rate.cluster@1` | Σ flips / Σ active tokens | `cluster` |
    | `flip_rate.cluster_macro@1` | mean flip rate of features, ≥ 10 active tokens | `cluster` |
    | `collateral@1` | flips outside of the clusters in `task` / flips of labelled features | |
    | `feature_shift.cluster@1` | Σ_C |Δμ| / Σ |Δμ| of the whole SAE | `cluster` |
    | `feature_shift.cluster_relative@1` | mean of |Δμ| / max(|μ|) | `cluster` |
    | `label_share@1` | share of the `top` most shifted that are in `task` | |
    | `label_recall@1` | share of those in `task` that are among the `within` most shifted | |

    All in [0, 1], kappa in [−1, 1]. Axes of all: `sae`, `labels`, `site` where it is known; of
    sums the statistic's own, too. Categories of the data are not taken apart. Undefined where
    nothing was labelled, active or shifted.

    Tables: `assignments` (a row for each feature), `flips` and `shift` (a row for each cluster,
    most affected first), `disagreements`.
    Raises UsageError where a judge's key is missing or refused. Source: METHODS.md, sections 3, 4.
    """

    def __init__(self, given: ClustersOptions) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Assigns a cluster to each feature, compares with other labels, and sums over clusters."""
        clusters = taxonomy(self.options.taxonomy)
        rows = self._rows(self.options.labels, findings)
        found = self._assigned(rows, clusters, findings)
        labels = {feature: one.cluster for feature, one in found.items()}
        compared = list(self._compared(labels, clusters, findings))
        records = [self._invalid(found), *(record for record, _ in compared)]
        tables: dict[str, list[dict[str, Any]]] = {
            "assignments": [self._row(row, found) for row in rows],
            "disagreements": [row for _, disagreements in compared for row in disagreements],
        }
        for name, numbers in (("flips", flip_records), ("shift", shift_records)):
            for group in numbers(labels, clusters, findings, self.options):
                records += group
                tables.setdefault(name, []).extend(_ranked(group))
        site = findings.saes[self.options.sae].site if self.options.sae in findings.saes else None
        axes = {"sae": self.options.sae, "labels": self.options.labels}
        axes |= {} if site is None else {"site": str(site)}
        return Outcome(
            tuple(replace(record, axes={**axes, **record.axes}) for record in records),
            {name: _even(rows) for name, rows in tables.items()},
        )

    # ── Who belongs where ────────────────────────────────────────────────────────────────────────

    def _rows(self, labels: str, findings: Findings) -> list[Mapping[str, Any]]:
        rows = findings.tables.get(f"labels.{labels}", ())
        mine = {int(row["feature"]): row for row in rows if row["sae"] == self.options.sae}
        return [mine[feature] for feature in sorted(mine)]

    def _assigned(
        self, rows: Sequence[Mapping[str, Any]], clusters: Mapping[str, str], findings: Findings
    ) -> dict[int, Assignment]:
        if not self.options.judged:
            return own_clusters(rows, clusters)
        if not rows:
            return {}
        return judged_clusters(rows, clusters, ClusterJudge(self.options, findings.tools))

    def _row(self, row: Mapping[str, Any], found: Mapping[int, Assignment]) -> dict[str, Any]:
        one = found.get(int(row["feature"]))
        return {
            "feature": int(row["feature"]),
            "cluster": one.cluster if one else None,
            "confidence": one.confidence if one else None,
            "invalid": well_formed(one.invalid) if one and one.invalid else None,
            "description": well_formed(str(row.get("description") or "")),
        }

    def _compared(
        self, labels: Labels, clusters: Mapping[str, str], findings: Findings
    ) -> Iterator[tuple[Record, list[dict[str, Any]]]]:
        """Agreement with every other source of clusters, with the features they differ on."""
        mine = self._rows(self.options.labels, findings)
        others = {name: self._rows(name, findings) for name in self.options.against}
        if self.options.judged:
            others[self.options.labels] = mine
        for name, rows in others.items():
            theirs = {f: one.cluster for f, one in own_clusters(rows, clusters).items()}
            if name == self.options.labels and not theirs:
                continue  # descriptions alone: nothing to compare the judge with
            found = kappa(labels, theirs, findings.seed)
            record = Record(
                id="clusters.kappa@1",
                value=found.value,
                n=found.n,
                n_of="features",
                unit="coefficient",
                options=options_of(self.options),
                clusters=found.n,
                ci=found.ci,
                ci_why=found.why,
                null={"kind": "chance", "value": 0.0},
                undefined=found.why if found.value is None else None,
                axes={"against": name},
            )
            different = sorted(f for f in labels.keys() & theirs if labels[f] != theirs[f])
            texts = {int(row["feature"]): str(row.get("description") or "") for row in mine}
            yield (
                record,
                [
                    {
                        "against": name,
                        "feature": feature,
                        "cluster": labels[feature],
                        "other_cluster": theirs[feature],
                        "description": well_formed(texts.get(feature, "")),
                    }
                    for feature in different
                ],
            )

    def _invalid(self, found: Mapping[int, Assignment]) -> Record:
        wrong = sum(one.invalid is not None for one in found.values())
        why = None if found else f"the labels {self.options.labels!r} gave no feature a cluster"
        return Record(
            id="invalid_labels@1",
            value=None if why else wrong / len(found),
            n=len(found),
            n_of="features",
            unit="share",
            options=options_of(self.options),
            ci=wilson(wrong, len(found)) if found else None,
            ci_why=why,
            null={"kind": "perfect", "value": 0.0},
            undefined=why,
        )


def _ranked(records: Sequence[Record]) -> list[dict[str, Any]]:
    """A row for each cluster, most affected first."""
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        if "cluster" in record.axes:
            row = rows.setdefault(str(record.axes["cluster"]), dict(record.axes))
            name = record.id.partition("@")[0].replace(".", "_")
            row |= {name: record.value, f"{name}_n": record.n}
    first = next((name for row in rows.values() for name in row if name.endswith("_cluster")), "")
    return sorted(rows.values(), key=lambda row: -(row.get(first) or 0.0))


def _even(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the same columns in all of them."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{column: row.get(column) for column in columns} for row in rows]
