"""Estimates the cost of a plan: goes through its stages as a run does, and adds up their work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.planning.cost.devices import CPU, find_device
from harness.planning.cost.downloads import downloads
from harness.planning.cost.earlier import Written
from harness.planning.cost.figures import Cost, Memory, Told, Work
from harness.planning.cost.later import add_later
from harness.planning.cost.lengths import PromptLengths
from harness.planning.cost.passes import add_pass
from harness.planning.cost.tally import Tally
from harness.planning.cost.writing import add_generation
from harness.planning.plan import Plan
from harness.task.untrained import untrained


def cost(
    planned: Plan,
    device: str | None = None,
    *,
    earlier: Mapping[str, Written] | None = None,
    prompts: PromptLengths | None = None,
) -> Cost:
    """Estimates the cost of a plan from configuration files, headers, `expect` and local data.

    `device`, a name of `harness.planning.cost.devices`, decides how many bytes a number of dtype
    `auto` has. `earlier` holds the completions that an earlier run has written, by experiment.
    Reads no weight and imports no torch. Raises DataError for local data that cannot be read,
    UsageError for an unknown device.
    """
    size = _number_bytes(device)
    task = planned.task
    found = Tally(task, size, earlier or {}, prompts or PromptLengths(task))
    add_pass(found, planned.preflight, "preflight")
    for number, work in enumerate(planned.passes, 1):
        add_pass(found, work, f"activations, pass {number} of {len(planned.passes)}")
    for generation in planned.generations:
        add_generation(found, generation)
    add_later(found)
    weights = {name: net.weights for name, net in found.networks.items() if net.parameters}
    lengths: dict[str, Told] = {
        name: "an earlier run"
        if name in found.earlier
        else "expect"
        if e.expect.tokens
        else "nothing"
        for name, e in task.spec.experiments.items()
        if e.data is not None
    }
    return Cost(
        merged(found.work),
        Memory(weights, found.saes, *found.peak),
        found.disk,
        tuple(downloads(task)),
        lengths,
        grouped(found.unknown),
        grouped([*found.notes, *untrained(task, task.facts_of_saes)]),
        tuple(found.cuts),
        dict(found.networks),
    )


def costs(
    planned: Plan,
    devices: Iterable[str],
    *,
    earlier: Mapping[str, Written],
    prompts: PromptLengths,
) -> dict[str, Cost]:
    """What `cost` says of each device; those whose numbers are of one size are estimated once."""
    by_size: dict[int, Cost] = {}
    found = {}
    for name in devices:
        size = _number_bytes(name)
        if size not in by_size:
            by_size[size] = cost(planned, name, earlier=earlier, prompts=prompts)
        found[name] = by_size[size]
    return found


def _number_bytes(device: str | None) -> int:
    """Bytes of a number of dtype `auto`."""
    return 4 if device is None or find_device(device).name == CPU else 2


def merged(work: Iterable[Work]) -> tuple[Work, ...]:
    """Adds up work of the same stage and model."""
    found: dict[tuple[str, str], Work] = {}
    for one in work:
        key = (one.stage, one.model)
        found[key] = found[key] + one if key in found else one
    return tuple(found.values())


def grouped(notes: Iterable[str]) -> tuple[str, ...]:
    """Joins notes of the form `who: what` that say the same: `models.base, models.chat: …`."""
    found: dict[str, dict[str, None]] = {}
    for note in notes:
        who, _, what = note.partition(": ")
        found.setdefault(what, {})[who] = None
    return tuple(f"{', '.join(who)}: {what}" for what, who in found.items())
