"""What is known before a run: what it will be refused for, what will come out undefined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.contract import StatisticOptions
from harness.errors import listed
from harness.planning.offline import is_here
from harness.results.numbers import MIN_CLUSTERS
from harness.task.data import read_data
from harness.text import for_terminal

if TYPE_CHECKING:
    from harness.contract import Example, Stream
    from harness.planning.cost.lengths import PromptLengths
    from harness.task.task import Task


def remote_code(task: Task) -> Iterator[str]:
    """Code of others that the task wants to run, in words; `eval` refuses it without its switch."""
    for table, entries in (("models", task.models), ("evaluators", task.evaluators)):
        for name, entry in entries.items():
            if entry.options.runs_remote_code():
                yield (
                    f"{table}.{name}: the task wants to run code that comes with the {table[:-1]}. "
                    "Read that code; if you trust it, add --trust-remote-code to the command."
                )


def too_few_tokens(task: Task) -> Iterator[str]:
    """Statistics that need more tokens than their data can give, in words.

    Silent where it is not certain: where data or tokenizer are not here.
    """
    if not task.statistics:
        return
    from harness.planning.cost.lengths import PromptLengths

    lengths = PromptLengths(task)
    said: dict[str, None] = {}
    for instances in task.statistics.values():
        for instance in instances:
            options = instance.options
            needed = options.fewest_tokens() if isinstance(options, StatisticOptions) else 0
            for stream in options.reads(task).streams if needed else ():
                most = _most(stream, lengths)
                if most is not None and most < needed:
                    said[
                        f"statistics.{instance.entry}: its records will be undefined: {stream.data}"
                        f" gives at most {most:,} tokens, and with these options it needs "
                        f"{math.ceil(needed * (1 - 1e-9)):,}. Give more data, or change the options"
                        " that decide how many are needed."
                    ] = None
    yield from said


def foreseen(task: Task) -> Iterator[str]:
    """What the options of statistics and analyses know to be left out or undefined, in words."""
    said: dict[str, None] = {}
    for name in task.statistics:
        for options in task.statistic(name):
            said |= {f"statistics.{name}: {what}": None for what in options.foresee(task)}
    for name, many in task.analyses.items():
        for entry in many:
            said |= {f"analyses.{name}: {what}": None for what in entry.options.foresee(task)}
    yield from said


def too_few_documents(task: Task) -> Iterator[str]:
    """Metrics whose intervals will be undefined, since their data have too few documents.

    Silent where the data are not here. Equal rows count once, as in the run.
    """
    metrics: dict[str, list[str]] = {}
    for name, measured in task.places.metrics.items():
        if is_here(task, measured.stream.view, measured.stream.data):
            metrics.setdefault(measured.stream.data, []).append(name)
    for name, concerned in metrics.items():
        spec = task.spec.data[name]
        has, count = _documents(read_data(name, spec, Path()), spec.by)
        if count < MIN_CLUSTERS:
            yield (
                f"data.{name}: has {has}, and an interval needs {MIN_CLUSTERS}: those of the "
                f"metrics {listed(concerned)} will be undefined. Give more rows where intervals "
                "matter."
            )


def _documents(examples: Iterable[Example], by: str | None) -> tuple[str, int]:
    """How many different documents there are, in words and as a number: where they come in
    categories, in the one that has the fewest. Without any, the first that suffice are read."""
    found: dict[str, set[str]] = {}
    for example in examples:
        found.setdefault("" if by is None else str(example.fields[by]), set()).add(example.id)
        if by is None and len(found[""]) == MIN_CLUSTERS:
            break
    category, ids = min(found.items(), key=lambda one: len(one[1]))
    where = "" if by is None else f" of {by} {for_terminal(category)!r}"
    return f"{len(ids)} different documents{where}", len(ids)


def _most(stream: Stream, lengths: PromptLengths) -> int | None:
    """The tokens that a stream holds at most; None where they cannot be counted here."""
    view = stream.right if stream.render == "right" and stream.right else stream.view
    found = lengths.of(view, stream.data)
    if found is None or found.how != "counted":
        return None
    total, longest = sum(found.tokens), max(found.tokens, default=0)
    return total if stream.budget is None else min(total, stream.budget + longest)
