"""What is known before a run: what it will be refused for, what will come out undefined."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.contract import StatisticOptions, Stream
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


def _most(stream: Stream, lengths: PromptLengths) -> int | None:
    """The tokens that a stream holds at most; None where they cannot be counted here."""
    view = stream.right if stream.render == "right" and stream.right else stream.view
    found = lengths.of(view, stream.data)
    if found is None or found.how != "counted":
        return None
    total, longest = sum(found.tokens), max(found.tokens, default=0)
    return total if stream.budget is None else min(total, stream.budget + longest)
