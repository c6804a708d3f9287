"""The most shifted features and their matched controls, against dense float64 sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from harness.contract import Direction, Inputs, SaeFacts, Site, Stream, Undefined
from harness.contract.latents import Latents
from harness.errors import TaskError
from harness.testing.support.batches import array_batch, only
from harness_directions.options import (
    MatchedFeaturesOptions as MatchedOptions,
    ShiftedFeaturesOptions as ShiftedOptions,
)
from harness_directions.shifted_features import MatchedFeatures, ShiftedFeatures

SITE = Site("resid_post", 1)
D_SAE, D = 40, 6


@dataclass
class Relu:
    """Latents are the positive coordinates of a fixed linear map."""

    facts: SaeFacts = field(default_factory=lambda: SaeFacts(d_in=D, d_sae=D_SAE, site=SITE))
    fingerprint: str = "relu"
    notes: tuple[str, ...] = ()
    weights: torch.Tensor = field(
        default_factory=lambda: torch.randn(D, D_SAE, generator=torch.Generator().manual_seed(1))
    )

    def encode(self, x: torch.Tensor) -> Latents:
        return Latents.from_dense((x @ self.weights - 1).relu())

    def reconstruct(self, latents: Latents) -> torch.Tensor:
        return latents.dense() @ self.weights.T

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        return self.weights.T[indices]


SAE = Relu()
INPUTS = Inputs(saes={"mid": SAE}, sae_sites={"mid": SITE}, seed=3)


def batch(seed: int = 0, shift: float = 1.0) -> Any:
    random = torch.Generator().manual_seed(seed)
    document = [0] * 9 + [1] * 4 + [2] * 7
    left = torch.randn(20, D, generator=random)
    right = left + shift * torch.randn(20, D, generator=random)
    return array_batch(document, {SITE: left}, {SITE: right}, saes={"mid": SAE})


def shifted(**more: Any) -> ShiftedFeatures:
    return ShiftedFeatures(ShiftedOptions(pair="p", sae="mid", **more))


def matched(**more: Any) -> MatchedFeatures:
    return MatchedFeatures(MatchedOptions(pair="p", sae="mid", **more))


def reference(seeds: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    change, active, tokens = np.zeros(D_SAE), np.zeros(D_SAE), 0
    for seed in seeds:
        one = batch(seed)
        z, w = (side.latents("mid").dense().double().numpy() for side in (one.left, one.right))
        change += ((w - z) ** 2).sum(0)
        active += (z > 0).sum(0)
        tokens += len(z)
    return change / tokens, active


def state_of(finder: Any, batches: list[Any]) -> Any:
    state = finder.start(INPUTS)
    for one in batches:
        state = finder.update(state, one)
    return state


@pytest.mark.parametrize("n", [1, 5, 20])
def test_the_most_shifted_are_those_of_the_dense_sums(n: int) -> None:
    finder = shifted(n=n)
    outcome = finder.finish(state_of(finder, [batch(0), batch(7)]), INPUTS)
    change, active = reference((0, 7))
    direction = outcome.directions[0].direction
    assert isinstance(direction, Direction)
    assert direction.features == tuple(np.argsort(-change)[:n])
    assert np.allclose(direction.vectors, SAE.weights.T[list(direction.features)].double())
    for row in outcome.tables["features"]:
        assert row["mean_squared_change"] == pytest.approx(change[row["feature"]], rel=1e-6)
        assert row["active"] == active[row["feature"]]


def test_any_split_and_order_gives_the_same() -> None:
    finder = shifted(n=8)
    whole = state_of(finder, [batch(0)])
    parts = [state_of(finder, [only(batch(0), [i])]) for i in (2, 0, 1)]
    merged = finder.merge(finder.merge(parts[0], parts[1]), parts[2])
    for name, array in whole.items():
        assert np.allclose(array, merged[name], rtol=1e-12)


def test_controls_are_others_that_are_active_as_often() -> None:
    finder = matched(n=8, draws=6)
    outcome = finder.finish(state_of(finder, [batch(0), batch(7)]), INPUTS)
    change, active = reference((0, 7))
    chosen = set(np.argsort(-change)[:8].tolist())
    drawn = [found.direction.features for found in outcome.directions]
    assert len(set(drawn)) > 1
    for features in drawn:
        assert len(set(features)) == 8
        assert not chosen & set(features)
        assert (active[list(features)] > 0).all()
    # Nearer in frequency than features drawn from all others.
    aim = np.log(active[sorted(chosen)].clip(1)).mean()
    others = [i for i in np.flatnonzero(active) if i not in chosen]
    mine = np.mean([np.log(active[list(features)]).mean() for features in drawn])
    assert abs(mine - aim) <= abs(np.log(active[others]).mean() - aim) + 0.05
    again = finder.finish(state_of(finder, [batch(0), batch(7)]), INPUTS)
    assert [found.direction.features for found in again.directions] == drawn


@pytest.mark.parametrize("make", [shifted, matched])
def test_what_does_not_exist_says_why(make: Any) -> None:
    finder = make(n=5)
    nothing = finder.finish(finder.start(INPUTS), INPUTS)
    same = finder.finish(state_of(finder, [batch(0, shift=0.0)]), INPUTS)
    for outcome, why in ((nothing, "no token"), (same, "only 0 latents change")):
        for found in outcome.directions:
            assert isinstance(found.direction, Undefined)
            assert why in found.direction.reason


def test_too_few_to_match() -> None:
    finder = matched(n=30)
    (found, *_) = finder.finish(state_of(finder, [batch(0)]), INPUTS).directions
    assert isinstance(found.direction, Undefined)
    assert "too few to draw 30 others" in found.direction.reason


def test_more_features_than_there_are_are_told_before_a_run() -> None:
    """CASES row 27, its kind: `n` above `d_sae` passed `check` and came out undefined."""

    def asked(finder: ShiftedFeatures | MatchedFeatures, d_sae: int | None) -> Any:
        view = SimpleNamespace(
            pair=lambda name: Stream("pair", "left", "web", right="right"),
            sae_facts=lambda name: SaeFacts(d_sae=d_sae),
        )
        return finder.options.reads(view)  # type: ignore[arg-type]

    for n, d_sae in ((6, 6), (7, None)):
        asked(shifted(n=n), d_sae)
    with pytest.raises(TaskError, match=r"n: is 7, .* 6 features. Allowed: 1 to 6\.$"):
        asked(shifted(n=7), 6)
    for n, d_sae in ((3, 6), (3, 7), (7, None)):
        asked(MatchedFeatures(MatchedOptions(pair="p", sae="mid", n=n)), d_sae)
    for n, d_sae in ((4, 7), (4, 6)):
        matched = MatchedFeatures(MatchedOptions(pair="p", sae="mid", n=n))
        with pytest.raises(TaskError, match=rf"n: is 4, .* the {d_sae} features .* 1 to 3\.$"):
            asked(matched, d_sae)
