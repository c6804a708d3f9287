"""Qwen-Scope against sae_lens' converter, a slow formula, and bad files."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.contract.sites import Site
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.formats.qwen_scope import QwenScopeOptions
from harness_saes.formats.qwen_scope_load import QwenScope

K = 5
REPOSITORY = f"Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}"


@pytest.fixture
def write(tmp_path, weights):
    """Writes layer3.sae.pt as published."""

    def make(shape=(8, 32), dtype="float32", repository=REPOSITORY, name="layer3", **changed):
        folder = tmp_path / repository
        folder.mkdir(parents=True, exist_ok=True)
        w = weights(*shape, dtype)
        stored = {
            "W_enc": w["W_enc"].T.contiguous(),
            "W_dec": w["W_dec"].T.contiguous(),
            "b_enc": w["b_enc"],
            "b_dec": w["b_dec"],
            **changed,
        }
        file = folder / f"{name}.sae.pt"
        torch.save({name: t for name, t in stored.items() if t is not None}, file)
        return file

    return make


def options(path, **more):
    return QwenScopeOptions(path=str(path), **more)


def load(path, **more):
    return QwenScope(options(path, **more)).load("cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equals_sae_lens(write, sae_lens_loads, assert_same, activations, shape, dtype):
    file = write(shape, dtype)
    theirs = sae_lens_loads(
        "qwen_scope_sae_huggingface_loader",
        REPOSITORY,
        "layer3.sae.pt",
        d_in=shape[0],
        d_sae=shape[1],
    )
    assert_same(load(file), theirs, activations(shape[0]))


def test_conforms(write, weights, activations, shape):
    w = {name: tensor.double().numpy() for name, tensor in weights(*shape).items()}

    def reference(x):
        a = x @ w["W_enc"] + w["b_enc"]
        z = np.zeros_like(a)
        for row, kept in zip(z, a, strict=True):
            for j in sorted(range(len(kept)), key=lambda j: -kept[j])[:K]:
                row[j] = max(kept[j], 0)
        return z, z @ w["W_dec"] + w["b_dec"]

    check_sae(load(write(shape)), reference, activations(shape[0]))
    check_sae(load(write(shape), dtype="float64"), reference, rtol=1e-12)


def test_facts(write):
    file = write()
    facts = options(file).describe()
    assert (facts.architecture, facts.d_in, facts.d_sae) == ("topk", 8, 32)
    assert (facts.site, facts.model) == (Site("resid_post", 3), "Qwen/Qwen3-1.7B-Base")
    assert load(file).facts == facts
    names_alone = options("Qwen/SAE-Res-Qwen3.5-27B-W80K-L0_100", id="layer53")
    assert (names_alone.describe().d_in, names_alone.describe().d_sae) == (5120, 81920)
    assert names_alone.describe().site == Site("resid_post", 53)
    assert names_alone.describe().model == "Qwen/Qwen3.5-27B"
    assert names_alone.needs().download == "Qwen/SAE-Res-Qwen3.5-27B-W80K-L0_100 layer53"


def test_where_it_may_lie(write, tmp_path):
    file = write()
    for place in (file, file.parent):
        assert QwenScopeOptions.claims(str(place))
        assert options(place).describe().site == Site("resid_post", 3)
    write(name="layer13")
    with pytest.raises(ModelError, match=r"holds 2 SAEs: layer13, layer3. Choose one: id"):
        options(file.parent).describe()
    assert options(file.parent, id="layer3").describe().site == Site("resid_post", 3)
    assert options(file.parent, id="layer13.sae.pt").describe().site == Site("resid_post", 13)
    with pytest.raises(ModelError, match="Did you mean layer3"):
        options(file.parent, id="layer33").describe()
    with pytest.raises(ModelError, match=r"holds no \*\.sae\.pt"):
        options(tmp_path).describe()


def test_k(write, activations):
    file = write(repository="renamed")
    with pytest.raises(ModelError, match=r"has no folder such as SAE-Res-.*Give k \(50 there\)"):
        options(file).describe()
    assert options(file).claims(str(file))
    counts = load(file, k=3).encode(activations(8)).counts
    assert counts.max() == 3
    with pytest.raises(ModelError, match=r"k is 33\. Allowed: 1 to d_sae, which is 32"):
        options(file, k=33).describe()
    with pytest.raises(ModelError, match="k is 3, but the repository's name says L0_5"):
        options(write(), k=3).describe()
    with pytest.raises(ValidationError):
        options(file, k=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"b_dec": None}, "b_dec not found"),
        ({"threshold": torch.ones(32)}, "threshold is one tensor too many"),
        ({"k": 5}, "k beside the tensors, which could change the numbers"),
        ({"W_enc": torch.ones(8, 32)}, r"W_enc is \[8, 32\], which is transposed"),
        ({"W_dec": torch.ones(32, 8)}, r"W_dec is \[32, 8\], which is transposed"),
        ({"b_enc": torch.ones(32, dtype=torch.int64)}, "b_enc is stored as I64"),
    ],
)
def test_wrong_tensors(write, changed, message):
    with pytest.raises(ModelError, match=message):
        options(write(**changed)).describe()


def test_not_finite(write):
    with pytest.raises(ModelError, match="b_dec has 8 values that are not finite"):
        load(write(b_dec=torch.full((8,), torch.nan)))


class Runs:
    """Unpickling this would make a folder."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


def test_a_pickle_that_runs_code_is_refused_unrun(write, tmp_path):
    trap = tmp_path / "it_ran"
    file = write(b_dec=Runs(trap))
    for read in (lambda: options(file).describe(), lambda: load(file)):
        with pytest.raises(ModelError, match=r"would run code\. It was not run"):
            read()
    assert not trap.exists()


@pytest.mark.parametrize("keep", [10, -1, -100])
def test_truncated(write, keep):
    file = write()
    file.write_bytes(file.read_bytes()[:keep])
    assert QwenScopeOptions.claims(str(file)), "its own error is told"
    with pytest.raises(ModelError, match="cut off or damaged"):
        options(file).describe()


def test_claims_nothing_else(tmp_path):
    torch.save({"encoder.weight": torch.ones(2, 2)}, tmp_path / "layer3.sae.pt")
    assert not QwenScopeOptions.claims(str(tmp_path))
    torch.save({"W_enc": torch.ones(2, 2)}, tmp_path / "ae.pt")
    assert not QwenScopeOptions.claims(str(tmp_path / "ae.pt"))
