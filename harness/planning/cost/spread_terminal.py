"""Prints the cost of a plan on several workers."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from harness.planning.cost.devices import CPU, DEVICES, duration
from harness.planning.cost.figures import Cost
from harness.planning.cost.machine import Machine
from harness.planning.cost.spread import Spread, Team, spread
from harness.planning.cost.terminal import size
from harness.text import for_terminal

LINK = 1.25e9
"""Bytes per second of a network of 10 Gbit/s, the usual one between machines."""
HEAD = (
    "at the head alone, and not planned: writing prompts, putting the parts together, intervals, "
    "analyses, labels, the report"
)


def show_spread(
    costs: Mapping[str, Cost], team: Team, name: str, machine: Machine, console: Console
) -> None:
    """Prints what a task costs on a team of the executor `name`; `costs` by device."""
    found = {device: spread(cost, team, DEVICES[device]) for device, cost in costs.items()}
    one = next(iter(found.values()))
    workers = f"{team.workers} worker{'s' * (team.workers != 1)}"
    console.print(Text(f"On {workers} of {for_terminal(name, 80)}", "bold"))
    console.print(_stages(one))
    console.print(_times(costs, found))
    for line in _lines(found, machine):
        console.print(Text(for_terminal(line, 500)))


def show_unknown_team(name: str, console: Console) -> None:
    """Says that an executor's workers are not known before it has started."""
    said = f"workers: only {name} can tell how many there will be; --workers N plans with N."
    console.print(Text(for_terminal(said, 300)))


def _stages(one: Spread) -> Table:
    right = (Column(name, justify="right") for name in ("parts", "of one worker, at most"))
    table = Table("", *right, pad_edge=False, box=None)
    for stage in one.stages:
        cells = (for_terminal(stage.stage, 200), f"{stage.parts:,}", f"{stage.rounds:,}")
        table.add_row(*map(Text, cells))
    return table


def _times(costs: Mapping[str, Cost], found: Mapping[str, Spread]) -> Table:
    heads = ("one process", "these workers", "times as fast", "loading besides")
    right = (Column(name, justify="right") for name in heads)
    table = Table("", *right, pad_edge=False, box=None)
    for device, one in found.items():
        alone, seconds = costs[device].seconds(DEVICES[device]), one.seconds
        if alone is None or seconds is None:
            table.add_row(device, "unknown", "unknown", "", duration(one.loading))
            continue
        faster = f"{alone / seconds:.2g}" if seconds else ""
        table.add_row(device, duration(alone), duration(seconds), faster, duration(one.loading))
    return table


def _taking(found: Mapping[str, Spread]) -> str:
    """How long the head is busy with replies, and where the workers would have to wait for it."""
    one = next(iter(found.values()))
    said = f"at the head, meanwhile: taking in what comes back, {duration(one.taking)}"
    slower = [
        device
        for device, its in found.items()
        if its.seconds is not None and its.taking > its.seconds and its.team.workers > 1
    ]
    if not slower:
        return said
    return (
        f"{said}: LONGER than workers on {', '.join(slower)} compute. Larger shards "
        "(--set batch.shard=131072) send less"
    )


def _lines(found: Mapping[str, Spread], machine: Machine) -> list[str]:
    one = next(iter(found.values()))
    team = one.team
    if team.local:
        memory = f"{size(one.worker)} for each worker, {size(one.together)} for all of them"
        if CPU in found and machine.memory is not None and one.together > machine.memory:
            memory += f", which is MORE than the {size(machine.memory)} of this machine"
    else:
        memory = f"{size(one.worker)} for each worker; {size(one.head)} at the head, which has the "
        memory += "models, too, for their prompts and hashes"
    lines = [f"memory: about {memory}"]
    if CPU in found and team.local:
        share = max(1, machine.threads // team.workers)
        each = f"{share} thread{'s' * (share != 1)} for each worker"
        lines.append(
            f"processor: {each}, of this machine's {machine.threads}; workers on one processor "
            "share it, and gain only what a single process leaves unused"
        )
    seconds = duration((one.sent + one.returned) / LINK)
    lines += [
        f"traffic: about {size(one.sent)} to the workers and {size(one.returned)} from them"
        + ("" if team.local else f", {seconds} of a network of 10 Gbit/s"),
        _taking(found),
        "on each worker: all models and SAEs are loaded, once",
        HEAD,
    ]
    return lines
