"""What the laws are tried on. No reference knows more than the plugin itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.contract import Answer, Batch, Completion, Example, Inputs, Site, Target
from harness.testing import (
    array_batch,
    check_backend,
    check_evaluator,
    check_metric,
    check_sae_format,
    check_statistic,
    organism,
    small_batch,
)
from seeded_bugs import backends, judges, metrics, options, saes, sums

SITE = Site("resid_post", 1)
Samples = Iterator[partial[None]]


def seed() -> int:
    """That of the data: another one in each run."""
    return int(os.environ.get("SEEDED", "0"))


def peak(made: type[sums.Peak], folder: Path) -> Samples:
    """Three batches; the reference is what comes out of one after the other."""
    statistic = made(options.SumsOptions(view="v", data="d", site=str(SITE)))

    def own(batches: Sequence[Batch]) -> Mapping[str, float]:
        state = statistic.start(Inputs())
        for batch in batches:
            state = statistic.update(state, batch)
        (record,) = statistic.finish(state, Inputs()).records
        return {record.id: np.nan if record.value is None else record.value}

    batches = [small_batch(10 * seed() + n, paired=False) for n in range(3)]
    yield partial(check_statistic, statistic, *batches, reference=own)


def spread(made: type[metrics.Spread], folder: Path) -> Samples:
    """All tokens selected, as an author would write who thinks of no filter."""
    metric = made(options.SpreadOptions(), Target(SITE))

    def own(batch: Batch) -> list[float]:
        found = metric.sums(batch, batch.left)
        total = {name: value.numpy().sum(0, keepdims=True) for name, value in found.items()}
        return [float(metric.value(total)[0][0])]

    generator = torch.Generator().manual_seed(seed())
    document = [0] * 5 + [1] * 9 + [2] + [3] * 7
    x = 2 + torch.randn(len(document), 6, generator=generator)
    yield partial(check_metric, metric, array_batch(document, {SITE: x}), reference=own, rtol=0.01)


def sae(made: type[saes.Plain], folder: Path) -> Samples:
    """The reference is the SAE itself."""
    (folder / "small.txt").write_text(f"{8 + seed() % 5} 0")
    given = options.PlainOptions(path=str(folder / "small.txt"))
    loaded = saes.Plain(given).load("cpu")

    def own(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        latents = loaded.encode(torch.from_numpy(x))
        return latents.dense().numpy(), loaded.reconstruct(latents).numpy()

    yield partial(check_sae_format, made, given, reference=own, rtol=0.01)


def small(made: type[backends.Sound], folder: Path) -> Samples:
    """A random model of two blocks, with the organism's tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    base, place = organism() / "base", folder / "small"
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48, "head_dim": 8}
    config = AutoConfig.from_pretrained(base, **sizes, dtype="float32")
    torch.manual_seed(seed())
    AutoModelForCausalLM.from_config(config).save_pretrained(place)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(base / name, place / name)
    texts = ("A river", "It rises in the hills and ends in the sea.", "Ende.")
    examples = [Example(str(number), text) for number, text in enumerate(texts)]
    model = made(options.SmallOptions(path=str(place))).load()
    yield partial(check_backend, model, examples, new_tokens=3)


def judge(made: type[judges.Length], folder: Path) -> Samples:
    """Six answers of different lengths."""
    lengths = np.random.default_rng(seed()).permutation([0, 3, 9, 15, 30, 80])
    example = Example(id="prompt", text="Why?")
    texts = ["a" * int(length) for length in lengths]
    answers = [Answer(example, "Why?", Completion(text, len(text), True)) for text in texts]
    yield partial(check_evaluator, made(options.LengthOptions()), answers)


_CASES: Mapping[str, tuple[Callable[..., Samples], type[Any], type[Any]]] = {
    "merge_order": (peak, sums.MergeOrder, sums.Peak),
    "batch_mean": (spread, metrics.BatchMean, metrics.Spread),
    "writes_input": (spread, metrics.WritesInput, metrics.Spread),
    "reads_unselected": (spread, metrics.ReadsUnselected, metrics.Spread),
    "noise": (spread, metrics.Noise, metrics.Spread),
    "noise_sae": (sae, saes.Noisy, saes.Plain),
    "reads_padding": (small, backends.ReadsPadding, backends.Sound),
    "leaves_hook": (small, backends.LeavesHook, backends.Sound),
    "judge_of_batch": (judge, judges.OfBatch, judges.Length),
    "judge_flips": (judge, judges.Flips, judges.Length),
}


def __getattr__(name: str) -> Callable[[Path], Samples]:
    """`noise_bug`, `noise_twin` and so on: the samples of one of the two."""
    bug, _, which = name.rpartition("_")
    if bug not in _CASES:
        raise AttributeError(name)
    cases, wrong, twin = _CASES[bug]
    return partial(cases, wrong if which == "bug" else twin)
