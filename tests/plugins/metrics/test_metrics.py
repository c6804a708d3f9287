"""Each metric against the float64 reference that its page gives, and the laws of metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.contract import Target
from harness.testing import check_metric
from harness.testing.support.batches import array_batch
from harness_metrics import options
from harness_metrics.cosine import Cosine
from harness_metrics.fvu import Fvu, groups
from harness_metrics.l0 import L0


def selected(batch, side, site):
    return side.x(site)[batch.selected].double().numpy()


def fvu_reference(batch, side, site):
    x = selected(batch, side, site)
    out = side.reconstruction("sae", site).double().numpy()
    variance = np.square(x - x.mean(0)).sum()
    return [np.square(x - out).sum() / variance if variance else math.nan]


def l0_reference(batch, side, site):
    return [float((side.latents("sae", site).dense().numpy() != 0).sum(1).mean())]


def batch_mean_reference(batch, side, site):
    """A mean for every 32 tokens of a document, in its order."""
    x = selected(batch, side, site)
    out = side.reconstruction("sae", site).double().numpy()
    document, place = batch.document[batch.selected], batch.position[batch.selected]
    variance, error, kept = 0.0, 0.0, 0
    for one in set(document.tolist()):
        mine = sorted((document == one).nonzero().squeeze(1).tolist(), key=lambda i: place[i])
        for start in range(0, len(mine), 32):
            these = mine[start : start + 32]
            if len(these) == 1:
                continue
            group = x[these]
            variance += np.square(group - group.mean(0)).sum()
            error += np.square(group - out[these]).sum()
            kept += len(these)
    alone = variance < 1e-9 * np.square(x).sum()
    return [math.nan if alone else error / variance, 1 - kept / len(x)]


def cosines_of(x, y):
    pairs = zip(x, y, strict=True)
    return [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs if a.any() and b.any()]


def mean_cosine(x, y):
    found = cosines_of(x, y)
    return [np.mean(found) if found else math.nan, 1 - len(found) / len(x)]


def cosine_reference(batch, site, sae):
    sides = (batch.left, batch.right)
    found = mean_cosine(*(selected(batch, side, site) for side in sides))
    if sae:
        dense = (side.latents(sae, site).dense().double().numpy() for side in sides)
        found += mean_cosine(*dense)
        found += mean_cosine(*(side.reconstruction(sae, site).double().numpy() for side in sides))
    return found


def below_reference(batch, site, below):
    found = cosines_of(*(selected(batch, side, site) for side in (batch.left, batch.right)))
    return [np.mean([cosine < below for cosine in found]) if found else math.nan]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("place", ["site", "other"])
@pytest.mark.parametrize(
    ("metric", "reference"),
    [(Fvu, fvu_reference), (L0, l0_reference)],
    ids=["fvu", "l0"],
)
def test_one_sided(case, side, place, metric, reference):
    """At the SAE's own site and elsewhere: the preflight measures neighbours."""
    site = getattr(case, place)
    check_metric(
        metric(getattr(options, f"{metric.__name__}Options")(), Target(site, "sae")),
        case.batch,
        reference=lambda batch: reference(batch, getattr(batch, side), site),
        side=side,
    )


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "shape",
    [{}, {"tokens": 400, "documents": 3}, {"filtered": True}, {"tokens": 34, "documents": 22}],
)
def test_fvu_about_the_means_of_groups(make, side, shape):
    case = make(**shape)
    metric = Fvu(options.FvuOptions(variants=["batch_mean"]), Target(case.site, "sae"))
    ids = ["fvu.batch_mean@2", "fvu.batch_mean_excluded@1"]
    assert [value.id for value in metric.values] == ids
    check_metric(
        metric,
        case.batch,
        reference=lambda b: batch_mean_reference(b, getattr(b, side), case.site),
        side=side,
    )


