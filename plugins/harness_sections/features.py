"""The features that changed most: what they mean, where they are active, and their clusters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Grid, Panel, Prose, Record, Results
from harness.results import format_estimate, grouped, named
from harness_sections.charts.styles import distinct_styles
from harness_sections.plain import PlainSection

_ROWS = 20
"""Features of a table that are shown."""
_CONTEXTS = 3
"""Contexts of a feature that are shown."""
_SITE = "https://www.neuronpedia.org/"
_IDS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*/[0-9]+")
"""Model, source and feature."""
_SERIES = 7
_CLUSTERS = 15
_PLACE = ("sae", "feature", "site", "pair", "view", "data")
"""Columns that say where a feature was measured, not what was measured."""
_BY_CLUSTER = {
    "flip_rate.cluster": "Flip rate by cluster",
    "feature_shift.cluster": "Share of the shift by cluster",
}
Row = Mapping[str, Any]
Sources = Mapping[str, Mapping[tuple[str, int], Row]]
"""The labels of each source, by SAE and feature."""


class Features(PlainSection):
    """Tables with the columns `sae` and `feature`, each feature beside its labels."""

    def panel(self, results: Results) -> Panel | None:
        """The tables, their contexts and clusters; None where no table names a feature."""
        sources = {
            name.removeprefix("labels."): _by_feature(rows)
            for name, rows in results.tables.items()
            if name.startswith("labels.")
        }
        blocks: list[Figure | Grid | Prose] = []
        for name, rows in results.tables.items():
            if name.startswith("labels.") or not rows or not {"sae", "feature"} <= rows[0].keys():
                continue
            for sae, mine in grouped(rows, lambda row: str(row["sae"])).items():
                page = _page_of_sae(results, sae)
                blocks.append(_table(name, sae, mine[:_ROWS], sources, page))
        blocks += _figures(results.records)
        if not blocks:
            return None
        text = (
            "Descriptions come from the labels of the task and may be wrong. Where the labels have "
            "texts in which a feature is strongest, its row opens them. Only the first features of "
            "each table are shown."
        )
        return Panel("Features", [Prose(text), *blocks], order=35)


def _by_feature(rows: Sequence[Row]) -> dict[tuple[str, int], Row]:
    return {(str(row["sae"]), int(row["feature"])): row for row in rows}


def _page_of_sae(results: Results, sae: str) -> str | None:
    """The address of an SAE on Neuronpedia, where it has said its id there."""
    saes = results.provenance.get("saes")
    about = saes.get(sae) if isinstance(saes, Mapping) else None
    id = about.get("neuronpedia") if isinstance(about, Mapping) else None
    return f"{_SITE}{id}" if id else None


def _table(name: str, sae: str, rows: Sequence[Row], sources: Sources, page: str | None) -> Grid:
    """A row for each feature: what was measured, what it means, where to read more.

    A feature leads to its page where its labels name one, else where its SAE names its own, `page`.
    """
    measured = [
        key
        for key in dict.fromkeys(key for row in rows for key in row)
        if key not in _PLACE and any(row.get(key) is not None for row in rows)
    ]
    several = len(sources) > 1
    cells: list[list[JSON]] = []
    addresses: dict[tuple[int, int], str] = {}
    opens: dict[int, Grid] = {}
    for row in rows:
        found = _labels(row, sources)
        meanings = {source: _meaning(label) for source, label in found.items()}
        texts = [
            f"{source}: {text}" if several else text for source, text in meanings.items() if text
        ]
        links = dict.fromkeys(str(label["url"]) for label in found.values() if label.get("url"))
        values = [_cell(row.get(key)) for key in measured]
        at, feature = len(cells), int(row["feature"])
        if contexts := _contexts(feature, found):
            opens[at] = contexts
        if len(links) == 1:
            addresses[at, len(measured) + 2] = next(iter(links))
        addresses[at, 0] = next(iter(links), f"{page}/{feature}")
        cells.append([feature, *values, "\n".join(texts), "\n".join(links)])
    where = [str(rows[0][key]) for key in ("site", "pair", "view") if rows[0].get(key) is not None]
    title = f"{name}: {', '.join([sae, *where])}"
    columns = ["feature", *measured, "meaning", "link"]
    note = "In contexts, the strongest token is between « and »." if opens else ""
    features = [row[0] for row in cells]
    safe = {at: one for at, one in addresses.items() if _is_page_of(one, features[at[0]])}
    return Grid(title, columns, cells, note, links=safe, opens=opens)


def _is_page_of(address: str, feature: JSON) -> bool:
    """Whether an address is that of this feature on Neuronpedia: no other one becomes a link."""
    return (
        address.startswith(_SITE)
        and _IDS.fullmatch(address.removeprefix(_SITE)) is not None
        and address.endswith(f"/{feature}")
    )


def _contexts(feature: int, labels: Mapping[str, Row]) -> Grid | None:
    """The texts in which a feature is strongest, as its labels have them."""
    cells: list[list[JSON]] = [
        [_marked(context), _cell(context.get("value"))]
        for label in labels.values()
        for context in list(label.get("contexts") or ())[:_CONTEXTS]
    ]
    if not cells:
        return None
    return Grid(f"Contexts of {feature}", ["context", "activation"], cells)


def _labels(row: Row, sources: Sources) -> dict[str, Row]:
    key = str(row["sae"]), int(row["feature"])
    return {name: labels[key] for name, labels in sources.items() if key in labels}


def _meaning(label: Row) -> str:
    description, cluster = label.get("description") or "", label.get("cluster")
    return f"{description} [{cluster}]".strip() if cluster else str(description)


def _marked(context: Mapping[str, Any]) -> str:
    mark = context.get("mark")
    return "".join(
        f"«{token}»" if place == mark else str(token)
        for place, token in enumerate(context.get("tokens") or ())
    )


def _cell(value: Any) -> JSON:
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


# ── Clusters by task and layer ───────────────────────────────────────────────────────────────────


def _figures(records: Sequence[Record]) -> Iterator[Figure]:
    for id, title in _BY_CLUSTER.items():
        mine = [r for r in named(records, id) if "domain" not in r.axes]
        if mine:
            yield _figure(title, mine)


def _figure(title: str, records: Sequence[Record]) -> Figure:
    """Bars: a group for each cluster, a bar for each task, layer and what else was varied."""
    varied = _varied(records)
    series = grouped(
        records, lambda r: ", ".join(str(r.axes.get(axis, "")) for axis in varied) or "all"
    )
    shown = dict(list(series.items())[:_SERIES])
    largest: dict[str, float] = {}
    for record in (record for mine in shown.values() for record in mine):
        cluster = str(record.axes["cluster"])
        largest[cluster] = max(largest.get(cluster, 0.0), record.value or 0.0)
    clusters = sorted(largest, key=lambda name: -largest[name])[:_CLUSTERS]
    styles = distinct_styles(shown)
    data = []
    for label, mine in shown.items():
        values = {str(record.axes["cluster"]): record.value for record in mine}
        data.append(
            {
                "type": "bar",
                "name": label,
                "x": clusters,
                "y": [values.get(cluster) for cluster in clusters],
                "marker": {"color": styles[label].colour},
            }
        )
    rows = [
        {
            **{axis: record.axes.get(axis) for axis in varied},
            "cluster": record.axes["cluster"],
            "value": format_estimate(record),
            "n": f"{record.n:,} {record.n_of}",
            "why there is none": record.undefined or "",
        }
        for mine in shown.values()
        for record in mine
    ]
    left_out = len(series) - len(shown)
    more = f" {left_out} further series are in results.json." if left_out else ""
    return Figure(
        title,
        f"{title}: {len(clusters)} clusters, {len(shown)} series.{more}",
        data,
        {
            "barmode": "group",
            "xaxis": {"type": "category", "title": {"text": "cluster"}},
            "yaxis": {"title": {"text": f"{title} ({records[0].unit})"}},
            "showlegend": len(shown) > 1,
        },
        rows,
        [record for mine in shown.values() for record in mine],
    )


def _varied(records: Sequence[Record]) -> list[str]:
    """The axes that tell these records apart, beside the cluster."""
    axes = dict.fromkeys(axis for record in records for axis in record.axes if axis != "cluster")
    return [axis for axis in axes if len({str(r.axes.get(axis)) for r in records}) > 1]
