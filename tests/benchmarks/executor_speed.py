"""What it costs to have parts computed by an executor, and what it gains.

    OMP_NUM_THREADS=1 python tests/benchmarks/executor_speed.py parts [--executor local]
    OMP_NUM_THREADS=1 python tests/benchmarks/executor_speed.py drift [--tokens 200000]

`parts`: many parts that sleep are computed by workers without a model, twice. The first call has
the start of the workers in it. Of the second the wall time is told, and what a part costs beside
its work: workers × wall time / parts - seconds.

`drift`: the pass of `tasks/drift.toml` over its text, repeated until it has so many tokens, by one
worker and by two, in turns. Told is the throughput while all have their models: for each worker the
tokens of the shards that it ended after its first, by the time from its first to its last, summed
over the workers. Undefined where a worker ended fewer than two shards: more `--tokens` then.

`--set KEY=VALUE` gives options of the executor, such as the address of a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turns.series import Asked, Series, told

from harness.contract import Event, Executor, Outfit, ShardFinished, start_worker
from harness.registry import discover
from harness.testing import organism
from harness.testing.support.clerk import Errand, clerk

BESIDE = 0.05
"""Seconds that a part may cost beside its work."""
WALL = 1.3
"""How many times the work of all parts two workers may take, their start included: 1,000 parts of
0.1 s in 130 s."""
SHARD = 4096
"""Tokens of a shard of the drift task, on each side; a run's own are larger, and few in a text of
this length."""
GAIN = 1.7
"""How often the throughput of one worker two must have."""


@dataclass(frozen=True)
class Call:
    """One call of `compute`."""

    workers: int
    parts: int
    seconds: float
    """That a part takes."""
    wall: float

    @property
    def beside(self) -> float:
        """Seconds that a part costs beside its work."""
        return self.workers * self.wall / self.parts - self.seconds


def calls(
    method: str, options: Mapping[str, Any], parts: int, seconds: float, folder: Path
) -> Iterator[Call]:
    """Two calls with as many parts, by the same workers."""
    (owned,) = [one for one in discover().of("executor") if one.component.name == method]
    executor: Executor = owned.load()(owned.options().model_validate(options))
    (folder / "notes").mkdir()
    text = clerk(folder / "notes")
    outfit = Outfit(text, start_worker(text), folder / "executor", _say)
    begun = time.perf_counter()
    with executor.crew(outfit) as crew:
        for call in range(2):
            given = (Errand(f"{call}-{n}", sleep=seconds).part() for n in range(parts))
            found = {reply.part for reply in crew.compute(b"shared", given)}
            assert found == set(range(parts))
            now = time.perf_counter()
            yield Call(crew.size, parts, seconds, now - begun)
            begun = time.perf_counter()


@dataclass
class Clock:
    """Remembers who ended which shard when."""

    ended: list[tuple[float, str]] = field(default_factory=list)
    """Time, and worker."""

    def see(self, event: Event) -> None:
        """Takes an event. What is one shard alone has no worker."""
        worker = event.stamp.worker
        if isinstance(event, ShardFinished) and event.stage.startswith("activations") and worker:
            self.ended.append((event.stamp.time, worker))

    def rate(self, workers: int) -> float | None:
        """Shards per second of so many workers: Σ over them of (shards - 1) / (last - first).

        A worker's time runs from the end of its own first shard to that of its own last, so what it
        takes to start and what it waits for others at the end are no part of it. None where fewer
        than `workers` have ended two shards one after the other.
        """
        times: dict[str, list[float]] = {}
        for at, worker in self.ended:
            times.setdefault(worker, []).append(at)
        own = [
            (len(ends) - 1) / (max(ends) - min(ends))
            for ends in times.values()
            if max(ends) > min(ends)
        ]
        return sum(own) if len(own) >= workers else None


def throughput(
    method: str, options: Mapping[str, Any], text: Path, rows: int, folder: Path
) -> float | None:
    """Tokens per second of one run of the drift task over a text, with few conversations; None as
    in `Clock.rate`."""
    import harness

    task = harness.load(
        "drift",
        executor={"method": method, **options},
        data={"web": {"file": str(text), "limit": rows}, "conversations": {"limit": 4}},
        batch={"shard": SHARD},
    )
    clock = Clock()
    harness.run(harness.plan(task), folder, observers=[clock])
    rate = clock.rate(options["workers"])
    return None if rate is None else SHARD * rate


def longer(file: Path, tokens: int) -> int:
    """Writes the organism's text, again and again with a number before it, until it has about so
    many tokens. How many rows that is."""
    lines = (organism() / "data" / "web.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    with file.open("w", encoding="utf-8") as out:
        have, turn, written = 0, 0, 0
        while have < tokens:
            for row in rows:
                out.write(json.dumps({"text": f"{turn}. {row['text']}"}) + "\n")
                written += 1
                have += len(row["text"]) // 4
                if have >= tokens:
                    return written
            turn += 1
    return written


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parts(given: argparse.Namespace, options: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        more = {**options, "workers": given.workers}
        first, second = calls(given.executor, more, given.parts, given.seconds, Path(folder))
    _print("| executor | workers | parts | wall, s | with the start, s | beside a part, ms |")
    _print("|---|---|---|---|---|---|")
    _print(
        f"| {given.executor} | {second.workers} | {second.parts} of {second.seconds:g} s | "
        f"{second.wall:.2f} | {first.wall:.2f} | {1000 * second.beside:.1f} |"
    )
    _bound("beside a part, s", second.beside, BESIDE, second.beside <= BESIDE)
    most = WALL * second.parts * second.seconds
    _bound("with the start, s", first.wall, most, first.wall <= most)


def _drift(given: argparse.Namespace, options: Mapping[str, Any]) -> None:
    os.environ["HARNESS_CACHE"] = ""
    found: dict[int, list[float | None]] = {1: [], given.workers: []}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.jsonl"
        rows = longer(text, given.tokens)
        for turn in range(given.repeats):
            for workers, rates in found.items():
                more = {**options, "workers": workers}
                out = Path(folder) / f"{turn}-{workers}"
                rates.append(throughput(given.executor, more, text, rows, out))
    tell(found)


def tell(found: Mapping[int, Sequence[float | None]]) -> None:
    """Prints the throughputs of one worker and of many, by turns, and how they compare."""
    _print("| workers | tokens per second, median | least | most |\n|---|---|---|---|")
    for workers, rates in found.items():
        known = [rate for rate in rates if rate is not None]
        told = (statistics.median(known), min(known), max(known)) if known else ()
        cells = " | ".join(f"{rate:.0f}" for rate in told) or "undefined | undefined | undefined"
        _print(f"| {workers} | {cells} |")
    many = max(found)
    both = [(one, more) for one, more in zip(*found.values(), strict=True) if one and more]
    if missing := len(found[many]) - len(both):
        _print(
            f"in {missing} of {len(found[many])} turns a worker ended fewer than two shards of "
            f"{SHARD} tokens: undefined. More --tokens"
        )
    if both:
        gain = statistics.median(more / one for one, more in both)
        _bound(f"{many} workers against 1", gain, GAIN, gain >= GAIN)
    else:
        _print(f"{many} workers against 1: undefined")


def _bound(what: str, value: float, bound: float, holds: bool) -> None:
    _print(f"{what}: {value:.3f}, bound {bound:g}: {'holds' if holds else 'DOES NOT HOLD'}")


def series(asked: Asked) -> Iterator[Series]:
    """Seconds on the wall of the second call of `parts` by two workers of `local`."""
    many = 20 if asked.toy else 200
    taken = []
    for _ in range(asked.repeats):
        with tempfile.TemporaryDirectory() as folder:
            *_, second = calls("local", {"workers": 2}, many, 0.02, Path(folder))
        taken.append(second.wall)
    yield Series(f"{many} parts of 0.02 s", "local", tuple(taken))


def main(words: Sequence[str] | None = None) -> None:
    """Prints a table, and whether the bound holds."""
    if told(words, series):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("parts", "drift"))
    parser.add_argument("--executor", default="local")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args(words)
    options = {}
    for one in given.set:
        key, _, text = one.partition("=")
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    (_parts if given.what == "parts" else _drift)(given, options)


if __name__ == "__main__":
    main()
