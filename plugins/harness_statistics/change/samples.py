"""What the laws are tried on, by `harness plugins check`: each statistic beside its definition.

The definitions are in numpy and float64, from the dense latents of all batches at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.contract import Batch, Direction, Inputs, Sae, Site
from harness.testing import check_statistic, small_batch, small_sae
from harness_statistics.change.change_latents import ChangeLatents
from harness_statistics.change.change_rest import ChangeRest
from harness_statistics.change.few_rows import FewRows
from harness_statistics.change.options import (
    ChangeLatentsOptions,
    ChangeRestOptions,
    FewRowsOptions,
)
from harness_statistics.change.pursuit import random_rows

SITE = Site("resid_post", 1)
D, WIDTH = 8, 32
Samples = Iterator[partial[None]]
Expected = dict[str, Any]


def few_rows(folder: Path) -> Samples:
    """All tokens, with one to four rows."""
    given = FewRowsOptions(pair="tuned", sae="sae", k=(1, 2, 4), table=5)
    yield partial(check_statistic, FewRows(given), *_pairs(), reference=_rows, inputs=_inputs())


def change_rest(folder: Path) -> Samples:
    """Three components, beside those of the whole change."""
    given = ChangeRestOptions(pair="tuned", sae="sae", components=3, groups=4, pcs="pcs")
    yield partial(check_statistic, ChangeRest(given), *_pairs(), reference=_rest, inputs=_inputs())


def change_latents(folder: Path) -> Samples:
    """Limits that so few tokens can pass."""
    given = ChangeLatentsOptions(
        pair="tuned", sae="sae", minimum=2, delta=0.01, top=(1, 3), groups=4, table=5
    )
    yield partial(
        check_statistic, ChangeLatents(given), *_pairs(), reference=_latents, inputs=_inputs()
    )


def _pairs() -> list[Batch]:
    return [small_batch(seed) for seed in range(3)]


def _sae() -> Sae:
    return small_sae(D, WIDTH)


def _inputs() -> Inputs:
    vectors = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0][:3]
    pcs = Direction(SITE, vectors * np.array([[0.9], [0.5], [0.2]]))
    return Inputs({"pcs": pcs}, {"sae": _sae()}, {"sae": SITE})


# ── Definitions, in float64 ──────────────────────────────────────────────────────────────────────


def _x(batches: Sequence[Batch]) -> list[np.ndarray]:
    sides = ("left", "right")
    found = [
        [getattr(b, side).x(SITE)[b.selected].double().numpy() for b in batches] for side in sides
    ]
    return [np.concatenate(one) for one in found]


def _fits(batches: Sequence[Batch]) -> list[np.ndarray]:
    sides = ("left", "right")
    found = [
        [getattr(b, side).reconstruction("sae").double().numpy() for b in batches] for side in sides
    ]
    return [np.concatenate(one) for one in found]


def _pursuit(x: np.ndarray, rows: np.ndarray, steps: int) -> np.ndarray:
    """By the letter: the best row, then least squares on all chosen, vector by vector."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    left = np.zeros((len(x), steps))
    for place, vector in enumerate(x):
        residual, chosen = vector, []
        for step in range(steps):
            chosen.append(int(np.abs(rows @ residual).argmax()))
            basis = rows[chosen].T
            residual = vector - basis @ np.linalg.lstsq(basis, vector, rcond=None)[0]
            left[place, step] = residual @ residual
    return left


def _rows(batches: Sequence[Batch]) -> Expected:
    left, right = _x(batches)
    change, steps = right - left, (1, 2, 4)
    total = np.square(change).sum()
    decoder = _sae().rows(torch.arange(WIDTH)).double().numpy()
    chance = np.concatenate([one.numpy() for one in random_rows(WIDTH, D, 0)()])
    values = np.linalg.svd(change, compute_uv=False) ** 2
    said, drawn = (_pursuit(change, rows, 4).sum(0) / total for rows in (decoder, chance))
    fvu: list[float] = []
    gain, beyond = [], []
    for k in steps:
        ways = (said[k - 1], drawn[k - 1], values[k:].sum() / total)
        fvu += ways
        # Where components say no more than random rows there is no gain.
        gain.append((ways[1] - ways[0]) / (ways[1] - ways[2]) if ways[1] > ways[2] else np.nan)
        beyond.append(1 - ways[0] / ways[1])
    sides = np.square(left).sum() + np.square(right).sum()
    step = 2.0**-23 * (1 + D**0.5)  # float32, as nothing else is known
    return {
        "few_rows.fvu@1": fvu,
        "few_rows.gain@1": gain,
        "few_rows.beyond_random@1": beyond,
        "few_rows.rounding@1": step**2 * sides / total,
    }


def _rest(batches: Sequence[Batch]) -> Expected:
    (left, right), fits = _x(batches), _fits(batches)
    change = right - left
    rest = change - (fits[1] - fits[0])
    _, sizes, rows = np.linalg.svd(rest, full_matrices=False)
    rows = np.array([row if row @ rest.sum(0) >= 0 else -row for row in rows[:3]])
    decoder = _sae().rows(torch.arange(WIDTH)).double().numpy()
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    pcs = _inputs().directions["pcs"]
    assert isinstance(pcs, Direction)
    units = pcs.vectors / np.linalg.norm(pcs.vectors, axis=1, keepdims=True)
    total = change.sum(0)
    return {
        "change_rest.share@1": (sizes**2 / (sizes**2).sum())[:3],
        "change_rest.mean_cosine@1": rows @ total / np.linalg.norm(total),
        "change_rest.max_abs_cosine@1": np.abs(rows @ decoder.T).max(1),
        "change_rest.pcs_cosine@1": np.abs(rows @ units.T).max(1),
        "components": rows,
        "length": np.array([np.sqrt(np.square(right).sum() / len(right))]),
    }


def _latents(batches: Sequence[Batch]) -> Expected:
    z = [
        np.concatenate([getattr(b, side).latents("sae").dense().double().numpy() for b in batches])
        for side in ("left", "right")
    ]
    lengths = np.square(_sae().rows(torch.arange(WIDTH)).double().numpy()).sum(1)
    change = lengths * np.square(z[1] - z[0])
    on = [(one != 0).sum(0) for one in z]
    woken = (on[0] == 0) & (on[1] >= max(2, 0.01 * len(z[0])))
    energy = (lengths * np.square(z[1])).sum(0)
    sizes = sorted(change.sum(0), reverse=True)
    return {
        "change_latents.woken@1": float(woken.sum()),
        "change_latents.bound@1": 3 / len(z[0]),
        "change_latents.woken_energy@1": energy[woken].sum() / energy.sum(),
        "change_latents.flip_share@1": change[(z[0] == 0) != (z[1] == 0)].sum() / change.sum(),
        "change_latents.top_share@1": [sum(sizes[:m]) / sum(sizes) for m in (1, 3)],
    }
