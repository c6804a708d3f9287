"""The numbers of a pair by site: a row for each number, a column for each site and SAE.

For readers of results, which cannot know what a task calls its pairs and SAEs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.contract import JSON, Record
from harness.contract.sites import Site, parse_site
from harness.results.records import grouped, record_name, shared_items

PLACE_AXES = ("pair", "data", "site", "sae")
"""Axes that say where a number was measured, not what was measured."""


@dataclass(frozen=True)
class SiteTable:
    """The records of one pair on one data set as a table. All text is hostile."""

    title: str
    columns: tuple[str, ...]
    """Sites by depth; a site at which several SAEs are has a column for each."""
    rows: Mapping[str, Mapping[str, Record]]
    """The records by what was measured, then by column."""


def site_tables(records: Sequence[Record]) -> tuple[list[SiteTable], list[Record]]:
    """The tables of all pairs that are measured at two sites or more.

    Returns them with the records that are in none of them.
    """
    tables: list[SiteTable] = []
    used: set[int] = set()
    for mine in records_by_pair(records).values():
        if len({record.axes["site"] for record in mine}) > 1:
            used |= set(map(id, mine))
            tables.append(_table(mine))
    return tables, [record for record in records if id(record) not in used]


def records_by_pair(records: Sequence[Record]) -> dict[tuple[JSON, JSON], list[Record]]:
    """The records that have both a pair and a site, by (pair, data)."""
    placed = [r for r in records if "site" in r.axes and r.axes.get("pair") is not None]
    return grouped(placed, lambda record: (record.axes["pair"], record.axes.get("data")))


def token_condition(record: Record) -> str:
    """Which tokens the record counts: `cosine_below=0.9`, or nothing where it counts all."""
    keys = ("cosine_below", "cosine_above", "cosine_quantile")
    return " ".join(
        f"{key}={record.options[key]}" for key in keys if record.options.get(key) is not None
    )


def common_axes(records: Sequence[Record]) -> dict[str, JSON]:
    """The axes that have one value in all records, such as a pair's checkpoint; no place axes."""
    shared = shared_items([record.axes for record in records])
    return {key: value for key, value in shared.items() if key not in PLACE_AXES}


def distinct_labels(records: Sequence[Record]) -> list[str]:
    """A label for each record that says what was measured, not where.

    It has the record's name, the axes in which the records differ, the condition on tokens, and
    those options that tell the record from another one with the same axes. So two different
    numbers at one place have different labels.
    """
    by_name = grouped(records, record_name)
    versions = {name: {record.id for record in mine} for name, mine in by_name.items()}
    known = {*PLACE_AXES, *common_axes(records)}
    plain = [_plain(record, versions, known) for record in records]
    labelled = list(zip(plain, records, strict=True))
    rivals = grouped(labelled, lambda one: (one[0], repr(sorted(one[1].axes.items()))))
    telling: dict[str, set[str]] = {}
    for (label, _), same in rivals.items():
        options = [record.options for _, record in same]
        keys = {key for mine in options for key in mine}
        varying = {key for key in keys if len({repr(mine.get(key, ...)) for mine in options}) > 1}
        telling.setdefault(label, set()).update(varying)
    return [
        " ".join([label, *(f"{k}={record.options.get(k, '-')}" for k in sorted(telling[label]))])
        for label, record in labelled
    ]


def block_site(site: JSON) -> Site | None:
    """The site that an axis names, where it lies in a numbered block; else None."""
    try:
        found = parse_site(str(site))
    except ValueError:
        return None
    return found if found.layer is not None else None


def sites_by_depth(sites: Sequence[JSON]) -> list[JSON]:
    """Each site once, by kind and within a kind by block; sites in no block come last."""
    once = list(dict.fromkeys(sites))
    known = {site: found for site in once if (found := block_site(site)) is not None}
    kinds = list(dict.fromkeys(found.kind for found in known.values()))

    def place(site: JSON) -> tuple[int, int]:
        found = known.get(site)
        return (len(kinds), 0) if found is None else (kinds.index(found.kind), found.layer or 0)

    return sorted(once, key=place)


def sorted_by_depth(records: Sequence[Record]) -> list[Record]:
    """The records by their site's depth; those at one site in their order."""
    order = sites_by_depth([record.axes.get("site") for record in records])
    return sorted(records, key=lambda record: order.index(record.axes.get("site")))


def _table(records: Sequence[Record]) -> SiteTable:
    labelled = list(zip(distinct_labels(records), records, strict=True))
    crowded = _crowded(labelled)

    def place(record: Record) -> str:
        # An SAE that is alone at its site shares the column of what is measured without one.
        site, sae = record.axes["site"], record.axes.get("sae")
        return f"{site} {sae}" if sae is not None and site in crowded else str(site)

    columns = dict.fromkeys(map(place, sorted_by_depth(records)))
    rows: dict[str, dict[str, Record]] = {}
    for label, record in labelled:
        rows.setdefault(label, {})[place(record)] = record
    axes = records[0].axes
    data = axes.get("data")
    title = f"Pair {axes['pair']}" + ("" if data is None else f" on {data}")
    title = ", ".join([title, *(f"{key}={value}" for key, value in common_axes(records).items())])
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
    name = record_name(record)
    more = [f"{key}={value}" for key, value in record.axes.items() if key not in known]
    where = token_condition(record)
    first = name if len(versions[name]) == 1 else record.id
    return " ".join([first, *more, *([where] if where else [])])
