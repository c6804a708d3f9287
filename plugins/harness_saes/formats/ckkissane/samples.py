"""What the laws are tried on: a crosscoder of ckkissane's, whose scales are stated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, N, doubles, drawn, each, write_json
from harness_saes.formats.ckkissane.load import Ckkissane
from harness_saes.formats.ckkissane.options import CkkissaneOptions

SCALES = (0.2759, 0.24423)


def samples(folder: Path) -> Iterator[partial[None]]:
    """Two models at resid_pre.14."""
    w = {
        "W_enc": drawn(0, 2, D, N),
        "b_enc": drawn(1, N),
        "W_dec": drawn(2, N, 2, D),
        "b_dec": drawn(3, 2, D),
    }
    told = {"hook_point": "blocks.14.hook_resid_pre", "d_in": D, "dict_size": N, "seed": 49}
    write_json(folder / "cfg.json", told)
    torch.save(w, folder / "cc_weights.pt")
    options = CkkissaneOptions(path=str(folder), scales=SCALES)
    reference = partial(each, partial(_token, doubles(w)))
    yield partial(check_sae_format, Ckkissane, options, reference=reference, rtol=3e-5)


def _token(w: Arrays, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a = w["b_enc"] + sum(
        scale * x[side * D : (side + 1) * D] @ w["W_enc"][side] for side, scale in enumerate(SCALES)
    )
    z = np.maximum(a, 0)
    out = [(z @ w["W_dec"][:, side] + w["b_dec"][side]) / SCALES[side] for side in (0, 1)]
    return z, np.concatenate(out)
