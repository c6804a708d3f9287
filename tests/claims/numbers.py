"""Records and runs for tests of claims: rates of yes and no by arm, with their completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.claims import evaluate
from harness.contract import ClaimOutcome, Record, Results
from harness.results.intervals import wilson
from harness.task.claims import parse

ID = "refusal_score"
AXES = {"experiment": "bypass", "evaluator": "substrings"}


def rate(successes: int, n: int, **axes: Any) -> Record:
    """A rate with Wilson's interval, as an evaluator's score is kept."""
    return Record(
        f"{ID}@1", successes / n, n, "prompts", "share", clusters=n, ci=wilson(successes, n),
        axes={**AXES, **axes},
    )  # fmt: skip


def mean(value: float, half: float, n: int = 100, id: str = "x@1", **axes: Any) -> Record:
    """A number with a symmetric interval, made of tokens of n documents."""
    ci = (value - half, value + half)
    return Record(id, value, n * 30, "tokens", "ratio", clusters=n, ci=ci, axes=axes)


def results(*records: Record, rows: Sequence[Mapping[str, Any]] = (), **more: Any) -> Results:
    """A complete run with these records and rows of completions."""
    tables = {"completions": rows} if rows else {}
    given = {"status": "complete", "task": {}, "provenance": {}, "tables": tables, **more}
    return Results(records=records, **given)


def arms(**scores: Sequence[int]) -> Results:
    """A run in which each direction has these verdicts, prompt by prompt; `x_0`, `x_1` are draws
    of the direction x."""
    records, rows = [], []
    for name, its in scores.items():
        direction, _, draw = name.partition("_")
        axes: dict[str, Any] = {"direction": direction, **({"draw": int(draw)} if draw else {})}
        records.append(rate(sum(its), len(its), **axes))
        rows += [
            {
                "experiment": "bypass", "example": f"p{i}", "text": f"t{i}", **axes,
                "verdicts": {"substrings": {"refusal": bool(one)}},
            }
            for i, one in enumerate(its)
        ]  # fmt: skip
    return results(*records, rows=rows)


def outcome(run: Results, holds: str, against: str | None = None) -> ClaimOutcome:
    """How one claim comes out of a run."""
    (found,) = evaluate([parse("c", "words", holds, against)], run)
    return found
