"""The statistic `change_latents`: its laws, latents that woke, and latents that crossed."""

from __future__ import annotations

import pytest
import torch

from fakes.changes import (
    Dictionary,
    finished,
    given,
    numbers,
    pair_of,
    unit_rows,
)
from harness_statistics.change import samples
from harness_statistics.change.change_latents import ChangeLatents
from harness_statistics.change.options import ChangeLatentsOptions


def latents(**more):
    return ChangeLatents(ChangeLatentsOptions(pair="pair", sae="sae", **more))


@pytest.fixture
def sae():
    """Each of 64 dimensions has a row of its own; row 9 is three times as long."""
    rows = torch.eye(64)
    rows[9] *= 3
    return Dictionary(rows)


def test_the_laws_hold(tmp_path):
    for sample in samples.change_latents(tmp_path):
        sample()


def test_a_moved_feature_tops_the_table(left, sae):
    """METHODS 2: along an existing row that latent tops Δz."""
    positive = left.abs()
    change = torch.zeros_like(left)
    change[:, 20] = 0.5
    found = finished(latents(top=(1, 2)), pair_of(positive, change, sae), given(sae))
    assert numbers(found, "change_latents.top_share", top=1) == [pytest.approx(1)]
    assert numbers(found, "change_latents.flip_share") == [pytest.approx(0)]
    assert numbers(found, "change_latents.woken") == [0]
    (row,) = found.tables["features"]
    assert (row["feature"], row["share"], row["woken"]) == (20, pytest.approx(1), False)


def test_a_woken_latent(left, sae):
    silent = left.clone()
    silent[:, 9] = -1
    change = torch.zeros_like(left)
    change[::5, 9] = 3  # from off to 2 on one token in five, through a row three times as long
    found = finished(latents(delta=0.01), pair_of(silent, change, sae), given(sae))
    assert numbers(found, "change_latents.woken") == [1]
    assert numbers(found, "change_latents.bound") == [pytest.approx(3 / 600)]
    assert numbers(found, "change_latents.flip_share") == [pytest.approx(1)]
    after = (silent + change).clone()
    z = (after @ sae.decoder.T).relu().double()
    energy = z.square().sum(0) * sae.decoder.double().square().sum(1)
    share = float(energy[9] / energy.sum())
    assert numbers(found, "change_latents.woken_energy") == [pytest.approx(share)]
    assert found.tables["features"][0]["woken"] is True


def test_seldom_is_not_woken(left, sae):
    silent = left.clone()
    silent[:, 9] = -1
    change = torch.zeros_like(left)
    change[:9, 9] = 3
    found = finished(latents(minimum=10), pair_of(silent, change, sae), given(sae))
    assert numbers(found, "change_latents.woken") == [0]


def test_the_same_model_twice_wakes_nothing(left, sae):
    found = finished(latents(), pair_of(left, 0 * left, sae), given(sae))
    assert numbers(found, "change_latents.woken") == [0]
    assert numbers(found, "change_latents.woken_energy") == [0]
    undefined = [one for one in found.records if one.value is None]
    assert {one.id for one in undefined} == {
        "change_latents.flip_share@1",
        "change_latents.top_share@1",
    }
    assert {one.undefined for one in undefined} == {"no latent changed on any token"}


def test_a_share_has_an_interval_of_documents(left):
    sae = Dictionary(unit_rows(128, 64), k=6)
    change = 0.5 * torch.randn(600, 64, generator=torch.Generator().manual_seed(1))
    found = finished(latents(), pair_of(left, change, sae), given(sae))
    for record in found.records:
        if record.unit == "share" and "bound" not in record.id:
            assert record.ci is not None, record
            assert record.ci[0] <= record.value <= record.ci[1]
