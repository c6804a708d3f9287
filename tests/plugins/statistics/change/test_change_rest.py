"""The statistic `change_rest`: its laws, and directions that were written or moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fakes.changes import (
    SITE,
    Dictionary,
    finished,
    given,
    numbers,
    pair_of,
    unit_rows,
)
from harness.contract import Direction, Site, Undefined
from harness.errors import ModelError
from harness_statistics.change import samples
from harness_statistics.change.change_rest import ChangeRest
from harness_statistics.change.options import ChangeRestOptions


def rest(**more):
    return ChangeRest(ChangeRestOptions(pair="pair", sae="sae", **more))


def orthonormal(count, d=64, seed=0):
    rows = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0][:count]
    return torch.from_numpy(rows).float()


@pytest.mark.slow
def test_the_laws_hold(tmp_path):
    for sample in samples.change_rest(tmp_path):
        sample()


def test_a_written_direction_is_the_first_component(left):
    """METHODS 2: a fresh orthogonal direction on some tokens is PC1 of what is left, cos > .95."""
    basis = orthonormal(60)
    fresh = orthonormal(64)[62]
    sae = Dictionary(basis[:40], bias=0.0)
    where = (torch.arange(600) % 7 == 0)[:, None]
    noise = 0.05 * torch.randn(600, 40, generator=torch.Generator().manual_seed(1)) @ basis[:40]
    found = finished(rest(), pair_of(left, where * 1.5 * fresh + noise, sae), given(sae))
    first = found.arrays["components"][0]
    assert abs(first @ fresh.double().numpy()) > 0.95
    assert numbers(found, "change_rest.max_abs_cosine", pc=1)[0] < 0.1
    planted = float((where * 1.5).square().sum())
    row = found.tables["components"][0]
    energy = float((where * 1.5 * fresh + noise).double().square().sum())
    assert row["share_of_change"] == pytest.approx(planted / energy, rel=0.05)
    assert numbers(found, "change_rest.share", pc=1)[0] > 0.8


def test_along_a_decoder_row_nothing_is_left(left):
    """METHODS 2: along an existing row, where the encoder reads it, the FVU of the change falls."""
    basis = orthonormal(64)
    sae = Dictionary(torch.cat([basis, -basis]))
    found = finished(rest(), pair_of(left, 0.7 * basis[5].expand(600, 64), sae), given(sae))
    assert found.records[0].value is None
    assert "nothing is left" in found.records[0].undefined


def test_identical_sides_are_undefined_and_say_why(left):
    sae = Dictionary(unit_rows(128, 64), k=4)
    found = finished(rest(), pair_of(left, 0 * left, sae), given(sae))
    assert [record.value for record in found.records] == [None]
    assert "the same activations" in found.records[0].undefined


@pytest.mark.slow
def test_shares_of_all_components_add_up_to_one(left):
    sae = Dictionary(unit_rows(128, 64), k=4)
    change = 0.3 * torch.randn(600, 64, generator=torch.Generator().manual_seed(2))
    found = finished(rest(components=64), pair_of(left, change, sae), given(sae))
    shares = numbers(found, "change_rest.share")
    assert sum(shares) == pytest.approx(1, rel=1e-9)
    assert shares == sorted(shares, reverse=True)
    record = next(one for one in found.records if one.id == "change_rest.share@1")
    assert record.ci[0] <= record.value <= record.ci[1]


def test_the_interval_leaves_out_a_group_of_documents_at_a_time(left):
    """Against the jackknife written down once more, from the rows themselves."""
    sae = Dictionary(unit_rows(128, 64), k=4)
    change = 0.3 * torch.randn(600, 64, generator=torch.Generator().manual_seed(2))
    batch = pair_of(left, change, sae)
    found = finished(rest(groups=5), batch, given(sae))
    record = next(one for one in found.records if one.id == "change_rest.share@1")
    from harness_statistics.change.groups import group_of

    group = group_of(batch, 5)[batch.document.numpy()]
    fits = [side.reconstruction("sae").double() for side in (batch.left, batch.right)]
    x = [side.x(SITE).double() for side in (batch.left, batch.right)]
    missed = ((x[1] - fits[1]) - (x[0] - fits[0])).numpy()
    shares = []
    for one in range(5):
        sizes = np.linalg.svd(missed[group != one], compute_uv=False) ** 2
        shares.append(sizes[0] / sizes.sum())
    error = (4 / 5 * np.square(np.array(shares) - np.mean(shares)).sum()) ** 0.5
    half = 2.7764451051977987 * error  # the 97.5% point of t with 4 degrees of freedom
    assert record.ci == pytest.approx((record.value - half, record.value + half), rel=1e-6)


def test_without_groups_there_is_no_interval_and_it_says_why(left):
    sae = Dictionary(unit_rows(128, 64), k=4)
    found = finished(rest(groups=0), pair_of(left, unit_rows(600, 64, seed=3), sae), given(sae))
    assert found.records[0].ci is None
    assert "groups = 0" in found.records[0].ci_why


def test_components_of_another_site_are_refused(left):
    sae = Dictionary(unit_rows(128, 64), k=4)
    batch = pair_of(left, unit_rows(600, 64, seed=3), sae)
    elsewhere = Direction(Site("resid_post", 2), np.eye(64)[:2])
    with pytest.raises(ModelError, match="Allowed: components of the same site"):
        finished(rest(pcs="pcs"), batch, given(sae, directions={"pcs": elsewhere}))
    none = finished(rest(pcs="pcs"), batch, given(sae, directions={"pcs": Undefined("no data")}))
    like = [one for one in none.records if one.id.startswith("change_rest.pcs_cosine")]
    assert {one.undefined for one in like} == {"'pcs' is undefined: no data"}
