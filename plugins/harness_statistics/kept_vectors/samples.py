"""What the laws are tried on: a direction, one that is undefined, and the rows of an SAE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.contract import Batch, Direction, Inputs, Site, Undefined
from harness.testing import check_statistic, small_sae
from harness_statistics.kept_vectors.kept_vectors import KeptVectors
from harness_statistics.kept_vectors.options import KeptVectorsOptions

SITE = Site("resid_post", 1)


def kept_vectors(folder: Path) -> Iterator[partial[None]]:
    """Nothing is read, so there are no batches."""
    three = np.random.default_rng(0).normal(size=(3, 8))
    sae = small_sae(8, 32)
    given = Inputs(
        directions={"pcs": Direction(SITE, three), "none": Undefined("nothing changed")},
        saes={"sae": sae},
        sae_sites={"sae": SITE},
    )
    rows = sae.rows(torch.arange(32)).numpy()
    cases: Sequence[tuple[dict[str, str], dict[str, Any]]] = (
        ({"direction": "pcs"}, {"vectors": three, "kept_vectors.count@1": 3.0}),
        ({"direction": "none"}, {}),
        ({"sae": "sae"}, {"vectors": rows, "kept_vectors.count@1": 32.0}),
    )
    for options, expected in cases:
        statistic = KeptVectors(KeptVectorsOptions.model_validate(options))
        yield partial(
            check_statistic, statistic, reference=partial(_expected, expected), inputs=given
        )


def _expected(expected: dict[str, Any], batches: Sequence[Batch]) -> dict[str, Any]:
    return expected
