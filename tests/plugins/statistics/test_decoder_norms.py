"""`decoder_norms` against a slow form, latent by latent, and its laws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import Inputs, SaeFacts, SaeInput, Site
from harness.errors import ModelError
from harness_statistics.decoder_norms import DecoderNorms, delta_norm
from harness_statistics.options import DecoderNormsOptions, without_two_rows

D, N = 5, 40
SITE = Site("resid_post", 3)


class Crosscoder:
    """A decoder in memory, with rows for both sides."""

    def __init__(self, rows: torch.Tensor, scales: tuple[float, float] = (1.0, 1.0)) -> None:
        self.decoder = rows
        inputs = (SaeInput("left", width=D), SaeInput("right", width=D))
        self.facts = SaeFacts("crosscoder", 2 * D, len(rows), SITE, inputs=inputs, scales=scales)

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        return self.decoder[indices]


@pytest.fixture
def rows() -> torch.Tensor:
    """Rows of every kind: one-sided, shared, turned round, on neither side."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(N, 2 * D, generator=generator)
    rows *= torch.rand(N, 1, generator=generator) * 3
    rows[:8, :D] *= 0.05
    rows[8:16, D:] *= 0.01
    rows[16:24, D:] = rows[16:24, :D] * 1.1
    rows[24, :D] = 0
    rows[25, D:] = 0
    rows[26:29] = 0
    return rows


def found(sae: Crosscoder, **options: object):
    statistic = DecoderNorms(DecoderNormsOptions(sae="both", **options))
    inputs = Inputs(saes={"both": sae}, sae_sites={"both": SITE})
    return statistic.finish(statistic.start(inputs), inputs)


def slow(rows: torch.Tensor, scales: tuple[float, float]) -> list[tuple[float, float] | None]:
    """(Δ_norm, cosine) of each latent, in plain Python; None where it has no row."""
    out: list[tuple[float, float] | None] = []
    for row in rows.double().tolist():
        left = [scales[0] * value for value in row[:D]]
        right = [scales[1] * value for value in row[D:]]
        a, b = math.hypot(*left), math.hypot(*right)
        if not a and not b:
            out.append(None)
            continue
        product = sum(x * y for x, y in zip(left, right, strict=True))
        cosine = product / (a * b) if a and b else math.nan
        out.append((((b - a) / max(a, b) + 1) / 2, cosine))
    return out


