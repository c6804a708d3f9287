"""Templates: whether forecasts came true over several fine-tunes, and whether simple ones do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import Record, Results
from harness.results.answer.difference import apart_from
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_estimate, format_number
from harness.results.records import by_axis, grouped, named

_BASELINE = "sts.baseline."
_HEADLINE = {"within": "fine-tune", "samples": "others"}


def forecasts_over_tunes(results: Results) -> Iterator[Sentence]:
    """A sentence for each score that was held against several fine-tunes: what its interval says.

    Within fine-tunes, without the domains that each was trained on; first for other fine-tunes on
    these domains, then for other domains. What could have been seen stands with it.
    """
    mine = [
        r
        for r in named(results.records, "forecast.correlation")
        if all(r.axes.get(key) == value for key, value in _HEADLINE.items())
        and not str(r.axes.get("forecast", _BASELINE)).startswith(_BASELINE)
    ]
    for analysis, found in by_axis(mine, "analysis").items():
        for of in grouped(found, _variant).values():
            by_over = {str(r.axes.get("over")): r for r in of}
            if "fine-tunes" in by_over:
                yield _verdict(results, str(analysis), by_over)


def _verdict(results: Results, analysis: str, by_over: dict[str, Record]) -> Sentence:
    ours, wider = by_over["fine-tunes"], by_over.get("either")
    name = str(ours.axes.get("forecast"))
    over = f"{ours.n} samples of {ours.clusters} fine-tunes ({analysis})"
    evidence = tuple(by_over.values())
    if ours.value is None:
        text = f"{name} has no correlation over {over}: {ours.undefined}."
        return Sentence(text, 0.3, evidence)
    number = f"Pearson's r with the size of the change, within fine-tunes over {over},"
    number = f"{number} is {format_estimate(ours)}"
    apart = apart_from(ours, 0.0)
    if apart is None:
        text = f"{name}: {number}; there is no interval to judge by."
        return Sentence(text, 0.3, evidence)
    power = _power(results, analysis)
    if not apart:
        text = f"No evidence that {name} foretells which domains change: {number}{power}."
        return Sentence(text, 0.9, evidence)
    more = "more" if ours.value > 0 else "less"
    text = f"What {name} forecast higher changed {more}: {number}"
    if wider is not None and wider.ci is not None:
        held = "also leaves out 0" if apart_from(wider, 0.0) else "holds 0"
        text = f"{text}; the interval that minds other domains, too, {held}: {_ends(wider)}"
    return Sentence(f"{text}.", 0.92, evidence)


def _power(results: Results, analysis: str) -> str:
    """What the chance was to see what a plan looked for."""
    for r in named(results.records, "forecast.power"):
        axes = r.axes
        at = (axes.get("analysis"), axes.get("shares"), axes.get("over"))
        if at == (analysis, "stated", "fine-tunes") and r.value is not None:
            return (
                f" (a true {axes.get('correlation')} would have been seen with a chance of "
                f"{100 * r.value:.0f}%)"
            )
    return ""


def baselines_over_tunes(results: Results) -> Iterator[Sentence]:
    """A sentence for each score: which baselines it beats, and which beat it, on these domains."""
    mine = [
        r
        for r in named(results.records, "forecast.difference")
        if r.axes.get("over") == "fine-tunes" and r.value is not None and r.ci is not None
        and r.axes.get("within") == "fine-tune"
    ]  # fmt: skip
    for analysis, found in by_axis(mine, "analysis").items():
        for name, of in grouped(found, lambda r: r.axes.get("forecast")).items():
            better = [r for r in of if apart_from(r, 0.0) and (r.value or 0.0) > 0]
            worse = [r for r in of if apart_from(r, 0.0) and (r.value or 0.0) < 0]
            parts = [
                f"{verb} {_listed(some)}"
                for verb, some in (("better than", better), ("worse than", worse))
                if some
            ]
            rest = len(of) - len(better) - len(worse)
            if rest:
                parts.append(f"not told apart from {rest} of {len(of)} baselines")
            text = f"Within fine-tunes {name} foretells {', '.join(parts)} ({analysis})."
            if not better and not worse:
                text = (
                    f"Within fine-tunes {name} is not told apart from any of {len(of)} simpler "
                    f"forecasts ({analysis})."
                )
            yield Sentence(text, 0.8, tuple(of))


def _ends(record: Record) -> str:
    low, high = record.ci or (0.0, 0.0)
    return f"[{format_number(low)}, {format_number(high)}]"


def _listed(records: Sequence[Record]) -> str:
    names = [
        f"{str(r.axes.get('against')).removeprefix(_BASELINE)} (r {format_estimate(r)} apart)"
        for r in sorted(records, key=lambda r: -abs(r.value or 0.0))
    ]
    return " and ".join(names)


def _variant(record: Record) -> str:
    return str(sorted((k, str(v)) for k, v in record.axes.items() if k != "over"))
