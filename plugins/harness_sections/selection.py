"""Which of many directions was selected: a heat map of all of them, by position and layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Grid, Panel, Prose, Record, Results
from harness.results import format_estimate, format_number, grouped, null_value, record_name
from harness_sections.charts.heat import Cell, heat_map
from harness_sections.plain import PlainSection

_COLUMNS = {"position", "site", "bypass", "induce", "kl", "chosen", "discarded"}
"""The columns of a table of candidates."""
_PREFIX = "selected_direction."
_HOW = (
    "Candidates are the differences in means at every token that closes a prompt and at every "
    "layer. Each is tried without a completion being written, by what the model would say next. "
    "Chosen is the one without which harmful prompts are refused least, of those that leave "
    "harmless prompts as they are (KL), make the model refuse when they are added, and do not lie "
    "too deep."
)
_MEANING = (
    "Mean refusal score of harmful prompts, in log-odds of a word that begins a refusal, while the "
    "candidate is ablated: the lower, the better it bypasses refusal. ★ is the chosen one, × was "
    "discarded; the table says why."
)
Row = Mapping[str, Any]


class Selection(PlainSection):
    """For each selection: the heat map, with what was discarded, and the numbers of the chosen."""

    def panel(self, results: Results) -> Panel | None:
        """The panel, or None where nothing was selected."""
        blocks: list[Figure | Grid | Prose] = [Prose(_HOW)]
        for name, rows in results.tables.items():
            entry, _, table = name.rpartition(".")
            if table != "candidates" or not rows or not rows[0].keys() >= _COLUMNS:
                continue
            sweeps = grouped(rows, lambda row: _swept(row))
            for label, mine in sweeps.items():
                title = f"{entry}, {label}" if label else entry
                blocks += _figures(title, mine)
            if grid := _numbers(entry, results.records):
                blocks.append(grid)
        return Panel("Selected directions", blocks, order=19) if len(blocks) > 1 else None


def _swept(row: Row) -> str:
    """What a sweep of the selection gave a row: what stands before the columns of a candidate."""
    own = {*_COLUMNS, "variant", "layer", "token_id", "undefined", "direction"}
    return ", ".join(f"{key} {value}" for key, value in row.items() if key not in own)


def _figures(title: str, rows: Sequence[Row]) -> Iterator[Figure]:
    """One heat map for candidates by position and site; nothing of others."""
    placed = [row for row in rows if row["position"] is not None and row["site"] is not None]
    if not placed:
        return
    cells = [
        Cell(_position(row), str(row["site"]), row["bypass"], _text(row), _details(row))
        for row in placed
    ]
    columns = list(dict.fromkeys(cell.column for cell in cells))
    yield heat_map(
        f"{title}: candidates", _MEANING, cells, columns, axes=("position", "site"), middle=0.0
    )


def _position(row: Row) -> str:
    """A position from the end, with the id of its token where it has one."""
    token = row.get("token_id")
    return f"{row['position']}" if token is None else f"{row['position']} (token {token})"


def _text(row: Row) -> str:
    if row["bypass"] is None:
        return ""
    mark = " ★" if row["chosen"] else " ×" if row["discarded"] else ""
    return f"{format_number(row['bypass'])}{mark}"


def _details(row: Row) -> dict[str, JSON]:
    outcome = "chosen" if row["chosen"] else row["discarded"] or "passed"
    return {
        "bypass": row["bypass"],
        "induce": row["induce"],
        "KL": row["kl"],
        "came out": str(outcome),
    }


def _numbers(entry: str, records: Sequence[Record]) -> Grid | None:
    """The numbers of the chosen candidate, or why there is none."""
    mine = [r for r in records if r.id.startswith(_PREFIX) and r.axes.get("direction") == entry]
    rows: list[list[JSON]] = []
    for record in mine:
        null = null_value(record)
        over = [f"{k} {v}" for k, v in record.axes.items() if k not in ("direction", "view")]
        rows.append(
            [
                record_name(record).removeprefix(_PREFIX),
                ", ".join(over),
                format_estimate(record),
                "" if null is None else format_number(null),
                record.unit,
                record.undefined or "",
            ]
        )
    columns = ("number", "over", "value", "without an edit", "unit", "why there is none")
    return Grid(f"{entry}: chosen", columns, rows, "95% intervals in brackets.") if rows else None
