"""What the laws of `latent_attribution` are tried on: random paths, beside its definition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from harness.contract import Batch, FollowedPath, GradientPath, Inputs, PathTail, Site
from harness.testing import check_statistic, small_batch, small_sae
from harness_statistics.attribution.latent_attribution import LatentAttribution
from harness_statistics.attribution.options import LatentAttributionOptions

SITE = Site("resid_post", 1)
D, WIDTH = 8, 32


def latent_attribution(folder: Path) -> Iterator[partial[None]]:
    """Tails that are nearly straight, so that latents are ranked, and first-order ones that are
    not."""
    for order, bent in (("integrated", 0.02), ("first", 5.0)):
        given = LatentAttributionOptions.model_validate(
            {"pair": "tuned", "sae": "sae", "words": ("I",), "order": order, "k": (1, 3)}
        )
        batches = [with_path(small_batch(seed), given.path(SITE), seed, bent) for seed in range(3)]
        yield partial(
            check_statistic,
            LatentAttribution(given),
            *batches,
            reference=partial(_definition, ranked=order == "integrated"),
            inputs=Inputs(saes={"sae": small_sae(D, WIDTH)}, sae_sites={"sae": SITE}),
        )


def with_path(batch: Batch, path: GradientPath, seed: int, bent: float) -> Batch:
    """A batch whose path has random gradients; `bent`: how far its ends are off a straight line."""
    random = np.random.default_rng([seed, 1])
    assert batch.right is not None
    change = (batch.right.x(SITE) - batch.left.x(SITE)).double()
    tails = []
    base = random.normal(size=len(batch.documents))
    for side in range(2):
        gradient = torch.tensor(random.normal(size=change.shape))
        along = torch.zeros(len(batch.documents), dtype=torch.float64)
        along.index_add_(0, batch.document, (gradient * change).sum(1))
        along += torch.tensor(random.normal(size=len(along)))  # what is not measured
        at_left = torch.tensor(base + side * random.normal(size=len(base)))
        at_right = at_left + along + bent * torch.tensor(random.normal(size=len(base)))
        tails.append(
            PathTail(gradient, at_left, at_right, (at_left, at_right)[side].clone(), along)
        )
    return replace(batch, paths={path: FollowedPath(*tails)})


def _definition(batches: Sequence[Batch], ranked: bool) -> dict[str, Any]:
    """Token by token and latent by latent, in float64."""
    sae = small_sae(D, WIDTH)
    rows = sae.rows(torch.arange(WIDTH)).double().numpy()
    found: dict[str, list[float]] = {
        name: [] for name in ("change", "up", "down", "latents", "error", "rest")
    }
    gaps, sizes, latents, moved = 0.0, 0.0, [], []
    for batch in batches:
        assert batch.right is not None
        ((_, path),) = batch.paths.items()
        x, y = (side.x(SITE).double().numpy() for side in (batch.left, batch.right))
        z, w = (side.latents("sae").dense().double().numpy() for side in (batch.left, batch.right))
        owner = batch.document[batch.selected].numpy()
        for d in range(len(batch.documents)):
            tails = (path.left, path.right)
            ends = [(float(t.at_left[d]), float(t.at_right[d])) for t in tails]
            moves = [right - left for left, right in ends]
            found["change"].append(ends[1][1] - ends[0][0])
            found["up"].append(sum(moves) / 2)
            found["down"].append((ends[1][0] - ends[0][0] + ends[1][1] - ends[0][1]) / 2)
            a, size, here = np.zeros(WIDTH), np.zeros(WIDTH), 0.0
            for row in np.flatnonzero(owner == d):
                token = int(batch.selected[row])
                for tail in tails:
                    g = tail.gradient[token].double().numpy()
                    here += float(g @ (y[token] - x[token])) / 2
                    for j in range(WIDTH):
                        a[j] += float(g @ rows[j]) * (w[row, j] - z[row, j]) / 2
                size += np.abs(w[row] - z[row])
            latents.append(a)
            moved.append(size)
            found["latents"].append(a.sum())
            found["error"].append(here - a.sum())
            found["rest"].append(sum(float(t.along[d]) for t in tails) / 2 - here)
            gaps += sum(abs(m - float(t.along[d])) for m, t in zip(moves, tails, strict=True))
            sizes += sum(map(abs, moves))
    out: dict[str, Any] = {
        f"latent_attribution.{name}@1": np.mean(values) for name, values in found.items()
    }
    out["latent_attribution.gap@1"] = gaps / sizes
    if not ranked:
        return out | {"latent_attribution.top@1": [np.nan, np.nan]}
    mean, up = np.mean(latents, axis=0), np.mean(found["up"])
    first = np.sort(np.sign(up) * mean)[::-1]
    size = np.mean(moved, axis=0)
    on = size > 0
    return out | {
        "latent_attribution.top@1": [first[:k].sum() / abs(up) for k in (1, 3)],
        "latent_attribution.rank_agreement@1": stats.spearmanr(
            np.abs(mean[on]), size[on]
        ).statistic,
        "attribution": mean,
        "moved": size,
        "positive": np.mean(np.array(latents) > 0, axis=0),
    }
