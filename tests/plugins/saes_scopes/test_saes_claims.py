"""Every format is asked of every scope's files: exactly one claims them."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch

from harness_saes.plugin import harness_components


def claiming(path):
    found = []
    for component in harness_components():
        module, name = component.options.split(":")
        if getattr(importlib.import_module(module), name).claims(str(path)):
            found.append(component.name)
    return found


@pytest.fixture
def write(tmp_path, weights, save):
    """Writes one SAE of a format and returns its folder and its weights file."""
    w = weights(8, 32)
    linear = {
        "encoder.weight": w["W_enc"].T,
        "encoder.bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T,
        "decoder.bias": w["b_dec"],
    }
    keys = {"d_model": 8, "hook_point_in": "blocks.1.hook_resid_post", "act_fn": "jumprelu"}
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")

    def gemma_scope():
        np.savez(tmp_path / "params.npz", **{name: w[name].numpy() for name in names})
        return tmp_path / "params.npz"

    def gemma_scope_2():
        tensors = {name.lower(): w[name] for name in names}
        return save("params.safetensors", tensors, "config.json", architecture="jump_relu")

    def llama_scope():
        return save("checkpoints/final.safetensors", linear, "hyperparams.json", **keys)

    def llama_scope_r1():
        tensors = {**linear, "log_jumprelu_threshold": w["threshold"].log()}
        return save("sae_weights.safetensors", tensors, "config.json", **keys)

    def qwen_scope():
        tensors = {**w, "W_enc": w["W_enc"].T, "W_dec": w["W_dec"].T}
        file = tmp_path / "layer3.sae.pt"
        torch.save({name: tensors[name] for name in names[:-1]}, file)
        return file

    def saelens():
        tensors = {name: w[name] for name in names[:-1]}
        file = save("sae_weights.safetensors", tensors, "cfg.json", architecture="standard")
        (tmp_path / "cfg.json").write_text(
            json.dumps({"architecture": "standard", "d_in": 8, "d_sae": 32})
        )
        return file

    writers = (gemma_scope, gemma_scope_2, llama_scope, llama_scope_r1, qwen_scope, saelens)
    return {writer.__name__: writer for writer in writers}


@pytest.mark.parametrize(
    "name", ["gemma_scope", "gemma_scope_2", "llama_scope", "llama_scope_r1", "qwen_scope"]
)
def test_one_format_claims_a_scope(write, tmp_path, name):
    file = write[name]()
    expected = [name.removesuffix("_r1")]
    assert claiming(file) == expected
    assert claiming(tmp_path) == expected


def test_no_scope_claims_a_saelens_folder(write, tmp_path):
    write["saelens"]()
    assert claiming(tmp_path) == ["saelens"]


def test_nothing_claims_nothing(tmp_path):
    assert claiming(tmp_path) == []
    assert claiming(tmp_path / "nowhere") == []
