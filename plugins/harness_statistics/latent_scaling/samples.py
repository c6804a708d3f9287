"""What the laws are tried on, by `harness plugins check`: the definition, latent by latent.

Each coefficient is a least-squares fit on all tokens, by the letter, in numpy and float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Batch, Inputs, Latents, SaeFacts, SaeInput, Site
from harness.testing import array_batch, check_statistic
from harness_statistics.latent_scaling.latent_scaling import LatentScaling
from harness_statistics.latent_scaling.options import LatentScalingOptions

SITE = Site("resid_post", 1)
D, WIDTH = 6, 24
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
Samples = Iterator[partial[None]]


class ToyCrosscoder:
    """Latents are positive coordinates; a third of the rows are of each side, a third of both."""

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        scales: tuple[float, float] = (1.0, 1.0),
        *,
        shifted: bool = False,
        join: Literal["concatenated", "difference"] = "concatenated",
        d: int = D,
        width: int = WIDTH,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        random = torch.Generator().manual_seed(9)
        columns = 2 * d if join == "concatenated" else d
        self.encoder = torch.randn(columns, width, generator=random, dtype=dtype)
        self.decoder = torch.randn(width, columns, generator=random, dtype=dtype)
        if join == "concatenated":
            third = width // 3
            self.decoder[:third, :d] *= 0.02
            self.decoder[third : 2 * third, d:] *= 0.02
            self.decoder[2 * third :, d:] = self.decoder[2 * third :, :d]
            self.decoder /= torch.tensor(scales, dtype=dtype).repeat_interleave(d)
        self.bias = torch.randn(columns, generator=random, dtype=dtype)
        self.threshold = 1.5
        means = torch.randn(2, d, generator=random, dtype=dtype)
        self.facts = SaeFacts(
            "crosscoder",
            columns,
            width,
            SITE,
            inputs=tuple(SaeInput(side, width=d) for side in SIDES),
            join=join,
            scales=scales,
            shifts=tuple(tuple(one.tolist()) for one in means) if shifted else None,
        )
        self.fingerprint = f"toy {join} {scales} {shifted}"

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Positive coordinates above a threshold."""
        z = x.to(self.encoder.dtype) @ self.encoder
        return Latents.from_dense(torch.where(z > self.threshold, z, 0))

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_in"]:
        """Rows and a bias."""
        return latents.dense() @ self.decoder + self.bias

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_in"]:
        """Rows of the decoder."""
        return self.decoder[indices]


def latent_scaling(folder: Path) -> Samples:
    """Of either side, of models that are scaled alike or not; and an SAE of differences."""
    for side, scales in (("right", (0.5, 0.5)), ("left", (0.7, 0.2))):
        sae = ToyCrosscoder(scales, shifted=True)
        given = LatentScalingOptions(pair="p", sae="both", side=side, minimum=3, groups=4, table=5)
        yield _case(sae, given)
    sae = ToyCrosscoder(join="difference")
    yield _case(sae, LatentScalingOptions(pair="p", sae="both", minimum=3, groups=4))


def toy_batch(sae: ToyCrosscoder, seed: int, dtype: torch.dtype = torch.float64) -> Batch:
    """Tokens of four documents on both sides; one is not selected."""
    random = torch.Generator().manual_seed(seed)
    d = sae.facts.inputs[0].width
    left, right = (torch.randn(24, d, generator=random, dtype=dtype) for _ in range(2))
    return array_batch(
        [0] * 7 + [1] * 3 + [2] * 6 + [3] * 8,
        {SITE: left},
        {SITE: left + right},
        pair_saes={"both": sae},
        selected=[n for n in range(24) if n != 5],
        documents=[f"{seed}-{n}" for n in range(4)],
    )


def _case(sae: ToyCrosscoder, given: LatentScalingOptions) -> partial[None]:
    batches = [toy_batch(sae, seed) for seed in range(3)]
    inputs = Inputs(saes={"both": sae}, sae_sites={"both": SITE})
    reference = partial(by_the_letter, sae=sae, side=given.side)
    return partial(check_statistic, LatentScaling(given), *batches, reference=reference,
                   inputs=inputs)  # fmt: skip


def by_the_letter(
    batches: Sequence[Batch], *, sae: ToyCrosscoder, side: Literal["left", "right"]
) -> dict[str, Any]:
    """ν and β of every latent, each by least squares on all tokens of all dimensions."""
    xs = dict(
        zip(SIDES, map(np.concatenate, zip(*map(_selected, batches), strict=True)), strict=True)
    )
    facts, rows, bias = sae.facts, sae.decoder.double().numpy(), sae.bias.double().numpy()
    d, across = len(bias) // len(facts.columns()), "left" if side == "right" else "right"
    if facts.join == "difference":
        f = sae.encode(torch.from_numpy(xs["right"] - xs["left"])).dense().double().numpy()
        betas = {m: _fits(f, xs[m], rows) for m in SIDES}
        return {"ratio_activation_raw": betas[across] / betas[side]}
    f = sae.encode(torch.from_numpy(np.concatenate([xs[m] for m in SIDES], 1))).dense().numpy()
    out: dict[str, Any] = {}
    for space in ("raw", "normalised"):
        g = dict(zip(SIDES, facts.scales if space == "normalised" else (1.0, 1.0), strict=True))
        taken = facts.shifts if space == "normalised" and facts.shifts else ((0.0,) * d,) * 2
        shift = {m: np.array(one) for m, one in zip(SIDES, taken, strict=True)}
        part = {"left": slice(0, d), "right": slice(d, 2 * d)}
        x = {m: (xs[m] - shift[m]) * g[m] for m in SIDES}
        decoder = {m: rows[:, part[m]] * g[m] for m in SIDES}
        b = {m: (bias[part[m]] - shift[m]) * g[m] for m in SIDES}
        betas = {}
        for m in SIDES:
            hat = f @ decoder[m] + b[m]
            errors = [x[m] - (hat - np.outer(f[:, j], decoder[m][j])) for j in range(f.shape[1])]
            for target, y in (
                ("activation", x[m]),
                ("reconstruction", hat),
                ("activation_no_bias", x[m] - b[m]),
                ("reconstruction_no_bias", hat - b[m]),
                ("error", errors),
            ):
                betas[m, target] = _fits(f, y, decoder[side])
        for target in dict.fromkeys(target for _, target in betas):
            out[f"own_{target}_{space}"] = betas[side, target]
            out[f"other_{target}_{space}"] = betas[across, target]
            out[f"ratio_{target}_{space}"] = betas[across, target] / betas[side, target]
    return out


def _selected(batch: Batch) -> list[np.ndarray]:
    assert batch.right is not None
    sides = (batch.left, batch.right)
    return [one.x(SITE)[batch.selected].double().numpy() for one in sides]


def _fits(f: np.ndarray, y: Any, rows: np.ndarray) -> np.ndarray:
    """For each latent the β that minimises Σ_t ‖Y_t − β f_t d‖²; y may differ by latent."""
    out = []
    for j, row in enumerate(rows):
        target = y[j] if isinstance(y, list) else y
        column = np.outer(f[:, j], row).reshape(-1, 1)
        found = np.linalg.lstsq(column, target.reshape(-1), rcond=None)[0][0]
        out.append(found if column.any() else np.nan)
    return np.array(out)
