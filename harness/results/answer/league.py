"""Template: who finds what was planted in models, and what is found where nothing was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from harness.contract import Record, Results
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_number
from harness.results.records import grouped, named, null_value

_NAMED = 4
"""Methods that a sentence names."""
_SMALL = 0.05
"""The p from which on the null no longer looks like one."""
_STEP = 0.001
_HOW = {"weights": "Planted by weights", "training": "Trained"}


def league(results: Results) -> Iterator[Sentence]:
    """A sentence for what was planted by weights, one for what was trained, one for the null."""
    ranks = [one for one in named(results.records, "found.rank") if "kind" in one.axes]
    leagues = grouped(ranks, lambda one: (one.axes.get("analysis"), one.options.get("planted")))
    for place, ((_, planted), mine) in enumerate(leagues.items()):
        kinds = grouped(mine, lambda one: str(one.axes["kind"]))
        told = "; ".join(f"`{kind}` {_best(some)}{_baseline(some)}" for kind, some in kinds.items())
        text = f"{_HOW.get(str(planted), 'Known')}: {told}."
        yield Sentence(text, 0.98 - _STEP * place, tuple(mine))
    null = [
        one
        for one in named(results.records, "found.of_others")
        if one.options.get("role") == "method" and one.value is not None
    ]
    for found in grouped(null, lambda one: one.axes.get("analysis")).values():
        yield Sentence(_null(found), 0.97, tuple(found))


def _best(records: Sequence[Record]) -> str:
    """Who ranks it first in all models; else who comes closest, by the mean of 1 / rank."""
    tried = [one for one in records if one.options.get("role") == "method"]
    by_method = grouped(tried, lambda one: str(one.axes.get("method")))
    ranks = {name: [_rank(one) for one in found] for name, found in by_method.items()}
    if not ranks:
        return "is looked for by no method"
    first = [name for name, found in ranks.items() if all(one == 1 for one in found)]
    if first:
        count = len(ranks[first[0]])
        more = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
        named_so = ", ".join(f"`{name}`" for name in first[:_NAMED])
        return f"has rank 1 in {count} of {count} by {named_so}{more}"
    near = {name: fmean(1 / one if one else 0.0 for one in found) for name, found in ranks.items()}
    nearest = max(near, key=lambda name: near[name])
    if not near[nearest]:
        return "is found by no method at all"
    return (
        f"is first in all for no method, the nearest is `{nearest}` with "
        f"{_words(by_method[nearest])}, chance about {_usual(by_method[nearest])}"
    )


def _baseline(records: Sequence[Record]) -> str:
    """The ranks that completions alone give, and those of chance."""
    mine = [one for one in records if one.options.get("role") == "baseline"]
    mine = [one for one in mine if one.value is not None]
    if not mine:
        return ""
    return f" (completions alone: {_words(mine)}, chance about {_usual(mine)})"


def _null(records: Sequence[Record]) -> str:
    """How often what was planted in others is found where nothing was planted."""
    small = sum((one.value or 0.0) <= _SMALL for one in records)
    where = ", ".join(dict.fromkeys(str(one.axes.get("kind")) for one in records))
    return (
        f"Where nothing was planted ({where}), methods find what was planted in others in {small} "
        f"of {len(records)} cases with p ≤ {_SMALL:g}; chance gives "
        f"{format_number(_SMALL * len(records))}."
    )


def _rank(record: Record) -> int | None:
    return None if record.value is None else int(record.value)


def _words(records: Sequence[Record]) -> str:
    """The ranks, by seed: a dash where a method found nothing."""
    ranks = ["–" if (rank := _rank(one)) is None else str(rank) for one in records]
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(ranks)}"


def _usual(records: Sequence[Record]) -> str:
    usual = [value for one in records if (value := null_value(one)) is not None]
    return str(round(fmean(usual))) if usual else "unknown"