def test_groups_of_a_document_follow_its_order(make):
    case = make(tokens=200, documents=2)
    document, position = case.batch.document, case.batch.position
    found = groups(case.batch)
    for one in (0, 1):
        mine = document == one
        assert torch.equal(found[mine] - found[mine].min(), position[mine] // 32)
    assert not set(found[document == 0].tolist()) & set(found[document == 1].tolist())


def test_documents_of_single_tokens_have_no_variance_of_their_own(make):
    case = make(tokens=5, documents=5)
    metric = Fvu(options.FvuOptions(variants=["pooled", "batch_mean"]), Target(case.site, "sae"))
    found = values(metric, case.batch)
    assert math.isfinite(found["fvu.pooled@1"])
    assert math.isnan(found["fvu.batch_mean@2"])
    assert found["fvu.batch_mean_excluded@1"] == 1


def test_groups_of_one_token_are_left_out_and_counted(make):
    """CASES row 17: 33 tokens are a group of 32 and one alone, whose error has no variance."""
    case = make(tokens=33, documents=1)
    x = case.batch.left.activations[case.site].double().numpy()[:32]
    out = case.batch.left.reconstruction("sae", case.site).double().numpy()[:32]
    expected = np.square(x - out).sum() / np.square(x - x.mean(0)).sum()
    metric = Fvu(options.FvuOptions(variants=["batch_mean"]), Target(case.site, "sae"))
    found = values(metric, case.batch)
    assert found["fvu.batch_mean@2"] == pytest.approx(expected, rel=1e-9)
    assert found["fvu.batch_mean_excluded@1"] == pytest.approx(1 / 33)
    sums = metric.sums(case.batch, case.batch.left)
    assert float(sums["n.fvu.batch_mean@2"].sum()) == 32


@pytest.mark.parametrize("sae", [None, "sae"])
def test_cosine(case, sae):
    variants = ("raw", "latent", "recon")
    metric = Cosine(options.CosineOptions(variants=variants), Target(case.site, sae))
    check_metric(
        metric, case.batch, reference=lambda b: cosine_reference(b, case.site, sae), side="pair"
    )
    kinds = variants if sae else ("raw",)
    expected = [f"cosine.{kind}{end}@1" for kind in kinds for end in ("", "_excluded")]
    assert [value.id for value in metric.values] == expected


@pytest.mark.parametrize("below", [0.9, 0.5, -1.0])
def test_share_below(case, below):
    metric = Cosine(options.CosineOptions(variants=["share_below"], below=below), Target(case.site))
    check_metric(
        metric, case.batch, reference=lambda b: below_reference(b, case.site, below), side="pair"
    )


QUANTILES = {q: f"cosine.quantile_{q:02}@1" for q in (5, 25, 50, 75, 95)}


@pytest.mark.parametrize("noise", [3.0, 0.5, 0.01])
def test_quantiles_are_as_close_as_they_say(make, noise):
    case = make(tokens=3000, documents=4)
    x = case.batch.left.activations[case.site]
    case.batch.right.activations[case.site] = x + noise * torch.randn(x.shape)
    metric = Cosine(options.CosineOptions(variants=["quantiles"]), Target(case.site))
    found = values(metric, case.batch)
    assert list(found) == list(QUANTILES.values())
    cosines = cosines_of(
        *(selected(case.batch, s, case.site) for s in (case.batch.left, case.batch.right))
    )
    for q, id in QUANTILES.items():
        exact = np.quantile(cosines, q / 100)
        assert found[id] == pytest.approx(exact, abs=0.001 if exact > 0.95 else 0.0035)


def test_quantiles_keep_the_laws_of_metrics(case):
    metric = Cosine(options.CosineOptions(variants=["quantiles"]), Target(case.site))

    def reference(batch):
        """To the bin: the exact quantile is tested above, with more tokens."""
        found = values(metric, batch)
        cosines = cosines_of(*(selected(batch, s, case.site) for s in (batch.left, batch.right)))
        for q, id in QUANTILES.items():
            around = (
                np.quantile(cosines, q / 100, method="lower"),
                np.quantile(cosines, q / 100, method="higher"),
            )
            assert min(around) - 0.0031 <= found[id] <= max(around) + 0.0031
        return list(found.values())

    check_metric(metric, case.batch, reference=reference, side="pair")


def totals(metric, batch, side):
    return {
        name: total.sum(0, keepdim=True).numpy() for name, total in metric.sums(batch, side).items()
    }


def values(metric, batch):
    found = metric.value(totals(metric, batch, batch.left))
    return {value.id: float(one[0]) for value, one in zip(metric.values, found, strict=True)}


def test_tokens_without_a_cosine_are_left_out_and_counted(make):
    case = make(tokens=40, zeros=True)
    metric = Cosine(options.CosineOptions(), Target(case.site, "sae"))
    sums = totals(metric, case.batch, case.batch.left)
    assert sums["n"] == [40]
    assert sums["n.cosine.raw@1"] == [38]
    assert values(metric, case.batch)["cosine.raw_excluded@1"] == pytest.approx(2 / 40)
    assert sums["n.cosine.latent@1"] < 40


def test_a_cosine_of_nothing_but_zeros_is_undefined(make):
    case = make(tokens=4, documents=2)
    for side in (case.batch.left, case.batch.right):
        side.activations[case.site].zero_()
    found = values(Cosine(options.CosineOptions(), Target(case.site)), case.batch)
    assert math.isnan(found["cosine.raw@1"])
    assert found["cosine.raw_excluded@1"] == 1


def test_identical_sides_are_exactly_one(make):
    """Not 1 − 1e-16: a null is compared with."""
    case = make(tokens=500, zeros=True)
    batch = case.batch
    batch.right.activations.update(batch.left.activations)
    found = values(Cosine(options.CosineOptions(), Target(case.site, "sae")), batch)
    assert found.pop("cosine.share_below@1") == 0
    for kind in ("raw", "latent", "recon"):
        found.pop(f"cosine.{kind}_excluded@1")
    assert found == dict.fromkeys(found, 1.0)
    assert len(found) == 3 + len(QUANTILES)


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4])
def test_fvu_survives_a_large_mean(make, mean):
    """Second moments about 0 lose (mean/spread)² of the digits; float64 has 16 of them."""
    case = make(tokens=2000)
    x = case.batch.left.activations[case.site]
    spread = x.clone()
    x += mean
    kept = (x.double() - mean).numpy()  # what float32 kept of the spread
    case.sae.bias += mean
    found = values(Fvu(options.FvuOptions(), Target(case.site, "sae")), case.batch)["fvu.pooled@1"]
    out = case.batch.left.reconstruction("sae", case.site).double().numpy() - mean
    expected = np.square(kept - out).sum() / np.square(kept - kept.mean(0)).sum()
    assert found == pytest.approx(expected, rel=1e-6)
    assert spread.std() > 0.9


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, 12345.678])
def test_fvu_without_variance_is_undefined(make, constant):
    case = make(tokens=333, documents=7)
    case.batch.left.activations[case.site].fill_(constant)
    assert math.isnan(
        values(Fvu(options.FvuOptions(), Target(case.site, "sae")), case.batch)["fvu.pooled@1"]
    )


