"""How many discoveries the families of the tasks have, run by run."""

from __future__ import annotations

from harness.contract import JSON, FamilyOutcome, Grid, Panel, Runs, Variant

_NOTE = (
    "Discoveries of those asked. Each run is a family of its own: what is one in one of many "
    "runs may be a false one of that run."
)


def panel(runs: Runs) -> Panel | None:
    """A row for each family, a column for each variant; None where no task names a family."""
    families: dict[tuple[str, tuple[str, ...]], FamilyOutcome] = {}
    for variant in runs.variants:
        for run in variant.runs:
            for one in run.results.families:
                families.setdefault((one.name, one.of), one)
    if not families:
        return None
    rows: list[list[JSON]] = [
        [name, one.text, *(_cell(variant, name, of) for variant in runs.variants)]
        for (name, of), one in families.items()
    ]
    labels = [variant.label for variant in runs.variants]
    grid = Grid("Discoveries", ["family", "", *labels], rows, _NOTE)
    return Panel("Discoveries", [grid], order=3)


def _cell(variant: Variant, name: str, of: tuple[str, ...]) -> str:
    """`11 of 19`, those of several seeds after each other."""
    families = [one for run in variant.runs for one in run.results.families]
    mine = [one for one in families if (one.name, one.of) == (name, of)]
    return "; ".join(
        "unmeasured" if one.discoveries is None else f"{one.discoveries:,} of {one.tested:,}"
        for one in mine
    )
