"""Keys and a class that older versions of the libraries wrote, and that decide no number."""

from __future__ import annotations

import json

import pytest

from harness_saes.formats.dictionary_learning.options import read_config
from harness_saes.formats.llama_scope.config import parse_config as parse_llama_scope
from harness_saes.formats.saelens.config import parse_config as parse_saelens

TRAINER = {"dict_class": "MatryoshkaBatchTopKSAE", "activation_dim": 8, "dict_size": 32, "k": 4}


def dictionary(tmp_path, **trainer):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"trainer": {**TRAINER, **trainer}}))
    return read_config(file, tmp_path / "ae.pt", {})


def test_the_class_as_it_was_spelt_at_first(tmp_path):
    """Issue 13, item 5: MatroyshkaBatchTopKSAE is the class MatryoshkaBatchTopKSAE."""
    new, old = dictionary(tmp_path), dictionary(tmp_path, dict_class="MatroyshkaBatchTopKSAE")
    assert old == new
    assert old.config.architecture == "matryoshka_batchtopk"


@pytest.mark.parametrize("key", ["initial_k", "lambda_warm_steps", "weights_temperature"])
def test_old_keys_of_dictionary_learning(tmp_path, key):
    assert dictionary(tmp_path, **{key: 3}) == dictionary(tmp_path)


@pytest.mark.parametrize("key", ["initial_k", "lambda_warm_steps"])
def test_old_keys_of_saelens(key):
    data = {"architecture": "standard", "d_in": 8, "d_sae": 16, "metadata": {}}
    assert parse_saelens({**data, key: 3}, "cfg.json") == parse_saelens(data, "cfg.json")


@pytest.mark.parametrize("key", ["initial_k", "lambda_warm_steps", "promote_act_fn_dtype"])
def test_old_keys_of_llama_scope(key):
    """`promote_act_fn_dtype` is the precision of JumpReLU in training; we compute in float32."""
    data = {
        "hook_point_in": "blocks.3.hook_resid_post",
        "hook_point_out": "blocks.3.hook_resid_post",
        "d_model": 8,
        "d_sae": 32,
        "act_fn": "jumprelu",
        "jump_relu_threshold": 0.5,
        "dataset_average_activation_norm": {"in": 4.0, "out": 4.0},
    }
    plain = parse_llama_scope(data, "hyperparams.json", distilled=False)
    assert parse_llama_scope({**data, key: None}, "hyperparams.json", distilled=False) == plain
