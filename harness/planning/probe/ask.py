"""Has this machine probed, in a process of its own: whoever plans imports no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from harness.planning.cost.figures import Cost
from harness.planning.probe.speed import ProbedMachine, Shape, Speed, from_plain, shape_of
from harness.task.task import Task

LONGEST = 120.0
"""Seconds after which a probe is given up: torch is slow to import from a cold disk."""
TRIALS = [sys.executable, "-m", "harness.planning.probe.trials"]

ClockName = Literal["wall", "processor"]


def this_machine(task: Task, cost: Cost, clock: ClockName = "wall") -> ProbedMachine | str:
    """This machine as it is just now, for the models and the SAEs of a plan; or why it is not
    known."""
    shapes = {name: shape_of(net) for name, net in cost.networks.items()}
    distinct = [one for one in dict.fromkeys(shapes.values()) if one is not None]
    found = ask(distinct, _widest(task), clock)
    return found if isinstance(found, str) else ProbedMachine(found, shapes)


def _widest(task: Task) -> tuple[int, int] | None:
    """The widths of the largest SAE; None without one of which they are known."""
    facts = (task.sae_facts(name) for name in task.saes)
    known = [(one.d_in, one.d_sae) for one in facts if one.d_in and one.d_sae]
    return max(known, key=lambda sizes: sizes[0] * sizes[1], default=None)


def ask(
    shapes: Sequence[Shape], sae: tuple[int, int] | None, clock: ClockName = "wall"
) -> Speed | str:
    """The speed of this machine for models of these shapes and an SAE of these widths, or why it
    is not known. `processor` counts the seconds of the process's threads instead of the clock's."""
    asked = {"shapes": [asdict(one) for one in shapes], "sae": sae, "clock": clock}
    try:
        done = subprocess.run(
            TRIALS, input=json.dumps(asked), text=True, capture_output=True, timeout=LONGEST,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"the probe was given up after {LONGEST:.0f} s"
    except OSError as error:
        return f"the probe could not be started ({error.strerror})"
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        return f"the probe failed ({last[:200]})"
    try:
        told = json.loads(done.stdout)
        return str(told["why"]) if "why" in told else from_plain(told)
    except (ValueError, KeyError, TypeError):
        return "the probe gave no speed"
