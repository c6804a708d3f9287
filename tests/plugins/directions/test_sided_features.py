"""Features of one side of a crosscoder and their shared controls, against slow float64 sums."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from harness.contract import Batch, Direction, Inputs, SaeFacts, SaeInput, Site, Stream, Undefined
from harness.contract.latents import Latents
from harness.errors import ModelError, TaskError
from harness.testing import array_batch, check_direction
from harness_directions.options import (
    SharedFeaturesOptions,
    SidedFeaturesOptions,
    without_two_rows,
)
from harness_directions.sided_features import SharedFeatures, SidedFeatures

SITE = Site("resid_post", 1)
D, D_SAE = 5, 60
SCALES = (2.0, 0.5)


class Crosscoder:
    """Latents are positive coordinates of a linear map; rows of every kind on both sides."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(1)
        self.encoder = torch.randn(2 * D, D_SAE, generator=random)
        self.decoder = torch.randn(D_SAE, 2 * D, generator=random)
        self.decoder *= torch.rand(D_SAE, 1, generator=random) + 0.1
        self.decoder[:20, :D] *= 0.01  # of the right side
        self.decoder[20:30, D:] *= 0.01  # of the left side
        # Shared in the space that it was trained in, where the sides are scaled by 2 and ½.
        self.decoder[30:, D:] = 4 * self.decoder[30:, :D].flip(1)
        self.decoder[59] = 0
        sides = (SaeInput("left", width=D), SaeInput("right", width=D))
        self.facts = SaeFacts("crosscoder", 2 * D, D_SAE, SITE, inputs=sides, scales=SCALES)

    fingerprint, notes = "crosscoder", ()

    def encode(self, x: torch.Tensor) -> Latents:
        z = (x @ self.encoder - 3).relu()
        z[:, 3] = 0  # never active, though of the right side
        return Latents.from_dense(z)

    def reconstruct(self, latents: Latents) -> torch.Tensor:
        return latents.dense() @ self.decoder

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        return self.decoder[indices]


SAE = Crosscoder()
INPUTS = Inputs(saes={"both": SAE}, sae_sites={"both": SITE}, seed=3)


def batch(seed: int = 0) -> Batch:
    """What a pair's SAE makes of both sides is the same on both: here the left one has it."""
    x = torch.randn(20, 2 * D, generator=torch.Generator().manual_seed(seed))
    return array_batch([0] * 9 + [1] * 4 + [2] * 7, {SITE: x}, {SITE: x}, saes={"both": SAE},
                       selected=[i for i in range(20) if i != 4])  # fmt: skip


def sided(**more: Any) -> SidedFeatures:
    return SidedFeatures(SidedFeaturesOptions(pair="p", sae="both", **more))


def shared(**more: Any) -> SharedFeatures:
    return SharedFeatures(SharedFeaturesOptions(pair="p", sae="both", **more))


def slow(seeds: tuple[int, ...], side: str) -> list[tuple[int, float, float, float]]:
    """(feature, Δ towards the side, written, active share), in plain Python."""
    columns = {"left": range(D), "right": range(D, 2 * D)}
    scales = dict(zip(("left", "right"), SCALES, strict=True))
    other = "left" if side == "right" else "right"
    out = []
    for j, row in enumerate(SAE.decoder.double().tolist()):
        lengths = {s: math.sqrt(sum(row[i] ** 2 for i in columns[s])) for s in columns}
        a, b = (lengths[s] * scales[s] for s in (other, side))
        total, active, tokens = 0.0, 0, 0
        for seed in seeds:
            z = SAE.encode(batch(seed).left.x(SITE)[batch(seed).selected]).dense()[:, j].tolist()
            total, active, tokens = total + sum(z), active + sum(v > 0 for v in z), tokens + len(z)
        delta = 0.5 * ((b - a) / max(a, b) + 1) if max(a, b) else math.nan
        out.append((j, delta, total / tokens * lengths[side], active / tokens))
    return out


def found(finder: Any, *seeds: int) -> Any:
    state = finder.start(INPUTS)
    for seed in seeds:
        state = finder.update(state, batch(seed))
    return finder.finish(state, INPUTS)


