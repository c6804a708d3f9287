"""The statistic `few_rows`: its laws, its reference, and changes whose truth is known."""

from __future__ import annotations

import numpy as np
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
from harness.testing import small_batch
from harness_statistics.change import samples
from harness_statistics.change.drawn import drawn
from harness_statistics.change.few_rows import FewRows
from harness_statistics.change.options import FewRowsOptions
from harness_statistics.change.pursuit import decoder, pursued, random_rows


def few_rows(**more):
    return FewRows(FewRowsOptions(pair="pair", sae="sae", **more))


@pytest.mark.slow
def test_the_laws_hold(tmp_path):
    for sample in samples.few_rows(tmp_path):
        sample()


def test_the_pursuit_is_its_definition():
    """Vector by vector, with least squares on the chosen rows, in numpy."""
    units = unit_rows(40, 24, seed=3).double().numpy()
    rows = unit_rows(200, 24, seed=4)
    found = pursued(units, decoder(Dictionary(rows)), 8)
    for place, vector in enumerate(units):
        basis = rows.double().numpy()[found.chosen[place]].T
        for step in range(8):
            best = np.linalg.lstsq(basis[:, : step + 1], vector, rcond=None)[0]
            residual = vector - basis[:, : step + 1] @ best
            assert found.left[place, step] == pytest.approx(residual @ residual, abs=1e-9)
    assert (np.diff(found.left, axis=1) <= 1e-12).all()


def test_two_atoms_need_two_rows_and_random_ones_do_not_do(left):
    """METHODS 2, section 5: d = 64, D = 1,024; random rows leave .69 at two."""
    sae = Dictionary(unit_rows(1024, 64))
    pick = np.random.default_rng(0)
    atoms = torch.stack([sae.decoder[pick.permutation(1024)[:2]] for _ in range(len(left))])
    sizes = torch.from_numpy(pick.uniform(0.5, 2, (len(left), 2, 1))).float()
    change = (atoms * sizes * torch.from_numpy(pick.choice([-1, 1], (len(left), 2, 1)))).sum(1)
    found = finished(few_rows(k=(1, 2, 4)), pair_of(left, change.float(), sae), given(sae))
    # Greedy: two atoms are nearly always found, not always.
    assert numbers(found, "few_rows.fvu", rows="decoder", k=2)[0] < 0.02
    assert numbers(found, "few_rows.fvu", rows="random", k=2)[0] == pytest.approx(0.69, abs=0.03)
    assert numbers(found, "few_rows.beyond_random", k=2)[0] > 0.97
    assert numbers(found, "few_rows.gain", k=2)[0] is None  # of as many directions as atoms


@pytest.mark.slow
def test_fresh_directions_are_no_better_than_chance(left):
    """METHODS 2, section 5: .70 at two rows, the null; one direction alone scatters about it."""
    sae = Dictionary(unit_rows(1024, 64))
    size = torch.from_numpy(np.random.default_rng(1).uniform(0.5, 2, (60, 1))).float()
    left_at_two, gains = [], []
    for seed in range(20):
        batch = pair_of(left[:60], size * unit_rows(1, 64, seed=100 + seed), sae)
        found = finished(few_rows(k=(1, 2, 8)), batch, given(sae))
        assert numbers(found, "few_rows.fvu", rows="components", k=1)[0] < 1e-9
        left_at_two += numbers(found, "few_rows.fvu", rows="decoder", k=2)
        gains += numbers(found, "few_rows.gain", k=8)
    assert np.mean(left_at_two) == pytest.approx(0.70, abs=0.03)
    assert np.mean(gains) == pytest.approx(0, abs=0.1)
    assert max(gains) < 0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_a_moved_feature_is_one_row_of_either_sign(left, sign):
    sae = Dictionary(unit_rows(1024, 64))
    where = torch.arange(len(left))[:, None] % 9 == 0
    change = sign * 0.4 * where * sae.decoder[77]
    found = finished(few_rows(), pair_of(left, change, sae), given(sae))
    assert numbers(found, "few_rows.gain", k=1)[0] == pytest.approx(1, abs=1e-6)
    assert numbers(found, "few_rows.beyond_random", k=1)[0] == pytest.approx(1, abs=1e-6)
    assert found.tables["features"][0]["feature"] == 77
    assert found.tables["features"][0]["share"] == pytest.approx(1, abs=1e-6)


