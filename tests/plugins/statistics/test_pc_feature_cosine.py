"""Alignment of components with decoder rows against plain cosines, and its null."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from fakes.reductions import pick
from harness.contract import Direction, Inputs, SaeFacts, Site, Undefined
from harness.errors import ModelError
from harness_statistics import pc_feature_cosine
from harness_statistics.cosine_null import largest_expected, largest_quantile
from harness_statistics.options import PcFeatureCosineOptions as Options
from harness_statistics.pc_feature_cosine import PcFeatureCosine

SITE = Site("resid_post", 1)
D = 16


class Decoder:
    def __init__(self, rows):
        self.w = torch.tensor(rows, dtype=torch.float32)
        self.facts = SaeFacts("small", D, len(rows), SITE)
        self.fingerprint, self.notes = "small", ()

    def rows(self, indices):
        return self.w[indices]


def decoder(width, seed=0):
    return Decoder(np.random.default_rng(seed).normal(size=(width, D)))


def pcs(rank=3, seed=5):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(D, D)))[0][:rank]
    return Direction(SITE, np.array([3.0, 0.5, 0.01])[:rank, None] * basis)


def run(saes, found, **more):
    options = {"pair": "tuned", "site": "resid_post.1", "saes": list(saes), "pcs": "pcs", **more}
    statistic = PcFeatureCosine(Options.model_validate(options))
    given = Inputs(directions={"pcs": found}, saes=saes, sae_sites=dict.fromkeys(saes, SITE))
    return statistic.finish(statistic.merge(statistic.start(given), {}), given)


@pytest.mark.parametrize("piece", [2**22, 3 * D])
def test_cosines_are_the_plain_ones(monkeypatch, piece):
    monkeypatch.setattr(pc_feature_cosine, "_PIECE", piece)
    saes, found = {"narrow": decoder(10), "wide": decoder(40, 1)}, pcs()
    saes["wide"].w[7] = 0
    saes["wide"].w[3] = torch.tensor(-2 * found.vectors[1]).float()
    outcome = run(saes, found, table=6)
    for name, sae in saes.items():
        for i in range(3):
            unit = found.vectors[i] / np.linalg.norm(found.vectors[i])
            rows = sae.w.double().numpy()
            cosines = [float(r @ unit / np.linalg.norm(r)) if np.any(r) else 0.0 for r in rows]
            largest = pick(outcome, "pc_feature_cosine.max_abs@1", sae=name, pc=i + 1)
            assert largest.value == pytest.approx(max(map(abs, cosines)), rel=1e-9)
            assert (largest.n, largest.n_of) == (len(cosines), "features")
            limit = largest_quantile(0.95, len(cosines), D)
            assert largest.null["q95"] == limit
            assert largest.null["value"] == largest_expected(len(cosines), D)
            above = pick(outcome, "pc_feature_cosine.above_null@1", sae=name, pc=i + 1)
            assert above.value == sum(abs(c) > limit for c in cosines)
            rows = [r for r in outcome.tables["features"] if (r["sae"], r["pc"]) == (name, i + 1)]
            order = np.argsort(-np.abs(cosines), kind="stable")[:6]
            assert [r["feature"] for r in rows] == order.tolist()
            assert [r["cosine"] for r in rows] == pytest.approx([cosines[j] for j in order])
            assert [r["rank"] for r in rows] == [1, 2, 3, 4, 5, 6]
    planted = next(r for r in outcome.tables["features"] if (r["sae"], r["pc"]) == ("wide", 2))
    assert (planted["feature"], planted["cosine"]) == (3, pytest.approx(-1))
    assert dict(largest.axes) == {"pair": "tuned", "sae": "wide", "site": "resid_post.1", "pc": 3}


@pytest.mark.slow
@pytest.mark.parametrize(("vectors", "d"), [(1, 3), (50, 5), (2000, 64)])
def test_the_null_is_what_simulation_gives(vectors, d):
    rng = np.random.default_rng(0)
    best = []
    for _ in range(400):
        first = rng.normal(size=(vectors, d))
        best.append(np.abs(first[:, 0] / np.linalg.norm(first, axis=1)).max())
    error = np.std(best) / 20
    assert largest_expected(vectors, d) == pytest.approx(np.mean(best), abs=4 * error)
    for q in (0.1, 0.5, 0.95):
        below = np.mean(np.array(best) <= largest_quantile(q, vectors, d))
        assert stats.binomtest(round(below * 400), 400, q).pvalue > 1e-3


def test_the_null_at_the_papers_size():
    assert largest_expected(262_144, 1152) == pytest.approx(0.139, abs=0.001)
    assert largest_expected(262_144, 1152) < math.sqrt(2 * math.log(262_144) / 1152)
    assert largest_quantile(0.5, 262_144, 1152) < largest_quantile(0.95, 262_144, 1152) < 0.17
    assert largest_expected(5, 1) == largest_quantile(0.5, 5, 1) == 1
    widths = [largest_expected(n, 1152) for n in (16_384, 65_536, 262_144)]
    assert widths == sorted(widths)


def test_one_random_vector_has_a_known_expectation():
    """E|cos| of one vector on the sphere in three dimensions is 1/2."""
    assert largest_expected(1, 3) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.slow
def test_random_features_are_seldom_above_the_null():
    saes = {str(i): decoder(200, i) for i in range(60)}
    outcome = run(saes, pcs(1))
    above = [r.value for r in outcome.records if r.id == "pc_feature_cosine.above_null@1"]
    assert len(above) == 60
    assert sum(v > 0 for v in above) <= 9  # 5% of 60, and four standard deviations


def test_components_beyond_the_rank_have_undefined_records():
    """CASES row 8: they are not aligned with anything."""
    first = pcs(1)
    found = Direction(SITE, first.vectors, missing=("beyond the rank of ΔH",))
    outcome = run({"narrow": decoder(10)}, found)
    for id in ("pc_feature_cosine.max_abs@1", "pc_feature_cosine.above_null@1"):
        assert pick(outcome, id, pc=1).value is not None
        record = pick(outcome, id, pc=2)
        assert record.value is None
        assert record.undefined == "beyond the rank of ΔH"
    assert {row["pc"] for row in outcome.tables["features"]} == {1}


def test_undefined_components_are_undefined_records():
    outcome = run({"narrow": decoder(10)}, Undefined("nothing changed"))
    (record,) = outcome.records
    assert record.value is None
    assert record.undefined == "'pcs' is undefined: nothing changed"


def test_components_of_another_place_or_width_are_refused():
    with pytest.raises(ModelError, match=r"lives at resid_post\.0.*compared at resid_post\.1"):
        run({"narrow": decoder(10)}, Direction(Site("resid_post", 0), np.eye(D)))
    with pytest.raises(ModelError, match=r"16 numbers, but directions\.pcs has 3"):
        run({"narrow": decoder(10)}, Direction(SITE, np.eye(3)))


# ── Tests, for families ──────────────────────────────────────────────────────────────────────────


def test_every_feature_has_a_p_whatever_the_table_lists():
    """Of a random unit vector, (1 + cos)/2 is Beta((d−1)/2, (d−1)/2)."""
    saes, found = {"narrow": decoder(10), "wide": decoder(40, 1)}, pcs()
    saes["narrow"].w[4] = 0
    outcome = run(saes, found, table=2)
    assert [(one.axes["sae"], one.axes["pc"]) for one in outcome.p_values] == [
        (sae, pc) for sae in saes for pc in (1, 2, 3)
    ]  # fmt: skip
    for one in outcome.p_values:
        assert len(one.array) == len(saes[one.axes["sae"]].w)
        beta = stats.beta((D - 1) / 2, (D - 1) / 2)
        reference = 2 * beta.sf((1 + np.abs(one.values)) / 2)
        assert one.array == pytest.approx(reference)
    assert outcome.p_values[0].array[4] == 1


def test_p_of_random_rows_is_uniform():
    outcome = run({"wide": decoder(4000, 3)}, pcs(1))
    p = outcome.p_values[0].array
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_a_row_along_a_component_is_the_one_discovery():
    sae, found = decoder(2000, 6), pcs(1)
    sae.w[17] = torch.tensor(-3 * found.vectors[0]).float()
    q = stats.false_discovery_control(run({"s": sae}, found).p_values[0].array)
    assert np.flatnonzero(q <= 0.05).tolist() == [17]


def test_undefined_components_have_no_tests():
    assert run({"narrow": decoder(10)}, Undefined("nothing changed")).p_values == ()