@pytest.mark.parametrize(("side", "k"), [("right", 1), ("right", 6), ("left", 4)])
def test_those_of_a_side_that_write_most(side: str, k: int) -> None:
    outcome = found(sided(side=side, k=k), 0, 7)
    known = slow((0, 7), side)
    mine = sorted((r for r in known if r[1] > 0.9 and r[3] > 0), key=lambda r: (-r[2], r[0]))
    direction = outcome.directions[0].direction
    assert isinstance(direction, Direction)
    assert direction.features == tuple(r[0] for r in mine[:k])
    columns = slice(0, D) if side == "left" else slice(D, 2 * D)
    expected = SAE.decoder[list(direction.features), columns].double().numpy()
    np.testing.assert_array_equal(direction.vectors, expected)
    (count,) = outcome.records
    assert (count.id, count.value, count.n) == ("sided_latents@1", len(mine), 38)
    assert 3 not in [r[0] for r in mine], "never active"
    for row, r in zip(outcome.tables["features"], mine[:k], strict=True):
        got = [row[name] for name in ("feature", "towards_side", "written", "active")]
        assert got == pytest.approx(r, rel=1e-6)


def test_controls_are_shared_and_write_about_as_much() -> None:
    outcome = found(shared(k=5, draws=8), 0, 7)
    known = slow((0, 7), "right")
    chosen = found(sided(k=5), 0, 7).directions[0].direction.features
    alike = {r[0]: r[2] for r in known if abs(r[1] - 0.5) <= 0.1 and r[3] > 0}
    drawn = [one.direction.features for one in outcome.directions]
    assert [one.axes for one in outcome.directions] == [{"draw": draw} for draw in range(8)]
    assert len(set(drawn)) > 1
    for features in drawn:
        assert set(features) <= alike.keys()
        assert len(set(features)) == 5
    # The first of each is among the ten nearest to what the first chosen one writes.
    aim = math.log(known[chosen[0]][2])
    near = sorted(alike, key=lambda j: abs(math.log(alike[j]) - aim))[:10]
    assert {features[0] for features in drawn} <= set(near)
    assert [one.direction.features for one in found(shared(k=5, draws=8), 0, 7).directions] == drawn


@pytest.mark.parametrize("make", [sided, shared])
def test_the_laws_of_directions(make: Any) -> None:
    variants = [{"draw": draw} for draw in range(3)] if make is shared else [{}]
    finder = make(k=4, **({"draws": 3} if make is shared else {}))
    check_direction(finder, [batch(0), batch(1), batch(2)], INPUTS, variants=variants)


@pytest.mark.parametrize("make", [sided, shared])
def test_what_does_not_exist_says_why(make: Any) -> None:
    for outcome, why in (
        (found(make(k=2)), "no token of the pair"),
        (
            found(make(k=50), 0),
            "here belong to the right side alone, so 50",
        ),
    ):
        for one in outcome.directions:
            assert isinstance(one.direction, Undefined)
            assert why in one.direction.reason


def test_too_few_are_shared() -> None:
    poor = Crosscoder()
    poor.decoder[34:, :D] *= 0.01
    finder = shared(k=10)
    state = finder.update(finder.start(INPUTS), batch(0))
    (one, *_) = finder.finish(state, replace(INPUTS, saes={"both": poor})).directions
    assert isinstance(one.direction, Undefined)
    assert "other latents are shared" in one.direction.reason


def test_what_has_no_row_on_both_sides_is_refused() -> None:
    facts = SAE.facts
    assert without_two_rows(facts, "s") is None
    assert without_two_rows(SaeFacts(), "s") is None, "its files are not here"
    wrong = (
        replace(facts, join="difference", d_in=D),
        replace(facts, one_sided=True),
        SaeFacts(d_in=D, d_sae=D_SAE),
    )
    for one in wrong:
        view = SimpleNamespace(sae_facts=lambda name, one=one: one,
                               pair=lambda name: Stream("pair", "l", "web", right="r"))  # fmt: skip
        with pytest.raises(TaskError, match=r"sae: is both, whose features have no decoder row"):
            sided(k=1).options.reads(view)  # type: ignore[arg-type]
    poor = Inputs(saes={"both": SimpleNamespace(facts=wrong[1])}, sae_sites={"both": SITE})
    with pytest.raises(ModelError, match="no decoder row for each side"):
        sided(k=1).finish({}, poor)


def test_the_last_token_alone_and_too_many_latents() -> None:
    view = SimpleNamespace(sae_facts=lambda name: SAE.facts,
                           pair=lambda name: Stream("pair", "l", "web", right="r"))  # fmt: skip
    reads = sided(k=60, tokens="last").options.reads(view)  # type: ignore[arg-type]
    assert reads.streams == (Stream("pair", "l", "web", right="r", tokens="last"),)
    with pytest.raises(TaskError, match=r"k: is 61, .* Allowed: 1 to 60\.$"):
        sided(k=61).options.reads(view)  # type: ignore[arg-type]


def test_sided_and_shared_do_not_overlap() -> None:
    with pytest.raises(ValueError, match=r"at most 0\.5"):
        SharedFeaturesOptions(pair="p", sae="s", k=1, one_sided=0.3, shared=0.3)
