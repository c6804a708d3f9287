"""A model of a few lines: blocks with post-norms, run under the edits and checks of an arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from harness.contract import Arm, Direction, Latents, ModelFacts, SaeFacts, Site

LAYERS, WIDTH = 4, 16


@dataclass
class Toy:
    """x ← x + norm(attn(x)) and x ← x + norm(mlp(x)), where `gains` may be absent."""

    weights: list[dict[str, torch.Tensor]]
    post_norm: bool
    facts = ModelFacts(layers=LAYERS, d_model=WIDTH)

    def run(self, x: torch.Tensor, arm: Arm) -> tuple[torch.Tensor, dict[str, float]]:
        """The last block's output, and the largest value that each check measured."""
        measured: dict[str, float] = {}

        def at(kind: str, layer: int, x: torch.Tensor) -> torch.Tensor:
            site = Site(kind, layer)
            for check in arm.checks:
                if check.site == site:
                    value = float(check.measure(x, _rows(check.parameters, len(x))).max())
                    measured[check.name] = max(value, measured.get(check.name, 0.0))
            for edit in arm.edits:
                if edit.site == site:
                    x = edit.apply(x, _rows(edit.parameters, len(x)))
            return x

        for layer, weights in enumerate(self.weights):
            x = at("resid_pre", layer, x)
            for part in ("attn", "mlp"):
                out = at(f"{part}_raw", layer, torch.tanh(x @ weights[part].to(x.dtype)))
                if self.post_norm:
                    norm = out.float().pow(2).mean(-1, keepdim=True).sqrt()
                    out = (out / norm * weights["gain"]).to(x.dtype)
                x = x + at(f"{part}_out", layer, out)
            x = at("resid_post", layer, x)
        return x, measured


def _rows(parameters, rows):
    return {name: torch.stack([tensor] * rows) for name, tensor in parameters.items()}


@pytest.fixture(scope="session")
def make_toy() -> Callable[..., Toy]:
    def make(post_norm: bool = True) -> Toy:
        generator = torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
        weights = [
            {"attn": draw(WIDTH, WIDTH), "mlp": draw(WIDTH, WIDTH), "gain": 1 + draw(WIDTH).abs()}
            for _ in range(LAYERS)
        ]
        return Toy(weights, post_norm)

    return make


@pytest.fixture(scope="session")
def make_direction() -> Callable[..., Direction]:
    def make(
        rank: int = 1, site: str = "resid_post", seed: int = 0, d: int = WIDTH, **rest: object
    ) -> Direction:
        vectors = 5 * np.random.default_rng(seed).normal(size=(rank, d))
        return Direction(Site(site, 2), vectors, **rest)

    return make


@pytest.fixture(scope="session")
def facts() -> ModelFacts:
    return ModelFacts(layers=LAYERS, d_model=WIDTH)


class SmallSae:
    """ReLU(x W − 0.05), with an input norm that is put back where `scaled`."""

    def __init__(self, scaled: bool = False, **facts: object) -> None:
        generator = torch.Generator().manual_seed(0)
        self.facts = SaeFacts("small", WIDTH, 24, Site("resid_post", 2), **facts)
        self.fingerprint, self.notes = "small", ()
        self.w = torch.randn(WIDTH, 24, generator=generator) / 4
        self.bias = torch.randn(WIDTH, generator=generator)
        self.scaled = scaled

    def encode(self, x):
        scale = x.norm(dim=1) if self.scaled else torch.ones(len(x))
        scale = torch.where(scale > 0, scale, 1)
        return Latents.from_dense(((x / scale[:, None]) @ self.w - 0.05).relu(), scale=scale)

    def reconstruct(self, latents):
        return (latents.dense() @ self.w.T + self.bias) * latents.context["scale"][:, None]

    def rows(self, indices):
        return self.w.T[indices]

    def slow(self, token: np.ndarray, latent: int) -> tuple[float, np.ndarray]:
        """z_j of one token and what one unit of it adds to x̂, in float64."""
        wide, row = token.astype(np.float64), self.w.double().numpy()[:, latent]
        scale = float(np.linalg.norm(wide)) if self.scaled else 1.0
        return max(0.0, float(wide / (scale or 1.0) @ row) - 0.05), scale * row


@pytest.fixture(scope="session")
def make_sae() -> Callable[..., SmallSae]:
    return SmallSae


@pytest.fixture(scope="session")
def applied() -> Callable[[Arm, torch.Tensor], torch.Tensor]:
    """What the only edit of an arm makes of activations."""

    def apply(arm: Arm, x: torch.Tensor) -> torch.Tensor:
        (edit,) = arm.edits
        return edit.apply(x, _rows(edit.parameters, len(x)))

    return apply


@pytest.fixture(scope="session")
def stacked() -> Callable[..., dict[str, torch.Tensor]]:
    def stack(rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    return stack
