"""`latent_scaling` against fits latent by latent, the laws of METHODS 2, and its refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.contract import Batch, Inputs, Latents, Outcome, SaeFacts, SaeInput, Site
from harness.errors import ModelError
from harness.testing import array_batch
from harness_statistics.latent_scaling.coefficients import TARGETS, Coefficients
from harness_statistics.latent_scaling.kinds import Limits, best_first, kinds_of
from harness_statistics.latent_scaling.latent_scaling import LatentScaling
from harness_statistics.latent_scaling.options import LatentScalingOptions, unscalable
from harness_statistics.latent_scaling.samples import (
    SITE,
    ToyCrosscoder,
    by_the_letter,
    latent_scaling,
    toy_batch,
)

D = 4
V = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=torch.float64), dim=0)


class Planted:
    """A crosscoder without bias whose latents read the right side along V."""

    fingerprint, notes = "planted", ()

    def __init__(self, *rows: tuple[float, float]) -> None:
        """For each latent how long its row along V is on the left and on the right."""
        self.decoder = torch.stack([torch.cat([left * V, right * V]) for left, right in rows])
        inputs = (SaeInput("left", width=D), SaeInput("right", width=D))
        self.facts = SaeFacts("crosscoder", 2 * D, len(rows), SITE, inputs=inputs)

    def encode(self, x: torch.Tensor) -> Latents:
        return Latents.from_dense((x[:, D:] @ V).relu()[:, None].repeat(1, len(self.decoder)))

    def reconstruct(self, latents: Latents) -> torch.Tensor:
        return latents.dense() @ self.decoder

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        return self.decoder[indices]


def ran(sae: Any, batches: list[Batch], **options: Any) -> Outcome:
    statistic = LatentScaling(LatentScalingOptions(pair="p", sae="both", **options))
    inputs = Inputs(saes={"both": sae}, sae_sites={"both": SITE})
    state = statistic.start(inputs)
    for batch in batches:
        state = statistic.update(state, batch)
    return statistic.finish(state, inputs)


def planted(sae: Planted, left: float, documents: int = 24) -> Outcome:
    """x_right = a·V; x_left = `left`·a·V, and something across V in both."""
    a = torch.linspace(0.5, 3, 5 * documents, dtype=torch.float64)[:, None]
    beside = torch.randn(len(a), D, generator=torch.Generator().manual_seed(0)).double()
    beside -= (beside @ V)[:, None] * V
    batch = array_batch(
        [n // 5 for n in range(len(a))],
        {SITE: left * a * V + beside},
        {SITE: a * V + beside},
        pair_saes={"both": sae},
    )
    return ran(sae, [batch])


def values(outcome: Outcome, id: str, **axes: str) -> list[float | None]:
    return [
        one.value
        for one in outcome.records
        if one.id == id and axes.items() <= dict(one.axes).items()
    ]


# ── Laws ──


@pytest.mark.parametrize(
    ("rows", "left", "expected", "kind"),
    [
        pytest.param([(0.0, 1.0)], 0.4, (0.4, 0.0), "shrinkage", id="complete shrinkage"),
        pytest.param([(0.0, 1.0), (1.0, 0.0)], 1.0, (0.0, 1.0), "decoupling", id="decoupling"),
        pytest.param([(0.0, 1.0)], 0.0, (0.0, 0.0), "genuine", id="absent in the base"),
    ],
)
def test_law_planted(rows: Any, left: float, expected: tuple[float, float], kind: str) -> None:
    found = planted(Planted(*rows), left)
    ratios = [found.arrays[f"ratio_{target}_normalised"][0] for target in TARGETS[:2]]
    assert ratios == pytest.approx(expected, abs=1e-12)
    assert found.tables["latents"][0]["kind"] == kind
    for space in ("normalised", "raw"):
        assert values(found, "latent_scaling.share@1", kind=kind, space=space) == [1.0]


def test_law_of_equal_sides_the_activation_ratio_is_one() -> None:
    """Base against base: whatever the crosscoder says, both sides have as much of each latent."""
    sae = ToyCrosscoder(width=30)
    batches = []
    for seed in range(3):
        x = torch.randn(20, 6, generator=torch.Generator().manual_seed(seed)).double()
        names = [f"{seed}-{n}" for n in range(4)]
        batches.append(
            array_batch([n // 5 for n in range(20)], {SITE: x}, {SITE: x}, documents=names,
                        pair_saes={"both": sae})
        )  # fmt: skip
    found = ran(sae, batches, minimum=2)
    active = found.arrays["active"] > 0
    ratio = found.arrays["ratio_activation_raw"]
    np.testing.assert_allclose(ratio[active], 1.0, rtol=1e-9)
    assert np.isnan(ratio[~active]).all()
    medians = [
        r for r in found.records if r.id == "latent_scaling.ratio@1"
        and r.axes["target"] == "activation" and r.axes["space"] == "raw"
    ]  # fmt: skip
    assert [one.value for one in medians] == pytest.approx([1.0] * len(medians))
    assert {one.null["value"] for one in medians if one.null} == {1.0}
    # A crosscoder that rebuilds both sides alike calls nothing the tuned model's own.
    assert values(planted(Planted((0.0, 1.0)), 1.0), "latent_scaling.share@1", kind="genuine",
                  space="raw") == [0.0]  # fmt: skip


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_coefficient_is_the_fit_by_the_letter(side: Any) -> None:
    sae = ToyCrosscoder((0.7, 0.2), shifted=True)
    batches = [toy_batch(sae, seed) for seed in range(2)]
    found = ran(sae, batches, side=side, groups=3).arrays
    for name, expected in by_the_letter(batches, sae=sae, side=side).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-8, atol=1e-10, err_msg=name)


def test_activations_of_float32_cost_no_more_than_their_rounding() -> None:
    sae = ToyCrosscoder((0.7, 0.2), shifted=True, dtype=torch.float32)
    sae.bias *= 30  # large beside the rows, as a real one
    batches = [toy_batch(sae, seed, torch.float32) for seed in range(2)]
    found = ran(sae, batches).arrays
    for name, expected in by_the_letter(batches, sae=sae, side="right").items():
        if name.startswith(("own", "other")):
            np.testing.assert_allclose(found[name], expected, rtol=2e-4, atol=2e-4, err_msg=name)


@pytest.mark.slow
def test_the_laws_of_statistics() -> None:
    for one in latent_scaling(Path()):
        one()


# ── Kinds ──

LIMITS = Limits(0.1, 0.1, 0.2, 0.5, 10)


def given(error: list[float], rebuilt: list[float]) -> Coefficients:
    ones = np.ones(len(error))
    other = {"error": np.array(error), "reconstruction": np.array(rebuilt)}
    return Coefficients({"error": ones, "reconstruction": ones}, other)


def test_kinds_at_their_limits() -> None:
    nan = math.nan
    error = [0.19, 0.2, 0.0, 0.3, -0.11, 2.1, nan, 0.0, 0.0, -0.1]
    rebuilt = [0.49, 0.0, 0.5, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    active = np.array([10, 99, 99, 99, 99, 99, 99, 9, 99, 10])
    own = np.array([True] * 8 + [False, True])
    kinds = kinds_of(given(error, rebuilt), active, own, LIMITS)
    assert kinds.tolist() == [
        "genuine", "shrinkage", "decoupling", "both", "dropped", "dropped", "dropped", "rare", "",
        "genuine",
    ]  # fmt: skip


def test_the_most_genuine_come_first_and_those_without_a_ratio_last() -> None:
    found = given([0.3, 0.0, math.nan, 0.1, 0.0], [0.1, 0.2, 0.0, 0.0, 0.9])
    assert best_first(found, np.array([True, True, True, True, False])).tolist() == [3, 1, 0, 2]


# ── Records ──


def test_shares_are_of_the_latents_of_the_side_and_have_intervals() -> None:
    sae = ToyCrosscoder((0.5, 0.4), width=30)
    found = ran(sae, [toy_batch(sae, seed) for seed in range(6)], minimum=5)
    for space in ("normalised", "raw"):
        shares = [
            one for one in found.records
            if one.id == "latent_scaling.share@1" and one.axes["space"] == space
        ]  # fmt: skip
        assert len(shares) == 6
        assert sum(one.value or 0.0 for one in shares) == pytest.approx(1.0)
        assert {(one.n, one.n_of, one.clusters) for one in shares} == {(10, "latents", 24)}
        assert all((one.ci is None) != (one.ci_why is None) for one in shares)
        assert any(one.ci for one in shares)
        kinds = found.arrays[f"kind_{space}"]
        assert np.count_nonzero(kinds >= 0) == 10
        lost = values(found, "latent_scaling.dropped@1", space=space, target="error")
        assert len(lost) == 2
    assert all(0 <= one <= 1 for one in lost if one is not None)


def test_without_latents_of_the_side_shares_are_undefined() -> None:
    found = planted(Planted((1.0, 1.0)), 1.0)
    shares = [one for one in found.records if one.id == "latent_scaling.share@1"]
    assert {one.undefined for one in shares} == {"no latent writes to the right side alone"}
    assert values(found, "latent_scaling.ratio@1", place="shared", target="error", space="raw") == [
        pytest.approx(1.0)
    ]


def test_of_an_sae_of_differences_there_is_one_ratio_and_the_mean() -> None:
    sae = ToyCrosscoder(join="difference")
    batches = [toy_batch(sae, seed) for seed in range(4)]
    found = ran(sae, batches, minimum=2)
    u = np.concatenate(
        [(b.right.x(SITE) - b.left.x(SITE))[b.selected].numpy() for b in batches]  # type: ignore[union-attr]
    )
    (mean,) = values(found, "latent_scaling.mean_share@1")
    assert mean == pytest.approx(np.square(u.mean(0)).sum() / np.square(u).sum(1).mean())
    assert {one.axes.get("space", "raw") for one in found.records} == {"raw"}
    ratio = found.arrays["ratio_activation_raw"][found.arrays["active"] >= 2]
    kept = ratio[(ratio >= -0.1) & (ratio <= 2)]
    (small,) = values(found, "latent_scaling.small@1")
    assert small == pytest.approx(np.mean(np.abs(kept) < 0.2))
    shown = [abs(row["ratio_activation"]) for row in found.tables["latents"][: len(kept)]]
    assert shown == sorted(shown)


# ── Refusals ──


def test_other_saes_are_refused() -> None:
    facts = ToyCrosscoder().facts
    assert unscalable(facts, "x") is None
    assert unscalable(SaeFacts(), "x") is None, "nothing is known yet"
    for wrong, what in (
        (replace(facts, one_sided=True), "DECOUPLED"),
        (SaeFacts(d_in=8, d_sae=16), "one model"),
        (SaeFacts(d_in=8, inputs=(SaeInput(site=Site("resid_post", 1)),) * 2), "one model"),
    ):
        problem = unscalable(wrong, "x")
        assert problem is not None
        assert what in problem.what
    sae = ToyCrosscoder()
    sae.facts = replace(sae.facts, one_sided=True)
    with pytest.raises(ModelError, match="DECOUPLED"):
        ran(sae, [])


def test_rows_that_are_scaled_by_token_are_refused() -> None:
    sae = ToyCrosscoder()
    plain = sae.encode
    scaled = lambda x: replace(plain(x), context={"scale": x[:, :1]})  # noqa: E731
    sae.encode = scaled  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="scales each token"):
        ran(sae, [toy_batch(sae, 0)])


def test_limits_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        LatentScalingOptions(pair="p", sae="x", one_sided=0.3, shared=0.3)
