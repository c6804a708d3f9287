"""What the laws are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import (
    Answer,
    Batch,
    Completion,
    Direction,
    Example,
    Findings,
    Inputs,
    ModelFacts,
    Record,
    Results,
    SaeFacts,
    Site,
    Target,
)
from harness.testing import (
    check_analysis,
    check_direction,
    check_evaluator,
    check_intervention,
    check_labels,
    check_metric,
    check_section,
    check_statistic,
    small_batch,
)
from lantern_harness import options
from lantern_harness.by_size import BySize
from lantern_harness.effective_dimensions import EffectiveDimensions
from lantern_harness.glossary import Glossary
from lantern_harness.range_of import RangeOf
from lantern_harness.scaled_means import ScaledMeans
from lantern_harness.sentences import Sentences
from lantern_harness.tails import Tails
from lantern_harness.turn import Turn

SITE = Site("resid_post", 1)
Samples = Iterator[partial[None]]


def effective_dimensions(folder: Path) -> Samples:
    """Two batches, some tokens of which are not selected."""
    metric = EffectiveDimensions(options.EffectiveDimensionsOptions(), Target(SITE))
    yield partial(check_metric, metric, small_batch(0), small_batch(1), reference=_dimensions)


def _dimensions(batch: Batch) -> Sequence[float]:
    """From the singular values of all activations."""
    x = batch.left.x(SITE)[batch.selected].double().numpy()
    s = np.linalg.svd(x, compute_uv=False)
    return [float((s**2).sum() ** 2 / (s**4).sum())]


def scaled_means(folder: Path) -> Samples:
    """Prompts of both sets, in four batches."""
    given = options.ScaledMeansOptions(view="v", site=str(SITE), positive="p", negative="n")
    batches = [
        replace(small_batch(seed, paired=False), stream=stream)
        for seed, stream in enumerate(("positive", "negative", "positive", "negative"))
    ]
    yield partial(check_direction, ScaledMeans(given), batches, Inputs())


def turn(folder: Path) -> Samples:
    """Towards it and away from it; strength 0 changes nothing."""
    direction = Direction(SITE, 3 * np.random.default_rng(0).normal(size=(1, 8)))
    idle = Turn(options.TurnOptions(strength=0))
    for strength in (0.5, -2.0):
        one = Turn(options.TurnOptions(strength=strength))
        facts = ModelFacts(layers=3, d_model=8)
        yield partial(check_intervention, one, direction, facts, identity=idle)


def tails(folder: Path) -> Samples:
    """Three batches of one view."""
    statistic = Tails(options.TailsOptions(view="v", data="d", site=str(SITE)))
    batches = [small_batch(seed, paired=False) for seed in range(3)]
    yield partial(check_statistic, statistic, *batches, reference=_kurtosis)


def _kurtosis(batches: Sequence[Batch]) -> Mapping[str, float | np.ndarray]:
    x = np.concatenate([one.left.x(SITE)[one.selected].double().numpy() for one in batches])
    z = x - x.mean(0)
    kurtosis = (z**4).mean(0) / (z**2).mean(0) ** 2 - 3
    return {"tails.median@1": float(np.median(kurtosis)), "kurtosis": kurtosis}


def sentences(folder: Path) -> Samples:
    """Answers of every form."""
    example = Example(id="prompt", text="Why?")
    texts = ("It rains.", "It rains! Does it? Yes", "", "   ", "word", "…", "A b c. D e")
    answers = [Answer(example, "Why?", Completion(text, len(text), True)) for text in texts]
    yield partial(check_evaluator, Sentences(options.SentencesOptions()), answers)


def glossary(folder: Path) -> Samples:
    """Two features with a text."""
    (folder / "words.toml").write_text('[mid]\n3 = "farms"\n7 = "commas"\n', encoding="utf-8")
    source = Glossary(options.GlossaryOptions(path=str(folder / "words.toml")))
    found = Findings(tables={"shift.features": [{"sae": "mid", "feature": 3}]})
    yield partial(check_labels, source, SaeFacts(d_sae=9), (3, 5, 7), found, sae="mid")


def range_of(folder: Path) -> Samples:
    """Three sites, one of them undefined; and one."""
    analysis = RangeOf(options.RangeOfOptions(record="l0@1"))
    for values in ((30.0, None, 50.0), (30.0,)):
        yield partial(check_analysis, analysis, Findings(records=tuple(_records(values))))


def by_size(folder: Path) -> Samples:
    """Numbers of this package and another one."""
    records = [replace(one, id="tails.median@1") for one in _records((1.0, 2.0, None))]
    results = Results("complete", {"name": "t"}, {}, (*records, *_records((3.0,))))
    yield partial(check_section, BySize(options.BySizeOptions()), results)


def _records(values: Sequence[float | None]) -> Iterator[Record]:
    for layer, value in enumerate(values):
        why = "no token was measured" if value is None else None
        axes = {"site": f"resid_post.{layer}"}
        yield Record("l0@1", value, 10, "tokens", "latents", ci_why="-", undefined=why, axes=axes)
