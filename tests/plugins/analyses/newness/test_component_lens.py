"""The analysis `component_lens` against the head of the model, by the letter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.contract import Arrays, Findings, Record, Tools
from harness.testing import organism
from harness_analyses.newness import samples
from harness_analyses.newness.component_lens import ComponentLens, predicted
from harness_analyses.newness.options import ComponentLensOptions
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions


@pytest.fixture(scope="module")
def model():
    options = TransformersOptions(path=str(Path(organism()) / "base"), dtype="float32")
    return TransformersBackend(options).load()


def lens(**more):
    return ComponentLens(ComponentLensOptions(statistic="rest", model="tuned", **more))


def findings(model, vectors, length=10.0, **axes):
    arrays = Arrays("rest", axes, {"components": vectors, "length": np.array([length])})
    where = {"pair": "p", "site": "resid_post.4", "sae": "mid", **axes}
    record = Record("change_rest.share@1", 0.5, 1, "tokens", "share", ci_why="-", axes=where)
    return Findings((record,), arrays=(arrays,), tools=Tools({"tuned": model}), seed=3)


def unit(count, d=128, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_laws_hold(tmp_path):
    for sample in samples.component_lens(tmp_path):
        sample()


def test_it_is_the_norm_and_the_head(model):
    """softmax(W_U · Norm(v)), written out in float64."""
    vectors = 10 * unit(5)
    inner = model.hf
    gain = inner.model.norm.weight.double()
    head = inner.lm_head.weight.double()
    x = torch.from_numpy(vectors)
    normed = x / (x.square().mean(1, keepdim=True) + inner.config.rms_norm_eps).sqrt() * gain
    expected = (normed @ head.T).softmax(1)
    found = torch.stack(list(predicted(model, vectors)))
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_what_a_token_is_written_with_is_read_as_it(model):
    """A component that is a row of the head, seen through the gain of the last norm."""
    gain = model.hf.model.norm.weight.detach().double().numpy()
    head = model.hf.lm_head.weight.detach().double().numpy()
    own = (head @ head.T).argmax(1)  # short rows of a head lose to longer ones near them
    token = int(np.flatnonzero(own == np.arange(len(own)))[100])
    row = head[token] / gain
    vectors = np.array([row / np.linalg.norm(row), unit(1)[0]])
    found = lens(top=5).run(findings(model, vectors))
    first = [row for row in found.tables["tokens"] if row["pc"] == 1 and row["sign"] == "+"]
    assert first[0]["token"] == token
    assert [row["rank"] for row in first] == [1, 2, 3, 4, 5]
    planted, other = (
        next(r for r in found.records if (r.axes["pc"], r.axes["sign"]) == (pc, "+"))
        for pc in (1, 2)
    )
    assert planted.value > planted.null["q95"] > planted.null["value"]
    assert other.value < 2 * other.null["q95"]
    assert planted.axes == {"pair": "p", "site": "resid_post.4", "sae": "mid", "pc": 1, "sign": "+"}


def test_the_same_seed_gives_the_same(model):
    one, again = (lens().run(findings(model, unit(2))) for _ in range(2))
    assert one == again


def test_only_the_pair_that_is_asked_for(model):
    found = findings(model, unit(1), pair="other")
    assert lens(pair="mine").run(found).records[0].value is None
    assert lens(pair="other").run(found).records[0].value is not None


def test_another_width_is_undefined_and_says_why(model):
    found = lens().run(findings(model, unit(2, d=64)))
    assert "64 numbers" in found.records[0].undefined


def test_models_without_gradients_are_refused():
    assert ComponentLensOptions.model_needs == {"gradients", "tokens"}