def test_identical_sides_are_undefined_and_say_why(left):
    sae = Dictionary(unit_rows(128, 64))
    found = finished(few_rows(), pair_of(left, 0 * left, sae), given(sae))
    assert found.records
    assert all(record.value is None for record in found.records)
    assert all("the same activations" in record.undefined for record in found.records)


def test_what_is_rounding_of_float32_is_no_change(left):
    sae = Dictionary(unit_rows(128, 64))
    there = torch.nextafter(left, torch.full_like(left, torch.inf)) - left
    found = finished(few_rows(), pair_of(left, 0.1 * there, sae), given(sae))
    assert all(record.value is None for record in found.records)


def test_a_sample_has_the_sums_of_all(left):
    """Priority sampling: over many texts the estimate is right on average, and never far off."""
    errors = []
    for seed in range(40):
        batch = small_batch(seed, documents=12)
        everything, some = (few_rows(tokens=tokens) for tokens in (1000, 30))
        sae = {"sae": batch.left.saes["sae"]}
        inputs = given(sae["sae"])
        whole = everything.update(everything.start(inputs), batch)
        part = some.update(some.start(inputs), batch)
        assert len(part["key"]) == 31
        total, estimate = (drawn(state, n).weight.sum() for state, n in ((whole, 1000), (part, 30)))
        assert total == pytest.approx(whole["square"][0], rel=1e-9)
        errors.append(estimate / total - 1)
    assert abs(np.mean(errors)) < 3 * np.std(errors) / len(errors) ** 0.5 + 1e-3
    assert np.abs(errors).max() < 0.5


def test_a_change_on_few_tokens_is_seen(left, fresh):
    """One token in a hundred changes, by far more than the rest: most of the sample is of these."""
    sae = Dictionary(unit_rows(256, 64))
    rare = torch.arange(600) % 100 == 0
    change = torch.where(rare[:, None], 3 * fresh, 1e-3 * unit_rows(600, 64, seed=9))
    statistic = few_rows(tokens=20)
    state = statistic.update(statistic.start(given(sae)), pair_of(left, change, sae))
    weights = drawn(state, 20).weight
    assert (weights > 1).sum() == 6
    found = statistic.finish(state, given(sae))
    assert numbers(found, "few_rows.fvu", rows="components", k=1)[0] < 0.01


def test_intervals_are_of_documents(left):
    sae = Dictionary(unit_rows(256, 64))
    change = unit_rows(600, 64, seed=5)
    few, many = (
        finished(few_rows(k=(4,)), pair_of(left, change, sae, per_document=size), given(sae))
        for size in (100, 10)
    )
    assert few.records[0].clusters == 6
    assert few.records[0].ci is None
    record = many.records[0]
    assert record.clusters == 60
    assert record.ci[0] < record.value < record.ci[1]


def test_random_rows_are_the_same_each_time_and_uniform():
    rows = random_rows(5000, 16, seed=3)
    first, again = (torch.cat(list(rows())) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.allclose(first.norm(dim=1), torch.ones(5000, dtype=torch.float64))
    assert first.mean(0).abs().max() < 0.02
    assert not torch.equal(first, torch.cat(list(random_rows(5000, 16, seed=4)())))


def test_a_row_of_length_zero_is_never_chosen():
    rows = unit_rows(8, 4)
    rows[3] = 0
    found = pursued(unit_rows(50, 4, seed=1).double().numpy(), decoder(Dictionary(rows)), 4)
    assert 3 not in found.chosen
