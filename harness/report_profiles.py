"""Layer profiles for the terminal: a row for each number of a pair, a column for each site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from harness.contract import JSON, Record
from harness.safe_text import for_terminal

_PLACE = ("pair", "data", "site", "sae")
Cell = Callable[[Record], Text]


def profiles(records: Sequence[Record], cell: Cell) -> tuple[list[Group], list[Record]]:
    """The tables of all pairs that are measured at two places or more, and what is in none."""
    shown: list[Group] = []
    used: set[int] = set()
    for pair, data in dict.fromkeys((r.axes.get("pair"), r.axes.get("data")) for r in records):
        mine = [
            record
            for record in records
            if (record.axes.get("pair"), record.axes.get("data")) == (pair, data)
            and "site" in record.axes
        ]
        if pair is None or len({record.axes["site"] for record in mine}) < 2:
            continue
        used |= set(map(id, mine))
        shown.append(_table(f"Pair {pair} on {data}", mine, cell))
    return shown, [record for record in records if id(record) not in used]


def _table(title: str, records: Sequence[Record], cell: Cell) -> Group:
    saes: dict[JSON, set[JSON]] = {}
    for record in records:
        saes.setdefault(record.axes["site"], set()).add(record.axes.get("sae"))

    def place(record: Record) -> str:
        # An SAE that is alone at its site shares the column of what is measured without one.
        site, sae = record.axes["site"], record.axes.get("sae")
        several = len(saes[site] - {None}) > 1
        return for_terminal(f"{site} {sae}" if several and sae else str(site))

    headers = list(dict.fromkeys(map(place, records)))
    rows: dict[str, dict[str, Record]] = {}
    for record in records:
        rows.setdefault(_label(record), {})[place(record)] = record
    table = Table(pad_edge=False, box=None, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    for header in headers:
        table.add_column(Text(header), justify="right", no_wrap=True)
    for label, found in rows.items():
        table.add_row(Text(label), *(cell(found[h]) if h in found else Text("") for h in headers))
    notes = [Text(line, "dim") for line in _reasons(rows)]
    return Group(Text(""), Text(for_terminal(title), "bold"), table, *notes)


def _label(record: Record) -> str:
    more = [f"{key}={value}" for key, value in record.axes.items() if key not in _PLACE]
    return for_terminal(" ".join([record.id.partition("@")[0], *more]))


def _reasons(rows: dict[str, dict[str, Record]]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for label, found in rows.items():
        for record in found.values():
            if record.undefined:
                reasons.setdefault(record.undefined, []).append(label)
    for reason, labels in reasons.items():
        yield f"undefined for {', '.join(dict.fromkeys(labels))}: {for_terminal(reason)}"
