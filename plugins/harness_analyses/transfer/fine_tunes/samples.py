"""What the laws are tried on: forecasts and accuracies of four fine-tunes in five domains."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import JSON, Arrays, Findings, Record
from harness.testing import check_analysis
from harness_analyses.transfer.fine_tunes.options import TransferForecastOptions
from harness_analyses.transfer.fine_tunes.transfer_forecast import TransferForecast

TUNES = ("capitals", "meals", "pirate", "sums")
DOMAINS = ("biology", "health", "history", "law", "math")
OWN = {"capitals": ["history"], "meals": ["biology"], "sums": ["math"]}


def transfer_forecast(folder: Path) -> Iterator[partial[None]]:
    """With tokens, and without what only arrays tell."""
    tokens = {"domain_tokens": "asked"}
    for more, kept in ((tokens, _tokens()), ({}, ())):
        tunes = [
            {
                "name": name, "sts": f"sts_{name}", "after": {"experiment": name},
                "own": OWN.get(name, []), **({"tokens": f"tokens_{name}"} if more else {}),
            }
            for name in TUNES
        ]  # fmt: skip
        given = TransferForecastOptions.model_validate(
            {
                "tunes": tunes, "before": {"experiment": "before"}, "permutations": 99,
                "plan": {"draws": 100, "domains": len(DOMAINS)}, **more,
            }
        )  # fmt: skip
        found = Findings(records=tuple(_records()), arrays=tuple(kept))
        yield partial(check_analysis, TransferForecast(given), found)


def _records() -> Iterator[Record]:
    """A forecast and an accuracy of each sample, the second worse where the first is higher."""
    rng = np.random.default_rng(0)
    for domain in DOMAINS:
        yield _accuracy("before", domain, 0.8)
    for tune in TUNES:
        for domain in DOMAINS:
            value = float(rng.gamma(2))
            for id in ("sts.act@1", "sts.icl@1"):
                axes: dict[str, JSON] = {"analysis": f"sts_{tune}", "domain": domain}
                given = {"shift": "shift", "domains": "domains", "ranks": [0, 10]}
                yield Record(
                    id, value, 200, "tokens", "activation", given, 200, ci_why="too few", axes=axes
                )
            yield _accuracy(tune, domain, 0.8 - 0.05 * value + float(rng.normal()) / 50)


def _accuracy(experiment: str, domain: str, value: float) -> Record:
    axes: dict[str, JSON] = {
        "experiment": experiment, "direction": "none", "evaluator": "exam", "domain": domain,
    }  # fmt: skip
    return Record("accuracy@1", value, 40, "questions", "share", ci_why="too few", axes=axes)


def _tokens() -> Iterator[Arrays]:
    rng = np.random.default_rng(1)
    for name in [f"tokens_{tune}" for tune in TUNES]:
        yield _counts(name, rng)
    for domain in DOMAINS:
        yield _counts("asked", rng, domain)


def _counts(statistic: str, rng: np.random.Generator, domain: str | None = None) -> Arrays:
    ids, counts = np.unique(rng.integers(50, size=60), return_counts=True)
    axes = {} if domain is None else {"domain": domain}
    return Arrays(statistic, axes, {"ids": ids, "counts": counts})
