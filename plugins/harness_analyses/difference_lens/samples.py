"""What the laws are tried on: means of a small model's own stream, and a word written into them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import Arrays, Findings, Tools
from harness.testing import check_analysis, organism
from harness_analyses.difference_lens.logit_lens import LogitLens
from harness_analyses.difference_lens.options import LogitLensOptions, PatchscopeOptions
from harness_analyses.difference_lens.patchscope import Patchscope
from harness_statistics.mean_difference.means import Means, Place
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

_GIVEN = {"difference": "first", "model": "tuned", "words": ("light", "nowhere"), "top": 5}


def logit_lens(folder: Path) -> Iterator[partial[None]]:
    """Two texts, and two models that are the same."""
    analysis = LogitLens(
        LogitLensOptions.model_validate({**_GIVEN, "draws": 5, "splits": 1, "resamples": 12})
    )
    for shift in (1.0, 0.0):
        yield partial(check_analysis, analysis, _findings(shift))


def patchscope(folder: Path) -> Iterator[partial[None]]:
    """Two texts, at three strengths."""
    more = {"draws": 2, "scales": (0.5, 2.0)}
    analysis = Patchscope(PatchscopeOptions.model_validate({**_GIVEN, **more}))
    yield partial(check_analysis, analysis, _findings(1.0))


def _findings(shift: float) -> Findings:
    model = TransformersBackend(TransformersOptions(path=f"{organism()}/base")).load()
    width = model.facts.d_model
    assert width is not None
    kept = [
        Arrays(
            "first", {"pair": pair}, _means(seed, shift, width).arrays(Place(pair, "resid_post.2"))
        )
        for seed, pair in enumerate(("web", "talk"))
    ]
    return Findings(arrays=tuple(kept), tools=Tools({"tuned": model}), seed=1)


def _means(seed: int, shift: float, width: int) -> Means:
    """Random sums of 8 groups with 3 tokens each at 2 positions."""
    rng = np.random.default_rng(seed)
    left, change = rng.normal(size=(2, 8, 2, width))
    common = np.random.default_rng(9).normal(size=width)
    return Means(
        positions=np.array([1, 2]),
        count=np.full((8, 2), 3),
        left=3 * left,
        change=3 * shift * (change + common),
        square=np.full(2, 24.0 * width),
        documents=np.full(2, 24),
        norm=np.array([240.0]),
        norm_count=np.array([24]),
    )
