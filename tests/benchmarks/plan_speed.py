"""How near the time of a plan is to that of the run: plan, run, plan, run, … for some tasks.

    OMP_NUM_THREADS=1 python tests/benchmarks/plan_speed.py refusal drift --limit 8 --repeats 5

Both are counted in seconds of the process's threads: the probe's and the run's. Other work on the
machine hardly changes these, so that the ratio stands where wall times would be noise. Left out of
the run are imports and loading, as the plan leaves them out; the cache is not used.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from turns.clock import timed
from turns.series import Asked, Series, told

from harness.planning.cost.estimate import cost
from harness.planning.planner import plan
from harness.planning.probe.ask import this_machine
from harness.registry import discover
from harness.task.file import builtin_tasks
from harness.task.load import load_for_command

PYTHON: Sequence[str] = (sys.executable,)
"""The first words of a command that runs a task."""
TASKS = ("refusal", "drift", "mechanism", "transfer", "diagnosis")


def planned(name: str, overrides: Sequence[str], limit: int | None) -> float:
    """Seconds of the processor that the plan says, probed just now."""
    file, registry = str(builtin_tasks()[name]), discover()
    task = load_for_command(registry, file, overrides)
    if limit is not None:
        limits = [f"data.{data}.at_most={limit}" for data in task.spec.data]
        task = load_for_command(registry, file, [*overrides, *limits])
    told = cost(plan(task))
    machine = this_machine(task, told, "processor")
    if isinstance(machine, str):
        raise SystemExit(f"{name}: {machine}")
    found = told.seconds(machine)
    if found is None:
        raise SystemExit(f"{name}: its time is unknown: {'; '.join(told.unknown)}")
    return found


def ran(name: str, overrides: Sequence[str], limit: int | None, folder: Path) -> float:
    """Seconds of the processor that a run took, without imports and loading."""
    command = [*PYTHON, "-m", "harness.cli.main", "eval", name, "-q", "--no-cache"]
    command += ["--out", str(folder), *(f"--set={one}" for one in overrides)]
    command += [] if limit is None else ["--limit", str(limit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if not (folder / "results.json").is_file():
        raise SystemExit(f"{name}: the run left no results: {done.stderr[-500:]}")
    usage = json.loads((folder / "results.json").read_text())["provenance"]["usage"]
    seconds = usage["seconds"]["processor"]
    return float(seconds["total"] - seconds["loading"])


def ratios(
    name: str, overrides: Sequence[str], limit: int | None, repeats: int
) -> list[tuple[float, float]]:
    """Seconds as planned and as they were, in turns."""
    found = []
    for _ in range(repeats):
        told = planned(name, overrides, limit)
        with tempfile.TemporaryDirectory() as folder:
            found.append((told, ran(name, overrides, limit, Path(folder) / "run")))
    return found


def series(asked: Asked) -> Iterator[Series]:
    """Seconds of the processor of runs of a small task, and seconds on the wall that its plan
    takes with the probe."""
    limit, name = (10 if asked.toy else 60), "diagnosis"
    plans = tuple(timed(lambda: planned(name, (), limit)).wall for _ in range(asked.repeats))
    runs = []
    for _ in range(asked.repeats):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(ran(name, (), limit, Path(folder) / "run"))
    yield Series(name, "plan", plans)
    yield Series(name, "run", tuple(runs), "s of the processor")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row of a table for each task."""
    if told(arguments, series):
        return
    parser = argparse.ArgumentParser(description="plan, run, plan, run, …")
    parser.add_argument("tasks", nargs="*", default=TASKS)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(arguments)
    print("| task | planned, median s | taken, median s | planned / taken: median | all |")
    print("|---|---|---|---|---|")
    for name in given.tasks:
        pairs = ratios(name, given.set, given.limit, given.repeats)
        each = [told / taken for told, taken in pairs]
        said, taken = (statistics.median(column) for column in zip(*pairs, strict=True))
        every = ", ".join(f"{one:.2f}" for one in sorted(each))
        row = f"| {name} | {said:.1f} | {taken:.1f} | {statistics.median(each):.2f} | {every} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
