"""What installed plugins cost every command: processor time with none of them and with many.

    python tests/benchmarks/plugins_cost.py                # 30 plugins, a minute or two
    python tests/benchmarks/plugins_cost.py --plugins 2 --turns 2      # to see that it runs

`harness new` writes the packages, three of each kind; hatchling builds a wheel of each, and pip
installs them in a fresh virtual environment beside ours, but not in a second one. The commands
then run in both, in turns. User and system time of each process are added up; of each command and
environment the median over the turns is compared. Prints a line of JSON for each command.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))

from turns.series import Asked, Series, told  # noqa: E402

from harness.authoring.new.create import create  # noqa: E402
from harness.authoring.new.names import named  # noqa: E402
from harness.registry import Registry, discover  # noqa: E402
from installed import Installed, build_wheels, fresh  # noqa: E402

KINDS = (
    "metric", "statistic", "direction", "intervention", "evaluator", "labels", "analysis",
    "section", "sae-format", "backend",
)  # fmt: skip
COMMANDS: Mapping[str, Sequence[str]] = {
    "plugins": ["plugins"],
    "check drift": ["check", "drift"],
    "check refusal": ["check", "refusal"],
}


Times = dict[str, list[float]]
"""Milliseconds of all turns, `without` and `with` plugins of others."""


@dataclass(frozen=True)
class Cost:
    """Processor time of one command, in milliseconds, without and with the plugins."""

    command: str
    plugins: int
    without: float
    along: float

    @property
    def each(self) -> float:
        """Milliseconds that one plugin adds."""
        return (self.along - self.without) / self.plugins

    def __str__(self) -> str:
        found = {"without_ms": self.without, "with_ms": self.along, "each_ms": self.each}
        rounded = {name: round(value, 2) for name, value in found.items()}
        return json.dumps({"command": self.command, "plugins": self.plugins, **rounded})


def packages(count: int, folder: Path) -> Iterator[Path]:
    """So many packages with a plugin, of all kinds in turn."""
    registry: Registry = discover()
    for number, kind in zip(range(count), itertools.cycle(KINDS), strict=False):
        name = f"cost-{number}"
        create(kind, name, folder, registry)
        yield folder / named(kind, name, registry).distribution


def processor_time(where: Installed, arguments: Sequence[str], cwd: Path) -> float:
    """User and system time of one command, in milliseconds."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HARNESS"))}
    env |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [where.python.parent / "harness", *arguments]
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    return 1000 * (used.ru_utime + used.ru_stime)


def measured(bare: Installed, full: Installed, turns: int) -> Iterator[tuple[str, Times]]:
    """Of each command the milliseconds of all turns. The first, which writes .pyc files, does not
    count."""
    cwd = bare.folder.parent
    for name, arguments in COMMANDS.items():
        times: Times = {"without": [], "with": []}
        for turn in range(turns + 1):
            for label, where in (("without", bare), ("with", full)):
                spent = processor_time(where, arguments, cwd)
                if turn:
                    times[label].append(spent)
        yield name, times


@contextmanager
def environments(plugins: int) -> Iterator[tuple[Installed, Installed]]:
    """One without plugins of others, and one with so many."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bare = fresh(folder / "bare")
        full = fresh(folder / "full", bare.wheel)
        with redirect_stdout(sys.stderr):
            wheels = build_wheels(packages(plugins, folder / "packages"), folder / "wheels")
        full.install(*wheels)
        yield bare, full


def series(asked: Asked) -> Iterator[Series]:
    """Milliseconds of the processor of each command, without and with plugins of others."""
    with environments(1 if asked.toy else 30) as (bare, full):
        for name, times in measured(bare, full, asked.repeats):
            for label, taken in times.items():
                yield Series(name, f"{label} plugins", tuple(taken), "ms of the processor")


def main(words: Sequence[str] | None = None) -> None:
    """Builds, installs, measures and prints."""
    if told(words, series):
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plugins", type=int, default=30)
    parser.add_argument("--turns", type=int, default=11)
    given = parser.parse_args(words)
    with environments(given.plugins) as (bare, full):
        for name, times in measured(bare, full, given.turns):
            middle = {label: statistics.median(spent) for label, spent in times.items()}
            cost = Cost(name, given.plugins, middle["without"], middle["with"])
            sys.stdout.write(f"{cost}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
