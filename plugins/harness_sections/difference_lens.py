"""What fine-tuning left in the first tokens of unrelated text: the lists, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Grid, Panel, Prose, Record, Results
from harness.results import format_estimate, format_number, grouped
from harness_sections.plain import PlainSection

_COLUMNS = {"pair", "site", "position", "source", "place", "token"}
"""The columns of a table of lists."""
_SHOWN = 10
_SOURCES = {
    "difference": "mean difference",
    "inverse": "its opposite",
    "left": "left model, mean",
    "right": "right model, mean",
}
_CHECKED = ("best_rank", "hits_best", "hits_mean", "rank", "hits", "split_half", "overlap", "scale",
            "coherence")  # fmt: skip
_HOW = (
    "A narrow fine-tune moves the first tokens of any text, whatever it is about. Below is how two "
    "models differ there on average, read as tokens: by the model's own head (logit lens), or as "
    "what the model says where the difference stands in the place of a token (patchscope). "
    "Any vector gives some list, so look at what stands beside: what each model's mean says "
    "without the difference, whether two halves of the text give the same list, whether lists "
    "with permuted labels do, and how random words rank. Words of the task stand in «»."
)
Row = Mapping[str, Any]


class DifferenceLens(PlainSection):
    """For each analysis, pair and site: the lists by position, and numbers with their nulls."""

    def panel(self, results: Results) -> Panel | None:
        """The grids, or None where no table holds lists."""
        blocks: list[Grid | Prose] = [Prose(_HOW)]
        for name, rows in results.tables.items():
            analysis, _, table = name.rpartition(".")
            if table != "tokens" or not rows or not rows[0].keys() >= _COLUMNS:
                continue
            places = grouped(rows, lambda row: (str(row["pair"]), str(row["site"])))
            for (pair, site), mine in places.items():
                title = f"{analysis}: {pair} at {site}"
                blocks.append(_lists(title, mine))
                records = _records(results.records, analysis, pair, site)
                if records:
                    blocks.append(_numbers(title, records))
        return Panel("First tokens", blocks, order=34) if len(blocks) > 1 else None


def _lists(title: str, rows: Sequence[Row]) -> Grid:
    """A row for each position, a column for each source: its first tokens."""
    sources = [one for one in _SOURCES if any(row["source"] == one for row in rows)]
    positions = sorted({int(row["position"]) for row in rows})
    cells: list[list[JSON]] = []
    for position in positions:
        by_source = grouped(
            [row for row in rows if int(row["position"]) == position], lambda row: row["source"]
        )
        cells.append([position, *(_said(by_source.get(one, ())) for one in sources)])
    note = f"The first {_SHOWN} tokens of each list; all are in tables/."
    return Grid(title, ["position", *(_SOURCES[one] for one in sources)], cells, note)


def _said(rows: Sequence[Row]) -> str:
    ordered = sorted(rows, key=lambda row: int(row["place"]))[:_SHOWN]
    said = " | ".join(_token(row) for row in ordered)
    scale = ordered[0].get("scale") if ordered else None
    return said if scale is None else f"{said} (strength {format_number(scale)})"


def _token(row: Row) -> str:
    text = str(row["token"])
    return f"«{text}»" if row.get("word") is not None else text


def _records(records: Sequence[Record], analysis: str, pair: str, site: str) -> list[Record]:
    wanted = {"analysis": analysis, "pair": pair, "site": site}
    mine = [r for r in records if wanted.items() <= r.axes.items() and _name(r) in _CHECKED]
    return sorted(mine, key=lambda record: _CHECKED.index(_name(record)))


def _name(record: Record) -> str:
    return record.id.partition("@")[0].rpartition(".")[2]


def _numbers(title: str, records: Sequence[Record]) -> Grid:
    """A row for each number beside its null."""
    rows: list[list[JSON]] = [
        [
            _name(record).replace("_", " "),
            ", ".join(_over(record)),
            format_estimate(record),
            *_null(record),
            record.undefined or "",
        ]
        for record in records
    ]
    columns = ["number", "over", "value", "beside it", "by chance", "p", "why there is none"]
    return Grid(f"{title}: numbers", columns, rows, "95% intervals in brackets.", folded=True)


def _over(record: Record) -> Iterator[str]:
    for axis, value in record.axes.items():
        if axis not in ("analysis", "pair", "site"):
            yield f"{axis} {_SOURCES.get(str(value), value)}"


def _null(record: Record) -> list[JSON]:
    null = record.null or {}
    value, p = null.get("value"), null.get("p")
    return [
        str(null.get("kind", "")),
        "" if value is None else format_number(value),
        "" if p is None else format_number(p),
    ]
