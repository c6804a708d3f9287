"""What the laws are tried on: features with labels, flips and shifts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import Arrays, Findings, SaeFacts, Site
from harness.testing import check_analysis
from harness_analyses.clusters.analysis import Clusters
from harness_analyses.clusters.options import ClustersOptions

NAMES = {"refusal": "declining", "story": "people", "other": "anything else"}
LABELS = ("refusal", "story", "other", None, "poetry") * 4


def clusters(folder: Path) -> Iterator[partial[None]]:
    """By one source of labels, and beside a person's."""
    taxonomy = folder / "taxonomy.json"
    taxonomy.write_text(json.dumps({"clusters": NAMES}), encoding="utf-8")
    given = {"sae": "mid", "taxonomy": str(taxonomy), "labels": "truth"}
    given |= {"flips": "flips", "shift": "moved"}
    for more in ({}, {"task": ["refusal"], "against": ["human"]}):
        analysis = Clusters(ClustersOptions.model_validate({**given, **more}))
        yield partial(check_analysis, analysis, _findings())


def _findings() -> Findings:
    rng, width = np.random.default_rng(0), len(LABELS)
    active = rng.integers(0, 60, width)
    off_on = rng.binomial(active, 0.2)
    counts = {
        "flips_off_on": off_on,
        "flips_on_off": rng.binomial(active - off_on, 0.1),
        "active": active,
        "replicated_flips": np.zeros(3),
        "replicated_tokens": np.ones(3),
        "documents": np.ones(1, np.int64),
    }
    flips = {f"p/mid/resid_post.4/none/{name}": array for name, array in counts.items()}
    left, right = rng.gamma(1, size=width), rng.gamma(1, size=width)
    shift = {"delta": right - left, "mean_left": left, "mean_right": right}
    return Findings(
        tables={"labels.truth": _labels(LABELS), "labels.human": _labels(LABELS[::-1])},
        arrays=(Arrays("flips", {}, flips), Arrays("moved", {}, shift)),
        saes={"mid": SaeFacts(site=Site("resid_post", 4))},
    )


def _labels(clusters: tuple[str | None, ...]) -> list[dict[str, Any]]:
    shared = {"sae": "mid", "description": "d", "url": None, "contexts": []}
    return [{**shared, "feature": f, "cluster": name} for f, name in enumerate(clusters)]
