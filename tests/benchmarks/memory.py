"""How much memory a run needs as its text grows, and as its arms do.

    OMP_NUM_THREADS=1 python tests/benchmarks/memory.py            # an hour on one core
    OMP_NUM_THREADS=1 python tests/benchmarks/memory.py --toy      # to see that it runs

`tokens`: `harness eval` of a paired pass (explained ratio, intersection ratio, FVU, cosines) of two
tiny models over 100,000 to 10,000,000 tokens, in documents of 128 tokens and of 1,024.

`arms`: `harness eval` of an experiment that ablates 2 to 128 random directions, one arm each, and
has 64 prompts answered under every one.

Each run is a process of its own, alone in a fresh folder, without a cache; its figure is the most
that it held (`VmHWM` of Linux). What a run adds per token and per document is a plane through the
figures; what it adds per arm is a line: least squares, with standard errors.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drift_speed import Shapes, build, task_text
from turns.series import Asked, Series, told

_RUN = """
import sys
from harness.cli.main import main
if code := main(sys.argv[1:]):
    sys.exit(code)
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""
# Not getrusage: across exec, Linux carries the peak of the process that started this one.
PYTHON: Sequence[str] = (sys.executable,)
"""The first words of a command that runs it."""

MEGABYTE = 1e6


@dataclass(frozen=True)
class Text:
    """So many tokens, in documents of so many."""

    tokens: int
    length: int

    @property
    def documents(self) -> int:
        return max(1, self.tokens // self.length)


@dataclass(frozen=True)
class Held:
    """What a run held at most, and what it took."""

    bytes: int
    seconds: float


TEXTS = [Text(tokens, length) for length in (128, 1024) for tokens in (10**5, 10**6, 10**7)]
ARMS = (2, 8, 32, 128)
TOY_TEXTS = [Text(2000, 40), Text(6000, 40), Text(6000, 100)]
TOY_ARMS = (2, 4)


def shapes(length: int) -> Shapes:
    """Of the tiny models. Ids go beyond 256, up to which Python has one object for all."""
    return Shapes(32, 2, 2, 64, 1000, 64, 4, (0, 1), 12, length)


def write_text(file: Path, text: Text, vocabulary: int, seed: int = 0) -> None:
    """Documents of random words, written as they are drawn."""
    draw = np.random.default_rng(seed)
    with file.open("w") as out:
        for _ in range(text.documents):
            ids = draw.integers(2, vocabulary, text.length)
            out.write(json.dumps({"text": " ".join(f"w{i}" for i in ids)}) + "\n")


def tokens_task(folder: Path, text: Text) -> None:
    """The paired pass over a text."""
    sizes = shapes(text.length)
    build(folder, sizes, 2)
    write_text(folder / "text.jsonl", text, sizes.vocabulary)
    more = '[metrics.cosine]\npair = "p"\n'
    (folder / "task.toml").write_text(task_text(sizes) + more)


def arms_task(folder: Path, arms: int, prompts: int) -> None:
    """An experiment with so many arms beside the unedited one."""
    sizes = shapes(64)
    build(folder, sizes, 2)
    for name, seed in (("text", 0), ("other", 1)):
        write_text(folder / f"{name}.jsonl", Text(prompts * 24, 24), sizes.vocabulary, seed)
    (folder / "task.toml").write_text(
        'name = "arms"\n[models.base]\npath = "base"\n[views.base]\nmodel = "base"\n'
        '[data.text]\nfile = "text.jsonl"\n[data.other]\nfile = "other.jsonl"\n'
        '[directions.found]\nmethod = "difference_in_means"\nview = "base"\n'
        'site = "resid_post.1"\npositive = "text"\nnegative = "other"\n'
        f'[directions.drawn]\nmethod = "random"\nlike = "found"\ndraws = {arms}\n'
        '[experiments.e]\nview = "base"\ndata = "text"\ndirections = ["drawn"]\n'
        'intervention = { method = "ablation" }\nevaluators = ["substrings"]\n'
        "generation = { max_new_tokens = 24 }\n"
    )


def run(folder: Path) -> Held:
    """Runs the task of a folder in a process of its own."""
    begun = time.perf_counter()
    done = subprocess.run(
        [*PYTHON, "-c", _RUN, "eval", str(folder / "task.toml"), "-q", "--no-cache",
         "--out", str(folder / "run")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the run ended with {done.returncode}: {done.stderr[-2000:]}")
    return Held(int(done.stdout.split()[-1]), time.perf_counter() - begun)


def over_tokens(texts: Sequence[Text]) -> Iterator[tuple[Text, Held]]:
    """Each text with what a run on it held."""
    for text in texts:
        with tempfile.TemporaryDirectory() as name:
            tokens_task(Path(name), text)
            yield text, run(Path(name))


def over_arms(arms: Sequence[int], prompts: int) -> Iterator[tuple[int, Held]]:
    """Each number of arms with what a run with them held."""
    for many in arms:
        with tempfile.TemporaryDirectory() as name:
            arms_task(Path(name), many, prompts)
            yield many, run(Path(name))


@dataclass(frozen=True)
class Fit:
    """A coefficient of a least-squares fit, and its standard error; nan without spare points."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.1f} ± {self.error:.1f}"


def fit(columns: Sequence[Sequence[float]], values: Sequence[float]) -> list[Fit]:
    """Coefficients of `values` on a constant and `columns`: the constant first.

    Errors are √diag(σ² (XᵀX)⁻¹) with σ² = Σ residuals² / (points - coefficients).
    """
    x = np.column_stack([np.ones(len(values)), *columns]).astype(float)
    scale = np.abs(x).max(0)  # tokens are large, the constant is 1
    y = np.asarray(values, float)
    found, *_ = np.linalg.lstsq(x / scale, y, rcond=None)
    spare = len(y) - x.shape[1]
    sigma = float(((y - (x / scale) @ found) ** 2).sum()) / spare if spare > 0 else float("nan")
    errors = np.sqrt(sigma * np.diag(np.linalg.inv((x / scale).T @ (x / scale))))
    return [Fit(float(v), float(e)) for v, e in zip(found / scale, errors / scale, strict=True)]


def tokens_table(found: Sequence[tuple[Text, Held]]) -> list[str]:
    """A row for each text, and what a token and a document add."""
    rows = ["| tokens | documents of | held at most, MB | seconds |", "|---|---|---|---|"]
    rows += [
        f"| {text.tokens:,} | {text.length:,} | {held.bytes / MEGABYTE:.1f} | {held.seconds:.0f} |"
        for text, held in found
    ]
    texts, helds = zip(*found, strict=True)
    columns = [[t.tokens for t in texts], [t.documents for t in texts]]
    _, token, document = fit(columns, [held.bytes for held in helds])
    return [*rows, f"bytes per token: {token}; bytes per document: {document}"]


def arms_table(found: Sequence[tuple[int, Held]]) -> list[str]:
    """A row for each number of arms, and what an arm adds."""
    rows = ["| arms | held at most, MB | seconds |", "|---|---|---|"]
    rows += [f"| {n} | {held.bytes / MEGABYTE:.1f} | {held.seconds:.0f} |" for n, held in found]
    arms, helds = zip(*found, strict=True)
    _, arm = fit([arms], [held.bytes for held in helds])
    return [*rows, f"bytes per arm: {arm}"]


def series(asked: Asked) -> Iterator[Series]:
    """What runs hold at most, in MB: with much text, and with many arms."""
    texts = TOY_TEXTS[:1] if asked.toy else TEXTS[:2]
    arms, prompts = (TOY_ARMS[:1], 8) if asked.toy else (ARMS[2:3], 64)
    tokens = [list(over_tokens(texts)) for _ in range(asked.repeats)]
    for same in zip(*tokens, strict=True):
        held = tuple(one.bytes / MEGABYTE for _, one in same)
        yield Series("tokens", f"{same[0][0].tokens:,}", held, "MB")
    for many in arms:
        held = tuple(
            one.bytes / MEGABYTE
            for _ in range(asked.repeats)
            for _, one in over_arms([many], prompts)
        )
        yield Series("arms", str(many), held, "MB")


def main(words: Sequence[str] | None = None) -> None:
    """Prints both tables."""
    if told(words, series):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args(words)
    print("\n".join(tokens_table(list(over_tokens(TOY_TEXTS if given.toy else TEXTS)))), flush=True)
    arms = over_arms(TOY_ARMS, 8) if given.toy else over_arms(ARMS, 64)
    print("\n".join(arms_table(list(arms))))


if __name__ == "__main__":
    main()
