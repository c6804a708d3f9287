"""The explained ratio against its definition, whatever the scales of the two sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from harness.contract import Inputs, Target
from harness.running.passes.metric import MetricReduction
from harness.testing import check_metric
from harness.testing.support.batches import array_batch
from harness_metrics import options
from harness_metrics.explained_ratio import ExplainedRatio

from .conftest import SITE, SmallSae

MEAN, EACH, MEDIAN = (
    f"explained_ratio.{name}@1" for name in ("ratio_of_means", "mean_of_ratios", "median")
)
SCALE = "explained_ratio.scale_ratio@1"


def built(site, **more):
    return ExplainedRatio(options.ExplainedRatioOptions.model_validate(more), Target(site, "sae"))


def plainly(batch, site, norm="rms", scale_ratio=None):
    """Activations divided by their scales, then the definition, in numpy."""
    b, c = (side.x(site).double().numpy() for side in (batch.left, batch.right))
    if len(b) == 0:
        return dict.fromkeys((MEAN, EACH, MEDIAN, SCALE), math.nan)
    squares = [np.mean(np.sum(x**2, 1)) for x in (b, c)]
    power = 1.0 if norm == "msq" else 0.5
    s_b, s_c = (square**power for square in squares)
    scale = s_c / s_b if s_b > 0 and s_c > 0 else math.nan
    if norm == "none":
        s_b = s_c = 1.0
    elif scale_ratio is not None:
        s_b, s_c = 1.0, scale_ratio
    out = batch.right.reconstruction("sae", site).double().numpy()
    kept = batch.selected.numpy()
    error = np.sum(((c[kept] - out) / s_c) ** 2, 1)
    change = np.sum((c[kept] / s_c - b[kept] / s_b) ** 2, 1)
    differs = np.sum((c[kept] - b[kept]) ** 2, 1) > 0
    ratios = np.sort(error[differs] / change[differs])
    found = {
        MEAN: error.sum() / change.sum() if differs.any() else math.nan,
        EACH: ratios.mean() if len(ratios) else math.nan,
        MEDIAN: ratios[math.ceil(len(ratios) / 2) - 1] if len(ratios) else math.nan,
    }
    return {**found, SCALE: scale}


def check(metric, batch, site, rtol=1e-6, **more):
    def reference(one):
        found = plainly(one, site, **more)
        return [found[value.id] for value in metric.values]

    check_metric(metric, batch, reference=reference, side="pair", rtol=rtol)


def values(metric, batch):
    sums = {k: v.sum(0, keepdim=True).numpy() for k, v in metric.sums(batch, batch.left).items()}
    found = metric.value(sums)
    return {value.id: float(one[0]) for value, one in zip(metric.values, found, strict=True)}


@pytest.mark.parametrize("norm", ["rms", "msq", "none"])
def test_the_ratio_of_means_is_its_definition(case, norm):
    metric = built(case.site, norm=norm, variants=["ratio_of_means"])
    check(metric, case.batch, case.site, norm=norm)


@pytest.mark.parametrize("given", [{"norm": "none"}, {"scale_ratio": 1.3}])
def test_the_mean_of_ratios_is_exact_where_the_scale_is_known(case, given):
    metric = built(case.site, variants=["ratio_of_means", "mean_of_ratios"], **given)
    check(metric, case.batch, case.site, **given)


def drifted(tokens=400, scale=1.0, cosine_below=0.9, seed=0):
    """A pair whose right side is turned away from the left one and `scale` times as long.

    Selected are, as in the paper, the tokens of a cosine below 0.9.
    """
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(tokens, 6, generator=generator) * 3
    c = (b + 2.5 * torch.randn(tokens, 6, generator=generator)) * scale * 0.75
    cosine = torch.cosine_similarity(b, c)
    kept = (cosine < cosine_below).nonzero().squeeze(1).tolist()
    document = (torch.arange(tokens) % 11).tolist()
    batch = array_batch(document, {SITE: b}, {SITE: c}, saes={"sae": SmallSae()}, selected=kept)
    return batch


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.6, 0.97, 1.0, 1.2, 1.9])
@pytest.mark.parametrize("norm", ["rms", "none"])
def test_the_mean_of_ratios_is_interpolated_to_a_millionth(scale, norm):
    batch = drifted(scale=scale)
    check(built(SITE, norm=norm, variants=["mean_of_ratios"]), batch, SITE, norm=norm)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [2.5, 1.2, 0.8, 0.5, 0.3])
def test_the_mean_of_ratios_without_a_filter_is_good_to_a_millionth_or_undefined(noise):
    """CASES row 18: numpy in float64 with the measured scale, on every token; 1.5e-6 and more off.

    Tokens on which the models nearly agree are hardest; filters take them away.
    """
    defined = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        b = torch.randn(40, 6, generator=generator) * 3
        away = noise * torch.randn(40, 6, generator=generator)
        spread = (0.3 * torch.randn(40, 1, generator=generator)).exp()
        c = (b + 3 * away) * spread * (0.6 + seed / 50)
        document = (torch.arange(40) % 11).tolist()
        batch = array_batch(document, {SITE: b}, {SITE: c}, saes={"sae": SmallSae()})
        found = values(built(SITE, variants=["mean_of_ratios"]), batch)[EACH]
        if math.isfinite(found):
            defined += 1
            assert found == pytest.approx(plainly(batch, SITE)[EACH], rel=1e-6)
    assert defined or noise < 1


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.6, 0.97, 1.0, 1.2, 1.9])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_median_is_within_what_it_says(scale, seed):
    """A part of its own interval: 2% of so few tokens, less of more."""
    for tokens, error in ((2000, 0.02), (20000, 0.007)):
        batch = drifted(tokens, scale=scale, seed=seed)
        found = values(built(SITE, variants=["median"]), batch)[MEDIAN]
        assert found == pytest.approx(plainly(batch, SITE)[MEDIAN], rel=error)


@pytest.mark.parametrize(
    "shape", [{}, {"zeros": True}, {"filtered": True}, {"tokens": 5}, {"documents": 2}]
)
def test_the_median_keeps_the_laws_of_metrics(make, shape):
    """Where the scale is known it is within its bin of 0.5%."""
    case = make(**shape)
    metric = built(case.site, norm="none", variants=["median"])
    check(metric, case.batch, case.site, 0.0051, norm="none")


def test_a_median_beyond_the_histogram_is_undefined(make):
    case = make(shift=300.0)
    metric = built(case.site, norm="none")
    assert plainly(case.batch, case.site, "none")[MEDIAN] > 100
    assert math.isnan(values(metric, case.batch)[MEDIAN])
    assert "not between 0.01 and 100" in metric.values[2].undefined


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.floats(0.55, 1.9), st.integers(0, 9))
def test_a_scale_does_not_matter(scale, seed):
    """A right side in other units, decoded in them: every variant stays what it is."""
    batch = drifted(200, seed=seed)
    reconstructed = batch.right.reconstruction("sae", SITE)
    found = values(built(SITE), batch)
    batch.right.activations[SITE] *= scale
    batch.right.reconstruction = lambda sae, site: reconstructed * scale
    scaled = values(built(SITE), batch)
    assert scaled[SCALE] == pytest.approx(found[SCALE] * scale, rel=1e-5)
    if abs(math.log(scaled[SCALE])) < math.log(2):
        assert scaled[MEAN] == pytest.approx(found[MEAN], rel=1e-5)
        assert scaled[EACH] == pytest.approx(found[EACH], rel=1e-4)
        assert scaled[MEDIAN] == pytest.approx(found[MEDIAN], rel=0.1)  # of 160 tokens


def test_a_known_scale_gives_what_is_measured():
    batch = drifted(500, scale=1.3)
    measured = values(built(SITE), batch)
    known = values(built(SITE, scale_ratio=measured[SCALE]), batch)
    assert known == pytest.approx(measured, rel=0.01)
    assert known[MEAN] == pytest.approx(measured[MEAN], rel=1e-12)
    assert known[EACH] == pytest.approx(measured[EACH], rel=1e-6)


def test_scales_are_of_all_tokens_and_ratios_of_the_selected():
    batch = drifted()
    metric = built(SITE)
    sums = {k: v.sum(0).numpy() for k, v in metric.sums(batch, batch.left).items()}
    assert sums[f"n.{SCALE}"] == 400
    assert sums["n"] == len(batch.selected) < 350
    everything = batch.left.x(SITE).double().square().sum()
    assert sums["all.left"] == pytest.approx(float(everything), rel=1e-12)


@pytest.mark.parametrize("given", [{}, {"norm": "msq"}, {"norm": "none"}])
def test_identical_models_agree_on_every_token(make, given):
    """Also in each draw of documents: no noise is divided by noise."""
    case = make(tokens=300, documents=24, zeros=True)
    case.batch.right.activations.update(case.batch.left.activations)
    reduction = MetricReduction(built(case.site, **given), "pair", {})
    records = reduction.finish(reduction.update(reduction.start(Inputs()), case.batch), Inputs())
    for record in records.records:
        if record.id == SCALE:
            assert (record.value, record.ci) == (1.0, (1.0, 1.0))
        else:
            assert record.value is None
            assert record.undefined.startswith("the two models agree on every selected token")


def test_a_model_that_is_the_other_one_in_other_units_agrees_with_it(make):
    case = make(tokens=100)
    case.batch.right.activations[case.site] = case.batch.left.activations[case.site] * 1.5
    found = values(built(case.site), case.batch)
    assert found.pop(SCALE) == pytest.approx(1.5)
    assert math.isnan(found[MEAN])
    assert math.isnan(found[EACH])


def test_tokens_that_agree_have_no_ratio_of_their_own(make):
    case = make(tokens=90, documents=3)
    x, y = (side.activations[case.site] for side in (case.batch.left, case.batch.right))
    y[:10] = x[:10]
    metric = built(case.site, norm="none")
    assert float(metric.sums(case.batch, case.batch.left)[f"n.{EACH}"].sum()) == 80
    found, expected = values(metric, case.batch), plainly(case.batch, case.site, "none")
    assert found[EACH] == pytest.approx(expected[EACH], rel=1e-9)
    assert found[MEAN] == pytest.approx(expected[MEAN], rel=1e-9)


def test_no_mean_where_it_could_not_be_interpolated():
    """Unfiltered, with tokens that hardly differ: their ratios have poles at scales nearby."""
    batch = drifted(cosine_below=1.1)
    x = batch.left.activations[SITE]
    batch.right.activations[SITE] = x * 1.01 + 1e-3 * torch.randn(x.shape)
    metric = built(SITE)
    found = values(metric, batch)
    assert math.isfinite(found[MEAN])
    assert math.isnan(found[EACH])
    (value,) = (value for value in metric.values if value.id == EACH)
    assert "where.cosine_below" in value.undefined
    assert "scale_ratio" in value.undefined
    exact = values(built(SITE, scale_ratio=1.01), batch)
    assert math.isfinite(exact[EACH])


def test_scales_far_apart_leave_only_the_ratio_of_means():
    batch = drifted(scale=4.0)
    metric = built(SITE)
    found, expected = values(metric, batch), plainly(batch, SITE)
    assert found[MEAN] == pytest.approx(expected[MEAN], rel=1e-9)
    assert math.isnan(found[EACH])
    assert math.isnan(found[MEDIAN])
    assert "more than a factor of 2" in metric.values[2].undefined


def test_a_perfect_reconstruction_is_zero():
    batch = drifted()
    batch.right.reconstruction = lambda sae, site: batch.right.x(SITE)[batch.selected]
    found = values(built(SITE), batch)
    assert found[MEAN] == found[EACH] == 0
    assert math.isnan(found[MEDIAN])  # below every bin


def test_a_side_of_zeros_has_no_scale(make):
    case = make(tokens=12)
    case.batch.left.activations[case.site].zero_()
    assert all(math.isnan(value) for value in values(built(case.site), case.batch).values())
    found = values(built(case.site, norm="none"), case.batch)
    expected = plainly(case.batch, case.site, "none")
    assert found[MEAN] == pytest.approx(expected[MEAN])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"norm": "none", "scale_ratio": 1.2}, "leave scale_ratio out"),
        ({"scale_ratio": 0}, "greater than 0"),
        ({"input": "rescaled"}, "needs scale_ratio"),
        ({"variants": []}, "at least 1 item"),
        ({"variants": ["median", "median"]}, "named twice"),
        ({"norm": "l2"}, "'rms', 'msq' or 'none'"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(ValidationError, match=message):
        options.ExplainedRatioOptions.model_validate(given)


def test_only_what_was_asked_for_is_kept():
    batch = drifted()
    metric = built(SITE, variants=["ratio_of_means"])
    assert [value.id for value in metric.values] == [MEAN, SCALE]
    assert {"ratios", "histogram"}.isdisjoint(metric.sums(batch, batch.left))


def test_the_sae_may_read_the_right_side_at_the_left_ones_scale():
    """x_c s_b/s_c is encoded; everything is compared in base units."""
    batch = drifted(scale=1.6)
    sae, rho = batch.left.saes["sae"], 1.2
    found = values(built(SITE, input="rescaled", scale_ratio=rho), batch)
    b, c = (side.x(SITE)[batch.selected] for side in (batch.left, batch.right))
    rescaled = c / rho
    out = sae.reconstruct(sae.encode(rescaled)).double()
    error = (rescaled.double() - out).square().sum(1)
    change = (c.double() / rho - b.double()).square().sum(1)
    assert found[MEAN] == pytest.approx(float(error.sum() / change.sum()), rel=1e-6)
    assert found[EACH] == pytest.approx(float((error / change).mean()), rel=1e-6)
    assert found[MEAN] != pytest.approx(values(built(SITE, scale_ratio=rho), batch)[MEAN], rel=0.01)
