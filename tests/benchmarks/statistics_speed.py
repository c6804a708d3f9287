"""What the streaming statistics that need no SAE cost, beside the pass that they are part of.

    python tests/benchmarks/statistics_speed.py [--device cuda] [--threads 1 2] [--repeats 5]

The pass of `drift_speed.py` (two models of d 512, three sites, an SAE at each), alone and with all
of these at every site, each alone too: cosines, displacement, activation norms, centred kernel
alignment, the mean difference of the first tokens and the principal components of the change. KL is
not among them: it needs the models to their end, which the pass of the drift stops before.

The passes take turns in one process. The bound: together at most a tenth of the drift's pass.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from drift_speed import TOY, Harness, Shapes, build, task_text
from turns.clock import timed
from turns.series import Asked, Series, told

BOUND = 0.1
MORE = {
    "cosine": '[metrics.cosine]\npair = "p"\nsites = [{sites}]',
    "displacement": '[metrics.displacement]\npair = "p"\nsites = [{sites}]',
    "activation_norm": '[metrics.activation_norm]\npair = "p"\nsites = [{sites}]',
    "cka": '[metrics.cka]\npair = "p"\nsites = [{sites}]',
    "mean_difference": '[statistics.mean_difference]\npair = "p"\nsweep = {{ site = [{sites}] }}',
    "principal_components": (
        '[directions.components]\nmethod = "principal_components"\npair = "p"\n'
        "sweep = {{ site = [{sites}] }}"
    ),
}
"""By name, what a task says to have it at every site."""


def times(
    shapes: Shapes, device: str, repeats: int, each: Sequence[str] = tuple(MORE)
) -> dict[str, list[float]]:
    """Seconds of all turns: the drift's pass, with `each` statistic alone, and with all of them."""
    sites = ", ".join(f'"resid_post.{site}"' for site in shapes.sites)
    more = {name: text.format(sites=sites) for name, text in MORE.items()}
    alone = {name: more[name] for name in each}
    tasks = {"drift": "", **alone, "together": "\n".join(more.values())}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, shapes, shapes.documents)
        runs = {}
        for one, text in tasks.items():
            (folder / "task.toml").write_text(f"{task_text(shapes)}\n{text}\n")
            runs[one] = Harness(folder, device)
        found: dict[str, list[float]] = {one: [] for one in runs}
        for turn in range(repeats + 1):
            for one, run in runs.items():
                taken = timed(run, device)
                if turn:
                    found[one].append(taken.cpu if device == "cpu" else taken.wall)
    return found


def series(asked: Asked) -> Iterator[Series]:
    """The passes in seconds of the processor: the drift's, and all statistics together."""
    torch.set_num_threads(1)
    shapes = TOY if asked.toy else Shapes()
    each = () if asked.ours else tuple(MORE)
    for name, seconds in times(shapes, "cpu", asked.repeats, each).items():
        yield Series("1 thread", name, tuple(seconds), "s of the processor")


def report(found: dict[str, list[float]]) -> list[str]:
    """A row for each pass, and whether the bound holds."""
    drift = statistics.median(found["drift"])
    rows = ["| pass | seconds, median | beside the drift's pass |", "|---|---|---|"]
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        rows.append(f"| {name} | {middle:.3f} | {middle / drift - 1:+.1%} |")
    more = statistics.median(found["together"]) / drift - 1
    holds = "holds" if more <= BOUND else "DOES NOT HOLD"
    return [*rows, f"together: {more:+.3f}, bound {BOUND:g}: {holds}"]


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    if told(words, series):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args(words)
    shapes = TOY if given.toy else Shapes()
    for threads in given.threads:
        torch.set_num_threads(threads)
        print(f"{threads} threads, {given.device}, {shapes.documents * shapes.length:,} tokens")
        print("\n".join(report(times(shapes, given.device, given.repeats))))


if __name__ == "__main__":
    main()
