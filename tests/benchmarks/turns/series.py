"""What a benchmark measured, in a form that a program can read.

A benchmark is a script of `tests/benchmarks` with a function `series(asked: Asked)`, which yields a
`Series` for each of its contenders. Its own command writes them with `--json FILE`; `python -m
tests.benchmarks` finds it by that function.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Asked:
    """How a benchmark is to be run."""

    toy: bool = False
    """With toy shapes: to see that it runs."""
    repeats: int = 5
    """How often each contender has its turn."""
    ours: bool = False
    """Without other libraries, but for what our time is divided by."""


@dataclass(frozen=True)
class Series:
    """What one contender of a benchmark took, by turns. Less is better."""

    case: str
    """What was done: `1 thread`, `check drift`; unique in a benchmark together with `contender`."""
    contender: str
    values: tuple[float, ...]
    unit: str = "s"
    """Of the values, such as `s`, `s of the processor`, `MB`."""
    beside: tuple[float, ...] | None = None
    """What something that has none of our code took in the same turns: then the quotient counts,
    from which the machine's load is gone."""
    ours: bool = True
    """Whether it is our code that was measured."""

    @property
    def name(self) -> str:
        return f"{self.case}: {self.contender}" if self.case else self.contender

    @property
    def figure(self) -> float:
        """The median over the turns: of the values, or of their quotients."""
        if self.beside is None:
            return statistics.median(self.values)
        return statistics.median(a / b for a, b in zip(self.values, self.beside, strict=True))


def write(file: Path, found: Iterable[Series]) -> None:
    """Writes them as a JSON array."""
    file.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", "utf-8")


def read(file: Path) -> list[Series]:
    """What `write` wrote."""
    return [
        Series(**{k: tuple(v) if isinstance(v, list) else v for k, v in one.items()})
        for one in json.loads(file.read_text("utf-8"))
    ]


def told(words: Sequence[str] | None, series: Callable[[Asked], Iterable[Series]]) -> bool:
    """Whether a command line asks for JSON: `--json FILE [--toy] [--repeats N] [--ours]`. It is
    written then, and nothing is left to do."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--repeats", type=int, default=Asked.repeats)
    parser.add_argument("--ours", action="store_true")
    given, rest = parser.parse_known_args(words)
    if given.json is None:
        return False
    if rest:
        parser.error(f"{' '.join(rest)}: beside --json only --toy, --repeats and --ours count")
    write(given.json, series(Asked(given.toy, given.repeats, given.ours)))
    return True


def benchmarks(folder: Path) -> dict[str, Path]:
    """The benchmarks of a folder by name: its scripts that define `series`."""
    return {file.stem: file for file in sorted(folder.glob("*.py")) if is_benchmark(file)}


def is_benchmark(file: Path) -> bool:
    """Whether a script has a function `series`; it is read, not run."""
    parsed = ast.parse(file.read_text("utf-8"))
    return any(isinstance(one, ast.FunctionDef) and one.name == "series" for one in parsed.body)
