"""Prints the cost of a plan on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from harness.planning.cost.devices import BANDWIDTH, COMPUTE, DEVICES, Device, duration, time_class
from harness.planning.cost.downloads import Download
from harness.planning.cost.figures import Cost
from harness.planning.counts import Counts
from harness.task.task import Task
from harness.text import for_terminal


def show_cost(
    task: Task, costs: Mapping[str, Cost], console: Console, device: Device | None = None
) -> None:
    """Prints what a task costs. `costs`: by the name of the device, for all of them or for one."""
    cost = next(iter(costs.values()))
    console.print(Text(_safe(task.spec.title or task.spec.name), "bold"))
    console.print(_passes(cost))
    lines = [f"completions: {_completions(task, cost)}", f"memory: {_memory(cost)}"]
    lines.append(f"disk: about {size(cost.disk)} in the run's folder")
    if device is not None:
        fits = "fits" if cost.memory.total <= device.memory else "does NOT fit"
        lines[1] += f"; {fits} the {size(int(device.memory))} of {device.name}"
    for line in lines:
        console.print(Text(_safe(line)))
    if cost.downloads:
        console.print(_downloads(cost))
    console.print(_times(costs))
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


def _always(cost: Cost) -> list[str]:
    lengths = (
        "completions are taken to reach max_new_tokens; an earlier run of this task in its folder "
        "would tell how long they really are."
        if cost.bound
        else "completions are taken to be as long as those of the earlier run in the task's folder."
    )
    return [
        lengths,
        f"{COMPUTE:.0%} of peak arithmetic and {BANDWIDTH:.0%} of peak bandwidth are reached.",
        "memory is counted beside what imports take (about 0.4 GB).",
    ]


def _passes(cost: Cost) -> Table:
    numbers = ("forwards", "prompts", "tokens", "positions", "FLOPs")
    right = (Column(name, justify="right") for name in numbers)
    table = Table("", "model", *right, pad_edge=False, box=None)
    for work in cost.work:
        names = (_safe(work.stage), _safe(work.model))
        table.add_row(*map(Text, (*names, *_numbers(work.counts, work.operations))))
    flops = cost.flops if cost.flops or not cost.unknown else math.nan
    total = "total, at least" if cost.unknown else "total"
    cells = (total, "", *_numbers(cost.counts, flops))
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


def _times(costs: Mapping[str, Cost]) -> Table:
    table = Table(title="Time", title_justify="left", show_header=False, pad_edge=False, box=None)
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
