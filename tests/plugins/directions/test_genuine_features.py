"""Features that are one model's own, and their controls, against the coefficients by the letter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contract import Direction, Inputs, Outcome, Undefined
from harness.errors import ModelError
from harness_directions.genuine_features import GenuineFeatures, OtherFeatures
from harness_directions.options import GenuineFeaturesOptions, OtherFeaturesOptions
from harness_directions.samples import genuine_features, other_features
from harness_statistics.latent_scaling.samples import SITE, ToyCrosscoder, by_the_letter, toy_batch

D, WIDTH = 6, 60
SAE = ToyCrosscoder((0.7, 0.2), shifted=True, width=WIDTH)
BATCHES = [toy_batch(SAE, seed) for seed in range(3)]
INPUTS = Inputs(saes={"both": SAE}, sae_sites={"both": SITE}, seed=4)
LIMITS = {"minimum": 4, "error": 0.4, "reconstruction": 0.7}


def found(
    finder: type, options: type, *, inputs: Inputs = INPUTS, read: int = 3, **given: Any
) -> Outcome:
    made = finder(options(pair="p", sae="both", **LIMITS, **given))
    state = made.start(inputs)
    for batch in BATCHES[:read]:
        state = made.update(state, batch)
    return made.finish(state, inputs)


def genuine(**given: Any) -> Outcome:
    return found(GenuineFeatures, GenuineFeaturesOptions, **given)


def other(**given: Any) -> Outcome:
    return found(OtherFeatures, OtherFeaturesOptions, **given)


def slow(side: str) -> dict[int, tuple[str, float, float, float]]:
    """By latent of the side: its kind, what it writes, and both ratios; in plain Python."""
    letter = by_the_letter(BATCHES, sae=SAE, side=side)  # type: ignore[arg-type]
    parts = {"left": slice(0, D), "right": slice(D, 2 * D)}
    scales = dict(zip(("left", "right"), SAE.facts.scales or (), strict=True))
    across = "left" if side == "right" else "right"
    z = np.concatenate([b.left.latents("both").dense().numpy() for b in BATCHES])
    out = {}
    for j, row in enumerate(SAE.decoder.numpy()):
        own, others = (scales[s] * np.linalg.norm(row[parts[s]]) for s in (side, across))
        if 0.5 * ((own - others) / max(own, others) + 1) <= 0.9:
            continue
        error, rebuilt = (letter[f"ratio_{t}_normalised"][j] for t in ("error", "reconstruction"))
        kind = "genuine" if error < 0.4 and rebuilt < 0.7 else "artefact"
        if not all(-0.1 <= one <= 2 for one in (error, rebuilt)):
            kind = "dropped"
        if (z[:, j] > 0).sum() < 4:
            kind = "rare"
        written = z[:, j].mean() * np.linalg.norm(row[parts[side]])
        out[j] = (kind, float(written), float(error), float(rebuilt))
    return out


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["genuine", "artefact"])
def test_those_of_a_kind_that_write_most(side: str, kind: str) -> None:
    known = slow(side)
    mine = sorted((j for j in known if known[j][0] == kind), key=lambda j: -known[j][1])
    assert mine, "the toy has some of either"
    outcome = genuine(side=side, kind=kind, k=len(mine))
    (record,) = outcome.records
    assert (record.id, record.value, record.n) == ("genuine_latents@1", len(mine), 69)
    direction = outcome.directions[0].direction
    assert isinstance(direction, Direction)
    assert direction.features == tuple(mine)
    columns = slice(0, D) if side == "left" else slice(D, 2 * D)
    np.testing.assert_array_equal(direction.vectors, SAE.decoder.numpy()[mine, columns])
    for row, j in zip(outcome.tables["features"], mine, strict=True):
        got = [row[name] for name in ("written", "ratio_error", "ratio_reconstruction")]
        assert got == pytest.approx(known[j][1:], rel=1e-8)
    short = genuine(side=side, kind=kind, k=len(mine) + 1).directions[0].direction
    assert isinstance(short, Undefined)
    assert short.reason.startswith(f"{len(mine)} latents that are active here are {kind} ones")


def test_or_with_the_smallest_ratios() -> None:
    known = {j: one for j, one in slow("right").items() if one[0] == "genuine"}
    ranks = [sorted(known, key=lambda j, at=at: known[j][at]) for at in (2, 3)]
    total = {j: sum(rank.index(j) for rank in ranks) for j in known}
    expected = sorted(total, key=lambda j: (total[j], j))
    direction = genuine(k=len(expected), order="ratios").directions[0].direction
    assert isinstance(direction, Direction)
    assert list(direction.features) == expected


def test_controls_are_as_many_others_that_are_active() -> None:
    chosen = genuine(k=2).directions[0].direction
    assert isinstance(chosen, Direction)
    outcome = other(k=2, draws=6)
    assert [one.axes for one in outcome.directions] == [{"draw": n} for n in range(6)]
    drawn = [
        one.direction.features for one in outcome.directions if isinstance(one.direction, Direction)
    ]
    assert len(drawn) == 6
    assert len(set(drawn)) > 3
    z = np.concatenate([b.left.latents("both").dense().numpy() for b in BATCHES])
    often = set(np.flatnonzero((z > 0).sum(0) >= 4).tolist())
    for features in drawn:
        assert len(set(features)) == 2
        assert set(features) <= often - set(chosen.features)
    again = other(k=2, draws=6)
    assert [one.direction.features for one in again.directions] == drawn  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("samples", [genuine_features, other_features])
def test_the_laws_of_directions(samples: Any, tmp_path: Path) -> None:
    for one in samples(tmp_path):
        one()


def test_what_does_not_exist_says_why() -> None:
    for outcome in (genuine(k=1, read=0), other(k=1, read=0)):
        reasons = {one.direction.reason for one in outcome.directions}  # type: ignore[union-attr]
        assert reasons == {"no token of the pair was read"}
    reasons = {one.direction.reason for one in other(k=50).directions}  # type: ignore[union-attr]
    assert len(reasons) == 1
    alone = ToyCrosscoder()
    alone.facts = replace(alone.facts, one_sided=True)
    with pytest.raises(ModelError, match="features have no decoder row"):
        genuine(k=1, inputs=replace(INPUTS, saes={"both": alone}))
