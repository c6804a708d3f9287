"""How the claims of the tasks came out, run by run."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import JSON, ClaimOutcome, Grid, Panel, Runs, Variant
from harness.results import format_number

_MARKS = ("supported", "contradicted", "undecided", "unmeasured")


def panel(runs: Runs) -> Panel | None:
    """A row for each claim, a column for each variant; None where no task claims anything."""
    claims: dict[tuple[str, str], ClaimOutcome] = {}
    for variant in runs.variants:
        for run in variant.runs:
            for claim in run.results.claims:
                claims.setdefault((claim.name, claim.holds), claim)
    if not claims:
        return None
    rows: list[list[JSON]] = [
        [name, claim.text, holds, *(_cell(variant, name, holds) for variant in runs.variants)]
        for (name, holds), claim in claims.items()
    ]
    labels = [variant.label for variant in runs.variants]
    grid = Grid("What the tasks expected", ["claim", "", "condition", *labels], rows)
    return Panel("Claims", [grid], order=3)


def _cell(variant: Variant, name: str, holds: str) -> str:
    """`supported 0.12 [0.05, 0.2]` of one run, `2 supported, 1 undecided` of several seeds."""
    mine = [
        claim for run in variant.runs for claim in run.results.claims
        if (claim.name, claim.holds) == (name, holds)
    ]  # fmt: skip
    if not mine:
        return ""
    if len(mine) == 1 and len(variant.runs) == 1:
        return _told(mine[0])
    return _counted(mine, len(variant.runs) - len(mine))


def _told(claim: ClaimOutcome) -> str:
    text: str = claim.status
    if claim.effect is not None:
        text += f" {format_number(claim.effect)}"
        if claim.ci is not None:
            text += f" [{', '.join(map(format_number, claim.ci))}]"
    return text + " (written after the run)" * claim.late


def _counted(claims: Sequence[ClaimOutcome], without: int) -> str:
    counts = [(mark, sum(claim.status == mark for claim in claims)) for mark in _MARKS]
    parts = [f"{count} {mark}" for mark, count in counts if count]
    return ", ".join([*parts, *([f"{without} without it"] if without else [])])
