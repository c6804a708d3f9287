"""What the task expected before it ran, and how that came out."""

from __future__ import annotations

from collections import Counter

from harness.contract import ClaimOutcome, ClaimStatus, Grid, Panel, Prose, Results, Runs
from harness.results import claim_numbers
from harness_sections.plain import PlainSection
from harness_sections.several import claims

_ORDER: tuple[ClaimStatus, ...] = ("contradicted", "undecided", "unmeasured", "supported")
_HEAD = ("", "claim", "came out as", "condition", "against", "written", "source")


class Claims(PlainSection):
    """A row for each claim, those that were contradicted first."""

    def panel(self, results: Results) -> Panel | None:
        """A table and what is to be known of it, or None where the task claims nothing."""
        if not results.claims:
            return None
        counts = Counter(one.status for one in results.claims)
        summary = ", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status])
        blocks: list[Prose | Grid] = [Prose(f"Of {len(results.claims)} claims: {summary}.")]
        late = [one.name for one in results.claims if one.late]
        if late:
            was = "was" if len(late) == 1 else "were"
            blocks.append(
                Prose(
                    f"{', '.join(late)} {was} written after the run, in knowledge of its numbers: "
                    "a description of them, and no test.",
                    "warning",
                )
            )
        rows = [_row(one) for one in sorted(results.claims, key=lambda one: _rank(one.status))]
        blocks.append(Grid("", _HEAD, rows))
        blocks += [Prose(f"{way}.") for way in _ways(results.claims)]
        return Panel("Claims", blocks, order=2)

    def panel_of_runs(self, runs: Runs) -> Panel | None:
        """How the claims of the tasks came out in each run."""
        return claims.panel(runs)


def _rank(status: str) -> int:
    return _ORDER.index(status) if status in _ORDER else len(_ORDER)


def _row(claim: ClaimOutcome) -> list[str]:
    written = (claim.written or "").replace("T", " ").removesuffix("Z")
    return [
        claim.status,
        claim.text,
        claim_numbers(claim),
        claim.holds,
        claim.against or "",
        f"{written} (after the run)" if claim.late else written,
        claim.source or "",
    ]


def _ways(claims: tuple[ClaimOutcome, ...]) -> list[str]:
    """How the intervals were made, each way once, with the claims that it is of."""
    made: dict[str, list[str]] = {}
    for one in claims:
        if one.ci is not None and one.method:
            made.setdefault(one.method, []).append(one.name)
        if one.difference_ci is not None and one.difference_method:
            name = f"{one.name} against {one.against}"
            made.setdefault(one.difference_method, []).append(name)
    return [f"Interval of {', '.join(names)}: {method}" for method, names in made.items()]
