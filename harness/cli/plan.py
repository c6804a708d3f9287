"""`harness plan`: says what a task will cost."""

from __future__ import annotations

from collections.abc import Sequence

import click

from harness.cli import completion
from harness.cli.common import (
    asked_executor,
    executor_option,
    limit_option,
    set_option,
    trust_option,
    workers_option,
)


@click.command("plan")
@click.argument("name", metavar="TASK", shell_complete=completion.tasks)
@set_option
@trust_option
@limit_option
@executor_option
@workers_option
@click.option("--device", metavar="NAME", help="Say it for one machine, such as H100 or CPU.")
@click.pass_obj
def command(
    disabled: Sequence[str],
    name: str,
    overrides: tuple[str, ...],
    trust_local_code: bool,
    limit: int | None,
    executor: str | None,
    workers: int | None,
    device: str | None,
) -> None:
    """Say what a task will cost: passes, tokens, FLOPs, memory, downloads, time.

    From configuration files, headers, `expect` and local data alone; no weight is read. How fast
    this machine is, is probed for half a second, in a process of its own; with --device nothing
    is. With --workers also what it costs on several: time, memory of each, traffic, and what they
    repeat.
    """
    from harness.planning.cost.devices import CPU, DEVICES, find_device
    from harness.registry import discover
    from harness.settings.apply import personal
    from harness.task.trust import Trust

    wanted = [find_device(device)] if device else list(DEVICES.values())
    person, trust = personal(), Trust(trust_local_code)
    _, also = person.cache()
    asked = asked_executor(executor, workers)
    task = person.load(discover(disabled), name, asked, overrides, limit, trust=trust, also=also)

    from rich.console import Console

    from harness.planning.cost.earlier import earlier_completions
    from harness.planning.cost.estimate import costs
    from harness.planning.cost.lengths import PromptLengths
    from harness.planning.cost.terminal import show_cost
    from harness.planning.planner import plan
    from harness.running.folder import default_folder

    planned, prompts = plan(task), PromptLengths(task)
    earlier = earlier_completions(default_folder(task))
    found = costs(planned, [one.name for one in wanted], earlier=earlier, prompts=prompts)
    console = Console()
    if device:
        show_cost(task, found, console, wanted[0])
    else:
        from harness.planning.probe.ask import this_machine as probed

        show_cost(task, found, console, here=probed(task, found[CPU]))
    if task.executor is not None:
        from harness.planning.cost.machine import this_machine
        from harness.planning.cost.spread import Team
        from harness.planning.cost.spread_terminal import show_spread, show_unknown_team

        options = task.executor.options
        name = task.executor.owner.component.name
        if (many := options.size()) is None:
            show_unknown_team(name, console)
        else:
            show_spread(found, Team(many, options.local), name, this_machine(), console)
