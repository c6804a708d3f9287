"""How soon a command answers: `--help` against `import click`, and `check` and the first forward of
`eval` against another checkout.

    python tests/benchmarks/start_speed.py --against /elsewhere/bin/python

`PYTHON` is one in which the other checkout is installed; it may be of any commit. Commands run in
turns, each with compiled modules from a folder of its own, and the least of each counts: everything
that disturbs only adds. `--forward` measures the first forward, too, which imports torch each time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from turns.series import Asked, Series, told

ROOT = Path(__file__).parents[2]
TASK = ROOT / "tasks" / "refusal.toml"
RUN = """
import sys
sys.argv[0] = "harness"
try:
    from harness.__main__ import start
except ImportError:  # earlier layouts
    try:
        from harness.cli.main import main as start
    except ImportError:
        from harness.cli import main as start
sys.exit(start())
"""
"""What the installed `harness` runs."""
FORWARD = """
import importlib.abc, importlib.machinery, os, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "torch.nn.modules.module":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            call = module.Module.__call__
            def first(self, *given, **named):
                if type(self).__name__.endswith(("Model", "ForCausalLM")):
                    os._exit(0)
                return call(self, *given, **named)
            module.Module.__call__ = first
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Watch())
"""
"""Ends the process where a model is called first, whichever commit calls it."""


@dataclass(frozen=True)
class Command:
    """What is run, with which Python."""

    python: str
    code: str
    arguments: tuple[str, ...] = ()
    path: str = ""
    """What is imported before what is installed."""

    def seconds(self, compiled: Path) -> float:
        """How long it takes; RuntimeError with what it said where it fails."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        more = {"PYTHONPYCACHEPREFIX": str(compiled), "HF_HUB_OFFLINE": "1"}
        more |= {"PYTHONPATH": self.path} if self.path else {}
        began = time.perf_counter()
        done = subprocess.run(
            [self.python, "-c", self.code, *self.arguments],
            env=kept | more, cwd=compiled, capture_output=True, text=True, check=False,
        )  # fmt: skip
        took = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"{self.arguments}: {done.stderr[-2000:]}")
        return took


def least(commands: Mapping[str, Command], times: int) -> dict[str, float]:
    """The least seconds of each command, which run in turns; a first turn compiles."""
    return {name: min(many) for name, many in by_turns(commands, times).items()}


def by_turns(commands: Mapping[str, Command], times: int) -> dict[str, list[float]]:
    """The seconds of each command, which run in turns; a first turn compiles."""
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder, str(n)) for n, name in enumerate(commands)}
        for place in places.values():
            place.mkdir()
        found: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(times + 1):
            for name, one in commands.items():
                took = one.seconds(places[name])
                found[name] += [took] if turn else []
    return found


def series(asked: Asked) -> Iterator[Series]:
    """`--help` and `check` beside importing click, in seconds on the wall; with PYTHONPATH as it is
    where it is set."""
    with tempfile.TemporaryDirectory() as out:
        found = commands(None, TASK, False, Path(out))
        path = os.environ.get("PYTHONPATH")
        own = {name: replace(one, path=path or one.path) for name, one in found.items()}
        taken = by_turns(own, asked.repeats)
    for name in taken.keys() - {"click"}:
        yield Series("", name, tuple(taken[name]), "s", tuple(taken["click"]))


def commands(
    against: str | None, task: Path, forward: bool, out: Path, other_task: Path | None = None
) -> dict[str, Command]:
    """The commands by name; those of the other checkout begin with `other `, and read `other_task`
    where there is one."""
    ours = os.pathsep.join((str(ROOT), str(ROOT / "plugins")))
    sides = {"": (sys.executable, ours)} | ({"other ": (against, "")} if against else {})
    found = {"click": Command(sys.executable, "import click")}
    for side, (python, path) in sides.items():
        read = (side and other_task) or task
        found[f"{side}--help"] = Command(python, RUN, ("--help",), path)
        found[f"{side}check"] = Command(python, RUN, ("check", str(read)), path)
        if forward:
            given = ("eval", str(read), "--out", str(out / f"{side.strip() or 'ours'}"))
            found[f"{side}first forward"] = Command(python, FORWARD + RUN, given, path)
    return found


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    """`--help` as a multiple of importing click, and each command of that of the other checkout."""
    found = {"--help / import click": seconds["--help"] / seconds["click"]}
    for name, took in seconds.items():
        if (other := seconds.get(f"other {name}")) is not None:
            found[f"{name} / other"] = took / other
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the seconds and ratios as JSON."""
    if told(arguments, series):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="PYTHON")
    parser.add_argument("--task", type=Path, default=TASK)
    parser.add_argument("--other-task", type=Path, help="where the other one cannot read --task")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--forward", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as out:
        all_of_them = commands(
            asked.against, asked.task, asked.forward, Path(out), asked.other_task
        )
        seconds = least(all_of_them, asked.times)
    print(json.dumps({"seconds": seconds, "ratios": ratios(seconds)}, indent=1))


if __name__ == "__main__":
    main()
