"""Goodfire's SAEs: golden files, a slow reference, and what is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.formats.goodfire import GoodfireOptions
from harness_saes.formats.goodfire_load import Goodfire

NAME = "Llama-3.3-70B-Instruct-SAE-l50.pt"


def load(path, **options):
    return Goodfire(GoodfireOptions(path=str(path), **options)).load("cpu")


@pytest.fixture
def write(tmp_path, random):
    """Writes a random file in Goodfire's layout."""

    def make(shape=(8, 32, 4), dtype=torch.float32, **change):
        d, n, _ = shape
        state = {
            "encoder_linear.weight": random(n, d, dtype=dtype),
            "encoder_linear.bias": random(n, dtype=dtype),
            "decoder_linear.weight": random(d, n, dtype=dtype),
            "decoder_linear.bias": random(d, dtype=dtype),
        }
        state |= {key.replace("__", "."): value for key, value in change.items()}
        torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / NAME)
        return tmp_path / NAME

    return make


def reference(file):
    stored = torch.load(file, weights_only=True)
    w = {key: tensor.double().numpy() for key, tensor in stored.items()}

    def whole(x):
        z = np.maximum(x @ w["encoder_linear.weight"].T + w["encoder_linear.bias"], 0)
        return z, z @ w["decoder_linear.weight"].T + w["decoder_linear.bias"]

    return whole


def test_equals_goodfires_class(golden, case):
    found = golden("goodfire", case)
    sae = load(found.place)
    found.check(sae)
    found.check(load(found.place.parent, dtype="float64"))
    assert GoodfireOptions(path=str(found.place)).describe() == sae.facts
    assert GoodfireOptions.claims(str(found.place))
    assert str(sae.facts.site) == "resid_post.19"
    assert sae.facts.model == "Llama-3.1-8B-Instruct"


def test_equals_the_formula(write, shape, stored):
    file = write(shape, stored)
    check_sae(load(file), reference(file))
    check_sae(load(file, dtype="float64"), reference(file), rtol=1e-9)


def test_the_name_says_where_it_belongs(write):
    file = write()
    assert str(load(file).facts.site) == "resid_post.50"
    other = file.rename(file.with_name("sae.pt"))
    assert (load(other).facts.site, load(other).facts.model) == (None, None)


def refused(path, message, **options):
    for do in (load, lambda path, **o: GoodfireOptions(path=str(path), **o).describe()):
        with pytest.raises(ModelError, match=message) as error:
            do(path, **options)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder_linear__bias": None}, "decoder_linear.bias not found"),
        ({"threshold": torch.zeros(32)}, "threshold is one tensor too many"),
        ({"encoder_linear__weight": torch.zeros(8, 32)}, "which is transposed"),
        ({"decoder_linear__weight": torch.zeros(32, 8)}, "which is transposed"),
        ({"encoder_linear__bias": torch.zeros(31)}, r"Expected \[31, 8\]"),
        ({"encoder_linear__bias": torch.zeros(32, 1)}, "Expected a vector"),
        ({"k": 3}, "has 'k' beside its tensors"),
    ],
)
def test_content_that_is_wrong(write, change, message):
    refused(write(**change), message)


def test_values_that_are_not_finite(write, random):
    bias = random(8)
    bias[:2] = torch.nan
    with pytest.raises(ModelError, match="b_dec has 2 values that are not finite, of 8"):
        load(write(decoder_linear__bias=bias))


def test_a_pickle_that_would_run_code(write, tmp_path):
    proof = tmp_path / "it_ran"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {proof}",)

    refused(write(k=Hostile()), "which would run code. It was not run")
    assert not proof.exists()


def test_a_file_cut_off(write):
    file = write()
    file.write_bytes(file.read_bytes()[:-30])
    refused(file, "Expected a whole file of torch.save")
    assert not GoodfireOptions.claims(str(file))


def test_several_in_a_folder(write, tmp_path):
    file = write()
    (tmp_path / "b.pth").write_bytes(file.read_bytes())
    refused(tmp_path, f"holds 2 SAEs: {NAME}, b.pth. Choose one")
    assert load(tmp_path, file="b.pth").facts.d_sae == 32


def test_a_repository_has_a_file_of_its_own_name():
    options = GoodfireOptions(path="Goodfire/Llama-3.1-8B-Instruct-SAE-l19")
    assert options.patterns() == ["Llama-3.1-8B-Instruct-SAE-l19.pt*"]
    assert GoodfireOptions(path=options.path, file="a.pth").patterns() == ["a.pth"]
