"""What the laws are tried on: moments of latents by domain, forecasts and accuracies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import JSON, Arrays, Findings, Record
from harness.testing import check_analysis
from harness_analyses.transfer.mixture_advice import MixtureAdvice
from harness_analyses.transfer.options import (
    Arm,
    MixtureAdviceOptions,
    StsOptions,
    TransferCorrelationOptions,
)
from harness_analyses.transfer.sts import Sts
from harness_analyses.transfer.transfer_correlation import TransferCorrelation

DOMAINS = ("biology", "chemistry", "economics", "history", "law", "math")
WIDTH, D, GROUPS, TOKENS = 40, 12, 5, 200


def sts(folder: Path) -> Iterator[partial[None]]:
    """By both modes, also of the model after it was tuned."""
    kept = [_moments("shift", 0), _moments("tuned", 1)]
    for number, domain in enumerate(DOMAINS):
        kept += [_moments(name, 2 + number, domain) for name in ("domains", "after")]
    found = Findings(arrays=tuple(kept))
    for more in ({}, {"mode": "pooled", "tuned": "tuned", "tuned_domains": "after"}):
        given = {"shift": "shift", "domains": "domains", "ranks": (0, 7), **more}
        yield partial(check_analysis, Sts(StsOptions.model_validate(given)), found)


def transfer_correlation(folder: Path) -> Iterator[partial[None]]:
    """Six domains; the permutations are all there are."""
    given = TransferCorrelationOptions(
        sts="sts", before=Arm(experiment="before"), after=Arm(experiment="after"), draws=200
    )
    yield partial(check_analysis, TransferCorrelation(given), _accuracies())


def mixture_advice(folder: Path) -> Iterator[partial[None]]:
    """By the forecast from latents."""
    given = MixtureAdviceOptions(sts="sts", forecast="sts.act")
    yield partial(check_analysis, MixtureAdvice(given), _accuracies())


def _moments(statistic: str, seed: int, domain: str | None = None) -> Arrays:
    """What `latent_moments` keeps of random latents and activations, in groups of documents."""
    rng = np.random.default_rng(seed)
    of = np.arange(TOKENS) % 20 % GROUPS
    values: dict[str, np.ndarray] = {
        "tokens": np.bincount(of, minlength=GROUPS),
        "documents": np.bincount(np.arange(20) % GROUPS, minlength=GROUPS),
    }
    z = [np.maximum(rng.normal(size=(TOKENS, WIDTH)) - 0.5, 0) for _ in range(2)]
    x = [rng.normal(size=(TOKENS, D)) + rng.normal(size=D) for _ in range(2)]
    for prefix, (left, right) in {"": z, "raw_": x}.items():
        parts = {
            "left_sum": left,
            "left_square": left**2,
            "right_sum": right,
            "right_square": right**2,
            "change_square": (right - left) ** 2,
        }
        for name, array in parts.items():
            values[prefix + name] = np.array([array[of == one].sum(0) for one in range(GROUPS)])
    return Arrays(statistic, {} if domain is None else {"domain": domain}, values)


def _accuracies() -> Findings:
    """A forecast for each domain, and its accuracy before and after."""
    rng, records = np.random.default_rng(0), []
    for domain in DOMAINS:
        forecast = float(rng.gamma(2))
        for id in ("sts.act@1", "sts.icl@1"):
            records.append(_record(id, forecast, "activation", analysis="sts", domain=domain))
        for experiment, shift in (("before", 0.0), ("after", -0.05 * forecast)):
            value = 0.5 + shift + float(rng.normal()) / 50
            where = {"experiment": experiment, "direction": "none", "evaluator": "mmlu"}
            records.append(_record("accuracy@1", value, "share", **where, domain=domain))
    return Findings(records=tuple(records))


def _record(id: str, value: float, unit: str, **axes: JSON) -> Record:
    return Record(id, value, 200, "questions", unit, clusters=200, ci_why="too few", axes=axes)
