"""What stands below a picture: what its bars are, units and counts, and which run it is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import Figure, Record, Results


def caption(figure: Figure, results: Results) -> list[str]:
    """What stands below a figure: what its bars are, units and counts; then the run."""
    return [line for line in (facts(figure), source(results)) if line]


def facts(figure: Figure) -> str:
    """What the bars of a figure are, its units and its counts; empty where it names no records."""
    return " · ".join([*_bars(figure), *_units(figure.records), *_counts(figure.records)])


def source(results: Results) -> str:
    """The run, and what made it."""
    run = f"run {results.task.get('name', '?')}"
    if results.status != "complete":
        run += f" ({results.status})"
    version, command = (results.provenance.get(key) for key in ("harness", "command"))
    made = [
        run,
        *([f"sae-harness {version}"] if version else []),
        *([str(command)] if command else []),
    ]
    return " · ".join(made)


def _bars(figure: Figure) -> Iterator[str]:
    """What the bars of uncertainty are: of what is no record's value, but a mean, the range."""
    known = {record.value for record in figure.records}
    known |= {abs(value) for value in known if value is not None}
    barred = [
        value
        for trace in figure.data
        for axis in "xy"
        if trace.get(f"error_{axis}")
        for value in trace.get(axis) or ()
        if value is not None
    ]
    if barred:
        means = figure.records and any(value not in known for value in barred)
        yield "bars: 95% intervals" + ("; of several draws, mean and range" if means else "")


def _units(records: Sequence[Record]) -> Iterator[str]:
    if units := sorted({record.unit for record in records if record.unit}):
        yield f"unit: {', '.join(units)}"


def _counts(records: Sequence[Record]) -> Iterator[str]:
    by_kind: dict[str, list[int]] = {}
    for record in records:
        if record.value is not None:
            by_kind.setdefault(record.n_of, []).append(record.n)
    for kind, counts in sorted(by_kind.items()):
        low, high = min(counts), max(counts)
        yield f"n = {low:,} {kind}" if low == high else f"n = {low:,} to {high:,} {kind}"
