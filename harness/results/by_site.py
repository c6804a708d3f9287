"""The numbers of a pair by site: a row for each number, a column for each site and SAE.

For the terminal and the report, which must not know what a task calls anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.contract import JSON, Record
from harness.contract.sites import Site, parse_site

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
    """Which tokens a record counts: `cosine_below=0.9`; empty where it counts all of them."""
    keys = ("cosine_below", "cosine_above")
    return " ".join(
        f"{key}={record.options[key]}" for key in keys if record.options.get(key) is not None
    )


def shared(records: Sequence[Record]) -> dict[str, JSON]:
    """The further axes that all records have alike, such as the checkpoint of a pair."""
    first = records[0].axes if records else {}
    return {
        key: value
        for key, value in first.items()
        if key not in PLACE and all(key in r.axes and r.axes[key] == value for r in records)
    }


def labels(records: Sequence[Record]) -> list[str]:
    """What each record is, wherever it was measured; different ones at one place differ.

    Its name and the axes that not all have alike, its condition, and of its options those that
    tell it from another record with the same axes.
    """
    versions: dict[str, set[str]] = {}
    for record in records:
        versions.setdefault(record.id.partition("@")[0], set()).add(record.id)
    known = {*PLACE, *shared(records)}
    plain = [_plain(record, versions, known) for record in records]
    rivals: dict[tuple[str, str], list[Record]] = {}
    for label, record in zip(plain, records, strict=True):
        rivals.setdefault((label, repr(sorted(record.axes.items()))), []).append(record)
    telling: dict[str, set[str]] = {}
    for (label, _), mine in rivals.items():
        keys = {key for record in mine for key in record.options}
        varying = {key for key in keys if len({repr(r.options.get(key, ...)) for r in mine}) > 1}
        telling.setdefault(label, set()).update(varying)
    return [
        " ".join([label, *(f"{k}={record.options.get(k, '-')}" for k in sorted(telling[label]))])
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
    labelled = list(zip(labels(records), records, strict=True))
    crowded = _crowded(labelled)

    def place(record: Record) -> str:
        # An SAE that is alone at its site shares the column of what is measured without one.
        site, sae = record.axes["site"], record.axes.get("sae")
        return f"{site} {sae}" if sae is not None and site in crowded else str(site)

    columns = dict.fromkeys(
        place(record)
        for site in by_depth([record.axes["site"] for record in records])
        for record in records
        if record.axes["site"] == site
    )
    rows: dict[str, dict[str, Record]] = {}
    for label, record in labelled:
        rows.setdefault(label, {})[place(record)] = record
    axes = records[0].axes
    data = axes.get("data")
    title = f"Pair {axes['pair']}" + ("" if data is None else f" on {data}")
    title = ", ".join([title, *(f"{key}={value}" for key, value in shared(records).items())])
    return SiteTable(title, tuple(columns), rows)


def _crowded(labelled: Sequence[tuple[str, Record]]) -> set[JSON]:
    """The sites where one column would have to hold two numbers, or has two SAEs."""
    saes: dict[JSON, set[JSON]] = {}
    same: dict[tuple[str, JSON], set[JSON]] = {}
    for label, record in labelled:
        site, sae = record.axes["site"], record.axes.get("sae")
        same.setdefault((label, site), set()).add(sae)
        if sae is not None:
            saes.setdefault(site, set()).add(sae)
    several = {site for site, found in saes.items() if len(found) > 1}
    return several | {site for (_, site), found in same.items() if len(found) > 1}


def _plain(record: Record, versions: Mapping[str, set[str]], known: Collection[str]) -> str:
    name = record.id.partition("@")[0]
    more = [f"{key}={value}" for key, value in record.axes.items() if key not in known]
    where = condition(record)
    first = name if len(versions[name]) == 1 else record.id
    return " ".join([first, *more, *([where] if where else [])])
