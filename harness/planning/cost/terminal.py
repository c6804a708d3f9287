"""Prints the cost of a plan on the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from harness.errors import listed
from harness.planning.cost.devices import (
    BANDWIDTH,
    COMPUTE,
    CPU,
    DEVICES,
    Device,
    between,
    duration,
    time_class,
)
from harness.planning.cost.downloads import Download
from harness.planning.cost.figures import Clock, Cost, Told
from harness.planning.counts import Counts
from harness.task.task import Task
from harness.text import for_terminal


def show_cost(
    task: Task,
    costs: Mapping[str, Cost],
    console: Console,
    device: Device | None = None,
    here: Clock | str | None = None,
) -> None:
    """Prints what a task costs. `costs`: by the name of the device, for all of them or for one.
    `here`: this machine as it was probed, or why it was not."""
    cost = next(iter(costs.values()))
    console.print(Text(_safe(task.spec.title or task.spec.name), "bold"))
    console.print(_passes(cost))
    memory = f"memory: {_memory(cost)}"
    if device is not None:
        fits = "fits" if cost.memory.total <= device.memory else "does NOT fit"
        memory += f"; {fits} the {size(int(device.memory))} of {device.name}"
    lines = [f"encodes: {_encodes(cost)}"] if cost.encodes else []
    lines += [f"completions: {_completions(task, cost)}", memory]
    lines.append(f"disk: about {size(cost.disk)} in the run's folder")
    for line in lines:
        console.print(Text(_safe(line)))
    if cost.downloads:
        console.print(_downloads(cost))
    console.print(_times(costs, here))
    if device is not None:
        seconds = cost.seconds(device)
        if seconds is not None:
            console.print(Text(f"{seconds / 3600:.2g} {device.name} hours"))
    for what in cost.unknown:
        console.print(Text(f"unknown: {_safe(what)}", "yellow"))
    if task.settings:
        console.print(Text(f"Settings: {_safe(str(task.settings))}."))
    console.print(Text("Assumed:", "dim"))
    for note in (*cost.notes, *_always(cost)):
        console.print(Text(f"- {_safe(note)}", "dim"))


def _always(cost: Cost) -> Iterator[str]:
    yield from _lengths(cost)
    if filtered := sorted({sae for work in cost.work for sae in work.at_most}):
        yield (
            f"{listed(filtered)}: at most so many tokens are encoded; what a filter leaves, or an "
            "edit works on, only the run tells."
        )
    yield (
        "forwards, tokens and encodes are those of a run that finds none of them in the cache; "
        "what directions that come out undefined would do is planned and not done."
    )
    yield (
        f"in the table, {COMPUTE:.0%} of peak arithmetic and {BANDWIDTH:.0%} of peak bandwidth are "
        "reached; products of SAEs are float32 everywhere, without TF32."
    )
    yield (
        "time is without imports, loading and downloads, and without analyses and the report, but "
        "for prompts that an analysis lets a model read."
    )
    yield "memory is counted beside what imports take (about 0.4 GB)."


_TOLD: Mapping[Told, str] = {
    "nothing": "completions are taken to reach max_new_tokens, which is the most they can; an "
    "earlier run of this task in its folder would tell how long they really are.",
    "expect": "completions are taken to be as long as the task's expect says.",
    "an earlier run": "completions are taken to be as long as those of the earlier run in the "
    "task's folder.",
}


def _lengths(cost: Cost) -> Iterator[str]:
    """What is assumed of completions, for the experiments that have any."""
    for told, what in _TOLD.items():
        names = [name for name, its in cost.lengths.items() if its == told]
        if names:
            yield f"{listed(names)}: {what}"


def _passes(cost: Cost) -> Table:
    numbers = ("forwards", "prompts", "tokens", "positions", "FLOPs")
    right = (Column(name, justify="right") for name in numbers)
    table = Table("", *right, pad_edge=False, box=None)
    stage = ""
    for work in cost.work:
        if work.stage != stage:
            stage = work.stage
            table.add_row(Text(_safe(stage), "bold"))
        cells = (f"  {_safe(work.model)}", *_numbers(work.counts, work.operations))
        table.add_row(*map(Text, cells))
    flops = cost.flops if cost.flops or not cost.unknown else math.nan
    total = "total, at least" if cost.unknown else "total"
    cells = (total, *_numbers(cost.counts, flops))
    table.add_row(*(Text(cell, "bold") for cell in cells))
    return table


def _numbers(counts: Counts, flops: float) -> tuple[str, ...]:
    numbers = (counts.forwards, counts.prompts, counts.tokens, counts.positions)
    return (*(f"{n:,}" for n in numbers), "unknown" if math.isnan(flops) else quantity(flops))


def _completions(task: Task, cost: Cost) -> str:
    parts = []
    for work in cost.work:
        if work.stage.startswith("completions, ") and work.counts.completions:
            name = work.stage.removeprefix("completions, ")
            most = task.spec.experiments[name].generation.max_new_tokens
            number, tokens = work.counts.completions, work.counts.completion_tokens
            part = f"{name} {number:,} × at most {most:,} tokens"
            mean = tokens / number
            parts.append(part if mean >= most else f"{part} (about {mean:.0f} expected)")
    return "; ".join(parts) or "none"


def _encodes(cost: Cost) -> str:
    """The tokens that each SAE encodes."""
    filtered = {sae for work in cost.work for sae in work.at_most}
    parts = [
        f"{name} {'at most ' if name in filtered else ''}{tokens:,}"
        for name, tokens in cost.encodes.items()
    ]
    return f"{', '.join(parts)} tokens"


def _memory(cost: Cost) -> str:
    memory = cost.memory
    parts = [f"{name} {size(n)}" for name, n in (*memory.weights.items(), *memory.saes.items())]
    parts.append(f"largest batch {size(memory.work)} ({memory.stage})")
    more = "at least" if cost.unknown else "about"
    return f"{more} {size(memory.total)}: {', '.join(parts)}"


def _downloads(cost: Cost) -> Table:
    heads = ("", "from", "size", "")
    table = Table(*heads, title="Downloads", title_justify="left", pad_edge=False, box=None)
    for one in cost.downloads:
        about = "unknown" if one.size is None else f"about {size(one.size)}"
        table.add_row(*(Text(_safe(t)) for t in (one.what, one.name, about, _remark(one))))
    return table


def _remark(one: Download) -> str:
    parts = ["unless it is in the cache"] if one.perhaps else []
    if one.terms:
        parts.append(f"probably gated: accept {one.terms}")
    return "; ".join(parts)


SURE = 1.5
"""By which factor the time of this machine may be off, either way."""


def _times(costs: Mapping[str, Cost], here: Clock | str | None) -> Table:
    table = Table(title="Time", title_justify="left", show_header=False, pad_edge=False, box=None)
    if isinstance(here, str):
        table.add_row("this machine", "unknown", "", here)
    elif here is not None:
        found = costs[CPU].seconds(here)
        known = None if found is None else (time_class(found), duration(found))
        span = "" if found is None else f"{between(found / SURE, found * SURE)}, as probed just now"
        table.add_row("this machine", *(known or ("unknown", "")), span)
    for name, cost in costs.items():
        device = DEVICES[name]
        seconds = cost.seconds(device)
        known = None if seconds is None else (time_class(seconds), duration(seconds))
        fits = cost.memory.total <= device.memory
        room = "" if fits else f"needs more than its {size(int(device.memory))}"
        table.add_row(name, *(known or ("unknown", "")), room)
    return table


def size(number: int) -> str:
    """Bytes in words: `12 MB`."""
    return f"{quantity(number)}B" if number >= 1000 else f"{number} B"


def quantity(number: float) -> str:
    """`1.2 T`, to two figures where they say something."""
    for unit, word in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            value = number / unit
            return f"{value:.0f} {word}" if value >= 10 else f"{value:.1f} {word}"
    return f"{number:.0f}"


def _safe(text: str) -> str:
    return for_terminal(text, 500)
