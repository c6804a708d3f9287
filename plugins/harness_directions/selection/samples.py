"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import (
    Batch,
    Direction,
    Inputs,
    ModelFacts,
    Site,
    StreamEdit,
    Undefined,
)
from harness.testing import check_direction, small_batch
from harness_directions.selection import options
from harness_directions.selection.closing_means import ClosingMeans
from harness_directions.selection.options import Trial
from harness_directions.selection.selected_direction import SelectedDirection

SITE = Site("resid_post", 1)
VOCABULARY = 16
Samples = Iterator[partial[None]]


def closing_means(folder: Path) -> Samples:
    """Prompts of both sets, of which some are closed with fewer tokens; all, and the expected."""
    facts = {"chat": ModelFacts(layers=4, d_model=8)}
    words_of = [f"word {n}" for n in range(VOCABULARY // 2)]
    for words in ((), words_of):
        given = options.ClosingMeansOptions(
            view="chat", positive="harmful", negative="harmless", positions=4, sites=(str(SITE),),
            filter_prompts=bool(words), refusal_words=tuple(words),
        )  # fmt: skip
        variants = [{"position": place, "site": str(SITE)} for place in range(-4, 0)]
        streams = ["positive", "negative", "positive", "negative"]
        batches = [
            replace(small_batch(seed, paired=False, logits=VOCABULARY), stream=stream)
            for seed, stream in enumerate(streams)
        ]
        inputs = Inputs(facts=facts, words={word: n for n, word in enumerate(words)})
        yield partial(check_direction, ClosingMeans(given), batches, inputs, variants=variants)


def selected_direction(folder: Path) -> Samples:
    """Three candidates, of which one does not exist; filtered, and not."""
    for filtered in (False, True):
        given = options.SelectedDirectionOptions(
            candidates="all", view="chat", positive="harmful", negative="harmless",
            refusal_words=("I", "As"), kl_max=9, induce_min=-9, filter_prompts=filtered,
        )  # fmt: skip
        trials = [Trial(n, (("position", n - 3),), "all", "strict") for n in range(3)]
        random = np.random.default_rng(0)
        found: list[Direction | Undefined] = [
            Direction(SITE, random.normal(size=(1, 8))),
            Undefined("it does not exist"),
            Direction(SITE, random.normal(size=(1, 8))),
        ]
        edits: dict[StreamEdit, Direction | Undefined] = {}
        for trial, direction in zip(trials, found, strict=True):
            edits |= {trial.ablated: direction, trial.added: direction}
        inputs = Inputs(facts={"chat": ModelFacts(layers=4)}, words={"I": 3, "As": 5}, edits=edits)
        single = ["closing", "positive", "negative"]
        single += [one.named(what) for one in (trials[0], trials[2]) for what in _SINGLE]
        batches = _read([*single, *single]) + _read(["moved 0", "moved 2"] * 2, paired=True)
        yield partial(check_direction, SelectedDirection(given), batches, inputs)


_SINGLE = ("ablated", "added")


def _read(streams: Sequence[str], *, paired: bool = False) -> list[Batch]:
    """A batch of each stream; those of one name have prompts of their own."""
    times: dict[str, int] = {}
    found = []
    for stream in streams:
        times[stream] = times.get(stream, -1) + 1
        batch = small_batch(times[stream], paired=paired, logits=VOCABULARY)
        found.append(replace(batch, stream=stream))
    return found