def test_fvu_of_known_answers(make):
    """Perfect is 0; the mean alone is 1; nothing at all is more than 1."""
    case = make(tokens=60)
    x = case.batch.left.activations[case.site]
    metric = Fvu(options.FvuOptions(), Target(case.site, "sae"))
    for answer, expected in ((x, 0.0), (x.mean(0).expand_as(x), 1.0)):
        case.sae.reconstruct = lambda latents, answer=answer: answer
        assert values(metric, case.batch)["fvu.pooled@1"] == pytest.approx(expected, abs=1e-6)
    case.sae.reconstruct = lambda latents: -x
    assert values(metric, case.batch)["fvu.pooled@1"] > 1


def test_topk_has_an_l0_of_k():
    from harness.contract.sites import parse_site
    from harness_saes.core.config import Config
    from harness_saes.core.linear import LinearSae

    site = parse_site("resid_post.1")
    tensors = {
        "W_enc": torch.randn(6, 50), "W_dec": torch.randn(50, 6),
        "b_dec": torch.zeros(6), "b_enc": torch.full((50,), 100.0),
    }  # fmt: skip
    sae = LinearSae(Config("topk", 6, 50, k=7), tensors)
    batch = array_batch([0, 0, 1], {site: torch.randn(3, 6)}, saes={"sae": sae})
    assert values(L0(options.L0Options(), Target(site, "sae")), batch) == {"l0@1": 7.0}


def test_large_pieces_are_split(make, monkeypatch):
    """Float64 copies are made a piece at a time; the pieces change nothing."""
    from harness_metrics import documents

    case = make(tokens=200)
    metrics = [
        Fvu(options.FvuOptions(), Target(case.site, "sae")),
        Cosine(options.CosineOptions(), Target(case.site, "sae")),
    ]
    whole = [values(metric, case.batch) for metric in metrics]
    monkeypatch.setitem(documents._PIECE, "cpu", 30)
    for metric, expected in zip(metrics, whole, strict=True):
        assert values(metric, case.batch) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_options_import_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, harness_metrics.options, harness_metrics.plugin as p\n"
        "assert len(list(p.harness_components())) == 13\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_every_component_resolves():
    import importlib

    from harness_metrics.plugin import harness_components as metrics
    from harness_saes.plugin import harness_components as saes

    for component in (*metrics(), *saes()):
        for name in (component.load, component.options):
            module, _, attribute = name.partition(":")
            assert hasattr(importlib.import_module(module), attribute)
        assert component.summary
