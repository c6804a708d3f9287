"""How cost grows with tokens, sites, SAEs, latents, arms and the length of prompts.

    OMP_NUM_THREADS=1 python tests/benchmarks/growth.py [--repeats 5]
    OMP_NUM_THREADS=1 python tests/benchmarks/growth.py --toy      # to see that it runs

One of them is doubled again and again while all others stay; all sizes take turns in one process.
Counted are seconds of the processor: of a paired pass of two random models whose models and SAEs
are held (tokens, sites, SAEs, latents, length), or of a whole run without loading (arms).

An exponent is the slope of log(seconds) on log(size) over all turns, least squares, with its
standard error: 1 is in proportion, 0 not at all. What a pass costs once, whatever its size (the
bootstrap, the smallest operations), draws it below the slope of the large sizes; so the slope
between the two largest stands beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from drift_speed import Harness, Shapes, build, task_text
from memory import Fit, arms_task, fit
from safetensors.torch import load_file, save_file
from turns.clock import timed

BASE = Shapes(128, 8, 4, 512, 1000, 4096, 32, (7,), 32, 64)
TOY = Shapes(32, 4, 2, 64, 300, 64, 4, (3,), 4, 12)


@dataclass(frozen=True)
class Axis:
    """What is doubled, and what is measured at each of its sizes."""

    name: str
    sizes: Sequence[int]
    make: Callable[[Path, int], Callable[[], float]]
    """Prepares a size in a folder: seconds of one turn."""


def _pass(folder: Path, shapes: Shapes, task: str) -> Callable[[], float]:
    build(folder, shapes, shapes.documents)
    (folder / "task.toml").write_text(task)
    work = Harness(folder, "cpu")
    return lambda: timed(work).cpu


def of_shapes(base: Shapes, **changed: int) -> Callable[[Path], Callable[[], float]]:
    """The drift's pass with other shapes."""
    shapes = replace(base, **changed)  # type: ignore[arg-type]
    return lambda folder: _pass(folder, shapes, task_text(shapes))


def of_sites(folder: Path, base: Shapes, many: int) -> Callable[[], float]:
    """Cosines at so many sites; the deepest is always among them."""
    step = base.blocks // many
    sites = ", ".join(f'"resid_post.{n}"' for n in range(step - 1, base.blocks, step))
    bare = replace(base, sites=())
    text = task_text(bare).split("[metrics.")[0].replace("saes = []", "")
    return _pass(folder, bare, f'{text}[metrics.cosine]\npair = "p"\nsites = [{sites}]\n')


def of_saes(folder: Path, base: Shapes, many: int) -> Callable[[], float]:
    """The drift's pass with so many SAEs at one site, each with weights of its own."""
    (site,) = base.sites
    build(folder, base, base.documents)
    names = [f"s{n}" for n in range(many)]
    text = ""
    for number, name in enumerate(names):
        own = folder / name
        own.mkdir()
        weights = load_file(folder / f"sae_{site}" / "sae_weights.safetensors")
        weights["b_dec"] += 0.01 * number
        save_file(weights, own / "sae_weights.safetensors")
        (own / "cfg.json").write_text((folder / f"sae_{site}" / "cfg.json").read_text())
        text += f'[saes.{name}]\npath = "{name}"\nmodel = "base"\n'
    one = f'[saes.s{site}]\npath = "sae_{site}"\nmodel = "base"\n'
    task = task_text(base).replace(f'["s{site}"]', json.dumps(names))
    (folder / "task.toml").write_text(task.replace(one, text))
    work = Harness(folder, "cpu")
    return lambda: timed(work).cpu


def of_arms(folder: Path, many: int, prompts: int) -> Callable[[], float]:
    """A run with so many arms, without what it takes to load."""
    import harness

    arms_task(folder, many, prompts)
    turns = iter(range(10**6))

    def run() -> float:
        out = folder / f"run-{next(turns)}"
        harness.run(harness.plan(harness.load(folder / "task.toml")), out, cache=False)
        usage: Mapping[str, Any] = json.loads((out / "results.json").read_text())["provenance"]
        seconds = usage["usage"]["seconds"]["processor"]
        return float(seconds["total"] - seconds["loading"])

    return run


def axes(base: Shapes, doublings: int, prompts: int) -> list[Axis]:
    """All that is measured."""

    def sizes(first: int) -> list[int]:
        return [first * 2**n for n in range(doublings)]

    documents = base.documents
    return [
        Axis(
            "tokens",
            sizes(documents * base.length),
            lambda folder, n: of_shapes(base, documents=n // base.length)(folder),
        ),
        Axis("sites", sizes(1), lambda folder, n: of_sites(folder, base, n)),
        Axis("SAEs", sizes(1), lambda folder, n: of_saes(folder, base, n)),
        Axis("latents", sizes(base.d_sae), lambda folder, n: of_shapes(base, d_sae=n)(folder)),
        Axis("length of prompts", sizes(base.length), _of_length(base)),
        Axis("arms", sizes(2), lambda folder, n: of_arms(folder, n, prompts)),
    ]


def _of_length(base: Shapes) -> Callable[[Path, int], Callable[[], float]]:
    return lambda folder, n: of_shapes(base, length=n)(folder)


def seconds(axis: Axis, repeats: int) -> dict[int, list[float]]:
    """Seconds of all turns at each size, after one that does not count."""
    with tempfile.TemporaryDirectory() as name:
        runs = {}
        for size in axis.sizes:
            (folder := Path(name) / str(size)).mkdir()
            runs[size] = axis.make(folder, size)
        rounds = [{size: run() for size, run in runs.items()} for _ in range(repeats + 1)]
        return {size: [taken[size] for taken in rounds[1:]] for size in runs}


def exponent(found: Mapping[int, Sequence[float]]) -> Fit:
    """The slope of log(seconds) on log(size) over all turns."""
    points = [(size, taken) for size, turns in found.items() for taken in turns]
    x, y = zip(*points, strict=True)
    return fit([[math.log(size) for size in x]], [math.log(taken) for taken in y])[1]


def last_slope(found: Mapping[int, Sequence[float]]) -> float:
    """The slope between the medians of the two largest sizes."""
    one, other = sorted(found)[-2:]
    ratio = statistics.median(found[other]) / statistics.median(found[one])
    return math.log(ratio) / math.log(other / one)


def row(name: str, found: Mapping[int, Sequence[float]]) -> str:
    """A row of the table."""
    sizes = sorted(found)
    medians = " · ".join(f"{statistics.median(found[size]):.3g}" for size in sizes)
    fitted = exponent(found)
    return (
        f"| {name} | {sizes[0]:,} to {sizes[-1]:,} | {medians} "
        f"| {fitted.value:.2f} ± {fitted.error:.2f} | {last_slope(found):.2f} |"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="Names of axes.")
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    all_axes = axes(TOY, 2, 4) if given.toy else axes(BASE, 4, 16)
    print("| what is doubled | from, to | seconds of the processor, medians | exponent | last |")
    print("|---|---|---|---|---|")
    for axis in all_axes:
        if not given.only or axis.name in given.only:
            print(row(axis.name, seconds(axis, given.repeats)), flush=True)


if __name__ == "__main__":
    main()