@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.7, 0.2)])
def test_equals_the_slow_form(rows: torch.Tensor, scales: tuple[float, float]) -> None:
    outcome = found(Crosscoder(rows, scales))
    by = {(r.id, r.axes.get("space"), r.axes.get("place")): r for r in outcome.records}
    for space, own in (("normalised", scales), ("raw", (1.0, 1.0))):
        each = slow(rows, own)
        deltas = [one[0] if one else math.nan for one in each]
        np.testing.assert_allclose(outcome.arrays[f"delta_{space}"], deltas, rtol=1e-12, atol=1e-15)
        alive = [delta for delta in deltas if not math.isnan(delta)]
        counts = {
            "left_only": sum(delta < 0.1 for delta in alive),
            "shared": sum(abs(delta - 0.5) <= 0.1 for delta in alive),
            "right_only": sum(delta > 0.9 for delta in alive),
        }
        counts["other"] = len(alive) - sum(counts.values())
        for place, count in counts.items():
            record = by["decoder_norms.share@1", space, place]
            assert record.value == pytest.approx(count / len(alive), rel=1e-12)
            assert record.n == len(alive) == N - 3
        median = by["decoder_norms.median@1", space, None].value
        assert median == pytest.approx(sorted(alive)[len(alive) // 2], rel=1e-12)
    cosines = sorted(
        one[1] for one in slow(rows, scales) if one is not None and abs(one[0] - 0.5) <= 0.1
    )
    record = by["decoder_norms.cosine@1", None, None]
    assert record.value == pytest.approx(float(np.median(cosines)), rel=1e-12)
    assert by["decoder_norms.dead@1", None, None].value == pytest.approx(3 / N)
    assert counts["left_only"] >= 3
    assert {r.axes["sae"] for r in outcome.records} == {"both"}
    assert {r.axes["site"] for r in outcome.records} == {str(SITE)}


def test_law_the_space_matters_where_the_models_are_scaled_differently(rows: torch.Tensor) -> None:
    """METHODS 2: folding into raw units moves Δ_norm where g_0 ≠ g_1."""
    alike = found(Crosscoder(rows, (0.4, 0.4))).arrays
    np.testing.assert_allclose(alike["delta_normalised"], alike["delta_raw"], rtol=1e-12)
    other = found(Crosscoder(rows, (0.7, 0.2))).arrays
    moved = np.abs(other["delta_normalised"] - other["delta_raw"])
    assert np.nanmax(moved) > 0.1


def test_law_of_the_relative_norm() -> None:
    """Δ = 3/2 − 1/(2r) for r ≥ ½, r/(2(1 − r)) below."""
    r = np.linspace(0, 1, 101)
    delta = delta_norm(1 - r, r)
    with np.errstate(divide="ignore"):
        expected = np.where(r >= 0.5, 1.5 - 1 / (2 * r), r / (2 * np.maximum(1 - r, 1e-30)))
    np.testing.assert_allclose(delta, expected, atol=1e-12)


def test_law_turning_the_pair_round_mirrors_it(rows: torch.Tensor) -> None:
    turned = Crosscoder(torch.cat([rows[:, D:], rows[:, :D]], dim=1))
    one, other = found(Crosscoder(rows)).arrays, found(turned).arrays
    np.testing.assert_allclose(one["delta_raw"], 1 - other["delta_raw"], atol=1e-12)
    np.testing.assert_allclose(one["cosine"], other["cosine"], atol=1e-12)
    # and files whose first model is the right one are the same crosscoder
    stored = Crosscoder(torch.cat([rows[:, D:], rows[:, :D]], dim=1))
    stored.facts = replace(stored.facts, inputs=stored.facts.inputs[::-1])
    np.testing.assert_allclose(found(stored).arrays["delta_raw"], one["delta_raw"], atol=1e-12)


def test_the_table_has_both_ends(rows: torch.Tensor) -> None:
    table = found(Crosscoder(rows), table=4).tables["latents"]
    delta = found(Crosscoder(rows)).arrays["delta_normalised"]
    order = [j for j in np.argsort(delta, kind="stable") if not np.isnan(delta[j])]
    assert [row["feature"] for row in table] == [int(j) for j in (*order[:4], *order[-4:])]
    assert {"left_only", "right_only"} <= {row["place"] for row in table}


def test_nothing_is_undefined_in_silence() -> None:
    outcome = found(Crosscoder(torch.zeros(3, 2 * D)))
    values = {r.id: (r.value, r.undefined) for r in outcome.records}
    assert values["decoder_norms.share@1"] == (None, "no latent has a decoder row")
    assert values["decoder_norms.cosine@1"] == (None, "no latent is shared")
    assert values["decoder_norms.dead@1"] == (1.0, None)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (SaeFacts("topk", D, N), "one decoder row for each latent"),
        (
            SaeFacts(
                "batchtopk",
                D,
                N,
                inputs=(SaeInput("left"), SaeInput("right")),
                join="difference",
            ),
            "one decoder row for each latent",
        ),
        (
            SaeFacts("c", 2 * D, N, inputs=(SaeInput("left"), SaeInput("right")), one_sided=True),
            "DECOUPLED",
        ),
    ],
)
def test_other_saes_are_refused(rows: torch.Tensor, facts: SaeFacts, said: str) -> None:
    problem = without_two_rows(facts, "both")
    assert problem is not None
    assert said in problem.what
    sae = Crosscoder(rows)
    sae.facts = facts
    with pytest.raises(ModelError, match=said[:12]):
        found(sae)


def test_nothing_is_known_of_one_that_is_not_here() -> None:
    assert without_two_rows(SaeFacts(), "both") is None
