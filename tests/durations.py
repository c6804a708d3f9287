"""Where the time of a run of the tests went.

Run it on what pytest wrote with `--junitxml=FILE`:

    python -m tests.durations FILE [--since COMMIT]

It prints the twenty slowest tests as a table, how many seconds all take, those without the mark
`slow` and, with a commit, those that were there before it; the seconds of each folder; and what
takes long without the mark. Seconds are those of setup, call and teardown together: what a fixture
of a file takes counts for the first test that asks for it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
LONG = 0.3
"""Seconds from which a test is to be looked at, if it has no mark: half as much again as the mark
says, since machines differ."""
_TEST = re.compile(r"^([^:]+\.py):\s*(?:async )?def (test_\w+)")


@dataclass(frozen=True)
class Timed:
    """A test of a run."""

    file: str
    """From the root of the repository."""
    name: str
    """With its parameters."""
    seconds: float
    slow: bool
    """Whether it has the mark `slow`."""

    @property
    def function(self) -> str:
        return self.name.partition("[")[0]


@dataclass(frozen=True)
class Before:
    """The functions of tests of a commit: file and name."""

    functions: frozenset[tuple[str, str]]

    def has(self, test: Timed) -> bool:
        """In this file or, where that is not there, in one of its name (files move). A class that
        tests stand in is no part of their name: a test may come to stand in one."""
        if (test.file, test.function) in self.functions:
            return True
        name = PurePosixPath(test.file).name
        return any(
            function == test.function and PurePosixPath(file).name == name
            for file, function in self.functions
        )


def read(file: Path) -> list[Timed]:
    """The tests of a junit file of pytest, whose class names are paths of modules."""
    return [
        Timed(
            _file(case.get("classname", "")), case.get("name", ""), float(case.get("time", "0")),
            case.find("./properties/property[@name='slow']") is not None,
        )
        for case in ElementTree.parse(file).iter("testcase")
    ]  # fmt: skip


def _file(module: str) -> str:
    """A class that tests stand in follows the module: no folder or file begins with a capital."""
    parts = module.split(".")
    while parts[-1][:1].isupper():
        parts.pop()
    return "/".join(parts) + ".py"


def before(commit: str) -> Before:
    """The tests that a commit of this repository has, read from its files: nothing is imported."""
    pattern = r"^\s*(async )?def test_"
    command = ["git", "grep", "-E", pattern, commit, "--", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"--since {commit}: {done.stderr.strip() or 'it has no tests'}")
    found = (_TEST.match(line.removeprefix(f"{commit}:")) for line in done.stdout.splitlines())
    return Before(frozenset((one[1], one[2]) for one in found if one))


def slowest(tests: Iterable[Timed], number: int = 20) -> Iterator[str]:
    """A table in markdown."""
    yield "| Seconds | Test | `slow` |"
    yield "|---:|---|---|"
    for one in sorted(tests, key=lambda test: -test.seconds)[:number]:
        yield f"| {one.seconds:.1f} | `{one.file}::{one.name}` | {'yes' if one.slow else ''} |"


def shares(tests: Collection[Timed], known: Before | None) -> Iterator[str]:
    """How many seconds, and how many tests, each part has."""
    parts = {"all": list(tests), "without `slow`": [one for one in tests if not one.slow]}
    if known:
        parts["there before"] = [one for one in tests if known.has(one)]
        parts["new since"] = [one for one in tests if not known.has(one)]
    for name, part in parts.items():
        yield f"{sum(one.seconds for one in part):8.1f} s  {len(part):6} tests  {name}"


def folders(tests: Iterable[Timed]) -> Iterator[str]:
    """The seconds of each folder, most first."""
    found: Counter[str] = Counter()
    for one in tests:
        parts = PurePosixPath(one.file).parts
        found["/".join(parts[:3] if parts[1:2] == ("plugins",) else parts[:2])] += one.seconds
    for name, seconds in found.most_common():
        yield f"{seconds:8.1f} s  {name}"


def unmarked(tests: Iterable[Timed]) -> Iterator[str]:
    """Tests that take long and have no mark, longest first."""
    for one in sorted(tests, key=lambda test: -test.seconds):
        if one.seconds >= LONG and not one.slow:
            yield f"{one.seconds:8.1f} s  {one.file}::{one.name}"


def main(words: Sequence[str] | None = None) -> None:
    """Prints it all."""
    parser = argparse.ArgumentParser(prog="python -m tests.durations", description=__doc__)
    parser.add_argument("file", type=Path, help="what pytest wrote with --junitxml")
    parser.add_argument(
        "--since", metavar="COMMIT", help="tells what was there before from the new"
    )
    given = parser.parse_args(words)
    tests = read(given.file)
    parts = [
        slowest(tests),
        shares(tests, before(given.since) if given.since else None),
        folders(tests),
        unmarked(tests),
    ]
    print("\n\n".join("\n".join(lines) for lines in parts))


if __name__ == "__main__":
    main()
