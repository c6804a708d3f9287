"""A run whose records are known: numbers by depth, a swept score, one number that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.contract import Record
from harness.registry import Registry, discover
from harness.results import Results
from harness.results.write import write_results

COMMAND = "harness eval tasks/known.toml --out runs/known"
LAYERS = (2, 4, 5, 7)
MISSING = 5
"""The block at which one number is undefined."""


def record(
    id: str, value: float | None, n: int = 500, unit: str = "ratio", **axes: object
) -> Record:
    why = None if value is not None else "no token was measured"
    ci = None if value is None else (value - 0.031, value + 0.047)
    return Record(f"{id}@1", value, n, "tokens", unit, ci=ci, undefined=why, axes=axes)  # type: ignore[arg-type]


def by_depth() -> list[Record]:
    found = []
    for place, layer in enumerate(LAYERS):
        at = {"pair": "web", "data": "web", "site": f"resid_post.{layer}", "sae": f"s{layer}"}
        raw = None if layer == MISSING else 0.97 - 0.013 * place
        found.append(record("cosine.raw", raw, unit="cosine", **at))
        found.append(record("cosine.latent", 0.83 - 0.021 * place, unit="cosine", **at))
        found.append(record("latent_overlap.topk", 0.41 + 0.017 * place, **at))
    return found


def swept() -> list[Record]:
    shared = {"experiment": "bypass", "evaluator": "substrings", "view": "chat", "data": "goals"}
    found = [
        record("refusal_score", value, 100, "share", direction="features", k=k, **shared)
        for k, value in ((1, 0.81), (4, 0.52), (16, 0.33), (64, 0.17))
    ]
    found.append(record("refusal_score", 0.88, 100, "share", direction="none", **shared))
    return found


@pytest.fixture(scope="session")
def registry() -> Registry:
    return discover()


@pytest.fixture
def results() -> Results:
    task = {"name": "known", "title": "Known numbers"}
    told = {"command": COMMAND, "harness": "9.9"}
    return Results("complete", task, told, (*by_depth(), *swept()))


@pytest.fixture
def run(results: Results, tmp_path: Path) -> Path:
    write_results(tmp_path / "run", results)
    return tmp_path / "run"
