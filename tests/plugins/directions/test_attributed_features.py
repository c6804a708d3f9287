"""attributed_features: the latents that carry a change lead, and controls are as active."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import Batch, Direction, Inputs, PathTail, Undefined
from harness.contract.attributed import changes
from harness.testing import small_batch, small_sae
from harness_directions.attributed_features import AttributedControls, AttributedFeatures
from harness_directions.options import AttributedControlsOptions, AttributedFeaturesOptions
from harness_directions.samples import SITE, attributed_controls, attributed_features
from harness_statistics.attribution.latent_attribution import LatentAttribution
from harness_statistics.attribution.options import LatentAttributionOptions
from harness_statistics.attribution.samples import with_path

GIVEN = {"pair": "p", "sae": "sae", "words": ("I",)}
INPUTS = Inputs(saes={"sae": small_sae(8)}, sae_sites={"sae": SITE}, seed=3)


def batches(bent: float = 0.01) -> list[Batch]:
    path = AttributedFeaturesOptions.model_validate({**GIVEN, "k": 1}).path(SITE)
    return [with_path(small_batch(seed), path, seed, bent) for seed in range(3)]


def found(finder, read):
    state = finder.start(INPUTS)
    for batch in read:
        state = finder.update(state, batch)
    return finder.finish(state, INPUTS)


def features(k=3, read=None, **more):
    given = AttributedFeaturesOptions.model_validate({**GIVEN, "k": k, **more})
    return found(AttributedFeatures(given), batches() if read is None else read)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [attributed_features, attributed_controls])
def test_the_laws_of_directions(samples, tmp_path):
    for sample in samples(tmp_path):
        sample()


def test_they_are_the_first_of_the_statistic():
    given = LatentAttributionOptions.model_validate(GIVEN)
    table = found(LatentAttribution(given), batches()).tables["features"]
    outcome = features(k=4)
    (one,) = outcome.directions
    assert isinstance(one.direction, Direction)
    assert list(one.direction.features) == [row["feature"] for row in table[:4]]
    rows = small_sae(8).rows(torch.tensor(one.direction.features)).double().numpy()
    np.testing.assert_allclose(one.direction.vectors, rows)
    for mine, theirs in zip(outcome.tables["features"], table, strict=False):
        assert mine["attribution"] == pytest.approx(theirs["attribution"])


def test_one_vector_is_what_their_mean_change_adds():
    (one,) = features(k=4, vectors="change").directions
    delta = torch.cat([changes(batch, "sae").dense() for batch in batches()]).double()
    mean = delta.mean(0)[list(one.direction.features)]
    rows = small_sae(8).rows(torch.tensor(one.direction.features)).double()
    np.testing.assert_allclose(one.direction.vectors, (mean @ rows)[None], atol=1e-6)
    assert one.direction.weights == pytest.approx(mean.tolist(), abs=1e-6)


def test_by_change_those_lead_that_change_most():
    (one,) = features(k=4, rank="change").directions
    delta = torch.cat([changes(batch, "sae").dense() for batch in batches()]).abs().sum(0)
    assert list(one.direction.features) == delta.argsort(descending=True)[:4].tolist()


def test_controls_are_others_that_are_as_active():
    given = AttributedControlsOptions.model_validate({**GIVEN, "k": 3, "draws": 4})
    drawn = found(AttributedControls(given), batches()).directions
    (chosen,) = features().directions
    active = sum(
        torch.bincount(batch.right.latents("sae").indices, minlength=32) for batch in batches()
    )
    assert len({one.direction.features for one in drawn}) > 1
    for one in drawn:
        assert not set(one.direction.features) & set(chosen.direction.features)
        for own, other in zip(chosen.direction.features, one.direction.features, strict=True):
            nearer = (active.log() - active[own].log()).abs() < abs(
                active[other].log() - active[own].log()
            )
            assert int(nearer.sum()) <= 10 + 2 * 3  # those that are taken are passed over


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ([], "no prompt of the pair"),
        (batches(bent=9.0), "more than gap_max"),
        (
            [
                replace(
                    batch,
                    paths={
                        path: replace(
                            one,
                            left=PathTail(
                                one.left.gradient,
                                one.left.at_left,
                                one.left.at_right,
                                one.left.plain + 1,
                                one.left.along,
                            ),
                        )
                        for path, one in batch.paths.items()
                    },
                )
                for batch in batches()
            ],
            "put back, change the number",
        ),
    ],
    ids=["nothing", "gap", "put back"],
)
def test_when_there_is_none(read, said):
    (one,) = features(read=read).directions
    assert isinstance(one.direction, Undefined)
    assert said in one.direction.reason
    given = AttributedControlsOptions.model_validate({**GIVEN, "k": 3, "draws": 2})
    for control in found(AttributedControls(given), read).directions:
        assert said in control.direction.reason


def test_more_than_push_that_way_are_undefined():
    (one,) = features(k=30).directions
    assert "latents push the number where it went, so no 30 lead" in one.direction.reason
