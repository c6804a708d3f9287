"""The numbers of a pair by site: a row for each number, a column for each site and SAE.

For the terminal and the report, which must not know what a task calls anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.contract import JSON, Record
from harness.sites import Site, parse_site

PLACE = ("pair", "data", "site", "sae")
"""Axes that say where a number was measured, not what was measured."""


@dataclass(frozen=True)
class SiteTable:
    """One pair on one data set. All text is hostile."""

    title: str
    columns: tuple[str, ...]
    """Sites, with their SAE where several are there; by depth."""
    rows: Mapping[str, Mapping[str, Record]]
    """By what was measured, then by column."""


def site_tables(records: Sequence[Record]) -> tuple[list[SiteTable], list[Record]]:
    """The tables of all pairs that are measured at two sites or more, and what is in none."""
    tables: list[SiteTable] = []
    used: set[int] = set()
    for mine in by_pair(records).values():
        if len({record.axes["site"] for record in mine}) > 1:
            used |= set(map(id, mine))
            tables.append(_table(mine))
    return tables, [record for record in records if id(record) not in used]


def by_pair(records: Sequence[Record]) -> dict[tuple[JSON, JSON], list[Record]]:
    """The records that have a site, by their pair and data."""
    found: dict[tuple[JSON, JSON], list[Record]] = {}
    for record in records:
        if "site" in record.axes and record.axes.get("pair") is not None:
            key = record.axes["pair"], record.axes.get("data")
            found.setdefault(key, []).append(record)
    return found


def condition(record: Record) -> str:
    """Which tokens a record counts: `cosine < 0.9`; empty where it counts all of them."""
    below, above = (record.options.get(f"cosine_{side}") for side in ("below", "above"))
    parts = [f"cosine < {below:g}"] if isinstance(below, (int, float)) else []
    parts += [f"cosine >= {above:g}"] if isinstance(above, (int, float)) else []
    return ", ".join(parts)


def labels(records: Sequence[Record]) -> list[str]:
    """What each record is, wherever it was measured; different ones at one place differ.

    Its name and further axes, its condition, and of its options those that tell it from another
    record with the same axes.
    """
    plain = [_plain(record) for record in records]
    rivals: dict[tuple[str, str], list[Record]] = {}
    for label, record in zip(plain, records, strict=True):
        rivals.setdefault((label, _key(record.axes)), []).append(record)
    telling: dict[str, set[str]] = {}
    for (label, _), mine in rivals.items():
        keys = {key for record in mine for key in record.options}
        varying = {key for key in keys if len({_value(r, key) for r in mine}) > 1}
        telling.setdefault(label, set()).update(varying)
    return [
        " ".join([label, *(f"{key}={_value(record, key)}" for key in sorted(telling[label]))])
        for label, record in zip(plain, records, strict=True)
    ]


def depth(site: JSON) -> Site | None:
    """The site, where it lies in a block that is known; else None."""
    try:
        found = parse_site(str(site))
    except ValueError:
        return None
    return found if found.layer is not None else None


def by_depth(sites: Sequence[JSON]) -> list[JSON]:
    """Each site once: kinds in order of appearance, each by its blocks; then the others."""
    once = list(dict.fromkeys(sites))
    known = {site: found for site in once if (found := depth(site)) is not None}
    kinds = list(dict.fromkeys(found.kind for found in known.values()))

    def place(site: JSON) -> tuple[int, int]:
        found = known.get(site)
        return (len(kinds), 0) if found is None else (kinds.index(found.kind), found.layer or 0)

    return sorted(once, key=place)


def _table(records: Sequence[Record]) -> SiteTable:
    saes: dict[JSON, dict[JSON, None]] = {}
    for record in records:
        saes.setdefault(record.axes["site"], {})[record.axes.get("sae")] = None

    def place(record: Record) -> str:
        # An SAE that is alone at its site shares the column of what is measured without one.
        site, sae = record.axes["site"], record.axes.get("sae")
        several = len([one for one in saes[site] if one is not None]) > 1
        return f"{site} {sae}" if several and sae is not None else str(site)

    columns = dict.fromkeys(
        place(record)
        for site in by_depth([record.axes["site"] for record in records])
        for record in records
        if record.axes["site"] == site
    )
    rows: dict[str, dict[str, Record]] = {}
    for label, record in zip(labels(records), records, strict=True):
        rows.setdefault(label, {})[place(record)] = record
    axes = records[0].axes
    data = axes.get("data")
    title = f"Pair {axes['pair']}" + ("" if data is None else f" on {data}")
    return SiteTable(title, tuple(columns), rows)


def _plain(record: Record) -> str:
    more = [f"{key}={value}" for key, value in record.axes.items() if key not in PLACE]
    where = condition(record)
    counted = [f"({where})"] if where else []
    return " ".join([record.id.partition("@")[0], *more, *counted])


def _value(record: Record, option: str) -> str:
    value = record.options.get(option)
    # What `condition` tells already.
    return "" if option in ("cosine_below", "cosine_above") else str(value)


def _key(axes: Mapping[str, JSON]) -> str:
    return repr(sorted(axes.items(), key=lambda item: item[0]))
