"""What the laws are tried on: sites of every kind, and components with and without a model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import Arrays, Findings, Record, Tools
from harness.testing import check_analysis, organism
from harness_analyses.newness.component_lens import ComponentLens
from harness_analyses.newness.newness import Newness
from harness_analyses.newness.options import ComponentLensOptions, NewnessOptions
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions


def newness(folder: Path) -> Iterator[partial[None]]:
    """A moved feature, a written direction, a change of many directions, and no change."""
    analysis = Newness(NewnessOptions())
    for first, gain, beyond, fvu in (
        (0.9, 0.9, 0.8, 0.6),
        (0.9, 0.02, 0.02, 1.2),
        (0.2, None, 0.3, 0.5),
        (None, None, None, None),
    ):
        records = site_records(first, gain, beyond, fvu)
        yield partial(check_analysis, analysis, Findings(records=records, seed=1))


def component_lens(folder: Path) -> Iterator[partial[None]]:
    """Two components; and where a model is not there: undefined, not an error."""
    analysis = ComponentLens(ComponentLensOptions(statistic="rest", model="tuned", draws=20, top=3))
    model = TransformersBackend(TransformersOptions(path=f"{organism()}/base")).load()
    kept = {"components": np.eye(model.facts.d_model or 0)[:2], "length": np.ones(1)}
    arrays = (Arrays("rest", {}, kept),)
    for tools in (Tools({"tuned": model}), Tools()):
        yield partial(check_analysis, analysis, Findings(arrays=arrays, tools=tools, seed=1))


def site_records(
    first: float | None,
    gain: float | None,
    beyond: float | None,
    fvu: float | None,
    rounding: float | None = 1e-6,
    half: float = 0.01,
) -> tuple[Record, ...]:
    """The numbers of one site, with intervals of `half` on either side."""
    left = None if first is None else 1 - first
    return (
        _record("few_rows.fvu@1", left, half, rows="components", k=1),
        _record("few_rows.gain@1", gain, half, k=16),
        _record("few_rows.beyond_random@1", beyond, half, k=16),
        _record("fvu_change.pooled@1", fvu, half, data="web"),
        _record("few_rows.rounding@1", None if fvu is None else rounding, 0.0),
    )


def _record(id: str, value: float | None, half: float, **axes: str | int) -> Record:
    why = "both sides have the same activations" if value is None else None
    return Record(
        id,
        value,
        100,
        "tokens",
        "ratio",
        clusters=20,
        ci=None if value is None else (value - half, value + half),
        ci_why=why,
        undefined=why,
        axes={"pair": "p", "site": "resid_post.3", "sae": "mid", **axes},
    )
