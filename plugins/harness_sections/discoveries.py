"""What the task asked many numbers at once, and which of them are discoveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import JSON, FamilyOutcome, Grid, Panel, Prose, Results, Runs
from harness.results import by_chance, family_line, format_number
from harness_sections.plain import PlainSection
from harness_sections.several import discoveries

_ROWS = 30
"""Members of a family that are shown."""
_TABLE = "families"
_HOW = (
    "Of many numbers some are far off by chance. A raw p says how often one number would be; q is "
    "the rate of false discoveries at which it is one. A family's discoveries are its numbers with "
    "q up to its rate: of them, at most that share is false, on average over many such runs"
)
_DEPENDENCE = {
    "positive": "Benjamini and Hochberg: tests that are independent, or hang together so that one "
    "small p makes others likelier",
    "any": "Benjamini and Yekutieli: tests that hang together in any way",
}
_HEAD = ("family", "asked", "discoveries", "p up to the rate", "by chance", "rate", "against",
         "written", "numbers")  # fmt: skip
_MEMBERS = ("", "number", "value", "control", "p", "q", "")


class Discoveries(PlainSection):
    """A row for each family, and for each the members with the smallest p."""

    def panel(self, results: Results) -> Panel | None:
        """Tables and what is to be known of them, or None where the task names no family."""
        if not results.families:
            return None
        blocks: list[Prose | Grid] = [Prose(family_line(one)) for one in results.families]
        late = [one.name for one in results.families if one.late]
        if late:
            was = "was" if len(late) == 1 else "were"
            text = f"{', '.join(late)} {was} written after the run, in knowledge of its numbers."
            blocks.append(Prose(text, "warning"))
        blocks.append(Grid("", _HEAD, [_row(one) for one in results.families]))
        rows = results.tables.get(_TABLE, ())
        blocks += [grid for one in results.families if (grid := _members(one, rows)) is not None]
        blocks += [Prose(_HOW + "."), *(Prose(way) for way in _ways(results.families))]
        return Panel("Discoveries", blocks, order=3)

    def panel_of_runs(self, runs: Runs) -> Panel | None:
        """How many discoveries each run has."""
        return discoveries.panel(runs)


def _row(one: FamilyOutcome) -> list[JSON]:
    written = (one.written or "").replace("T", " ").removesuffix("Z")
    return [
        one.name,
        one.tested,
        one.why if one.discoveries is None else one.discoveries,
        one.small,
        None if one.expected is None else f"at most {by_chance(one)}",
        one.rate,
        one.against or "",
        f"{written} (after the run)" if one.late else written,
        "; ".join(one.of),
    ]


def _members(one: FamilyOutcome, rows: Sequence[Mapping[str, Any]]) -> Grid | None:
    mine = [row for row in rows if row.get("family") == one.name]
    if not mine:
        return None
    note = ""
    if one.tested > min(_ROWS, len(mine)):
        note = f"The {min(_ROWS, len(mine))} with the smallest p of {one.tested:,}"
        note += f"; tables/families.parquet has {len(mine):,}." if len(mine) > _ROWS else "."
    cells = [_cells(row) for row in mine[:_ROWS]]
    return Grid(f"{one.name}: {one.text}", _MEMBERS, cells, note, folded=True)


def _cells(row: Mapping[str, Any]) -> list[JSON]:
    found = "discovery" if row.get("discovery") else ""
    if row.get("out_of_reach"):
        found = "out of reach"
    return [
        found,
        str(row.get("member") or ""),
        _number(row.get("value")),
        _number(row.get("control")),
        _p(row.get("p")),
        _p(row.get("q")),
        str(row.get("why") or ""),
    ]


def _number(value: Any) -> str:
    return format_number(value) if isinstance(value, (int, float)) else ""


def _p(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, (int, float)) else ""


def _ways(families: Sequence[FamilyOutcome]) -> list[str]:
    """How each p was made and what is assumed, each way once, with the families that it is of."""
    made: dict[str, list[str]] = {}
    for one in families:
        for method in one.methods:
            made.setdefault(f"p of {{}}: {method}.", []).append(one.name)
        assumed = _DEPENDENCE.get(one.dependence, one.dependence)
        made.setdefault(f"q of {{}}: {assumed}.", []).append(one.name)
    return [way.replace("{}", ", ".join(names), 1) for way, names in made.items()]
