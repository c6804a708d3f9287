"""Crosscoders of Gemma Scope 2: block by block in float64, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.contract import SaeInput, Site
from harness.errors import ModelError
from harness.testing import check_sae_format
from harness_saes.formats.gemma_scope_2.crosscoder import GemmaScope2CrosscoderOptions
from harness_saes.formats.gemma_scope_2.load_crosscoder import GemmaScope2Crosscoder

D, COUNTS = 6, (9, 4, 12)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def parts() -> list[dict[str, torch.Tensor]]:
    return [
        {
            "w_enc": random(D, n, seed=1),
            "w_dec": random(n, len(COUNTS), D, seed=2),
            "b_enc": random(n, seed=3) * 0.2,
            "b_dec": random(D, seed=4 + n),
            "threshold": random(n, seed=5).abs(),
        }
        for n in COUNTS
    ]


def write(folder: Path, files: list[dict[str, torch.Tensor]], **settings: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, tensors in enumerate(files):
        save_file(tensors, folder / f"params_layer_{number}.safetensors")
    told = {
        "type": "crosscoder",
        "architecture": "jump_relu",
        "width": sum(COUNTS),
        "model_name": "gemma-v3-1b-it",
        "hf_hook_point_in": "model.layers.{5,9,12}.output",
        "hf_hook_point_out": "model.layers.{5,9,12}.output",
    }
    (folder / "config.json").write_text(json.dumps(told | settings))
    return folder


def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w = [{name: tensor.double().numpy() for name, tensor in part.items()} for part in parts()]
    codes, outs = [], []
    for token in x:
        f = []
        for block, part in enumerate(w):
            a = token[block * D : (block + 1) * D] @ part["w_enc"] + part["b_enc"]
            f.append(np.where(a > part["threshold"], a, 0))
        out = [
            sum(f[block] @ w[block]["w_dec"][:, to] for block in range(len(w))) + w[to]["b_dec"]
            for to in range(len(w))
        ]
        codes.append(np.concatenate(f))
        outs.append(np.concatenate(out))
    return np.stack(codes), np.stack(outs)


def test_keeps_the_laws_and_equals_the_slow_form(tmp_path):
    options = GemmaScope2CrosscoderOptions(path=str(write(tmp_path / "a", parts())))
    x = random(40, len(COUNTS) * D, seed=9) * 2
    check_sae_format(GemmaScope2Crosscoder, options, reference=reference, x=x)
    facts = options.describe()
    assert facts.inputs == tuple(SaeInput(site=Site("resid_post", n), width=D) for n in (5, 9, 12))
    assert not facts.of_pair
    assert (facts.site, facts.model) == (Site("resid_post", 5), "google/gemma-3-1b-it")
    assert GemmaScope2CrosscoderOptions.claims(options.path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"type": "clt"}, "type is 'clt'"),
        ({"width": 7}, "width is 7, but the files have 25"),
        ({"hf_hook_point_in": "model.layers.5.output"}, "same blocks for both"),
        ({"hf_hook_point_out": "model.layers.{6,7,8}.output"}, "same blocks for both"),
        ({"hf_hook_point_in": None}, "hf_hook_point_in"),
        (
            {
                "hf_hook_point_in": "model.layers.{5,9,12,15}.output",
                "hf_hook_point_out": None,
            },
            "has no params_layer_3.safetensors",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, settings, said):
    folder = write(tmp_path / "a", parts(), **settings)
    with pytest.raises(ModelError, match=said):
        GemmaScope2CrosscoderOptions(path=str(folder)).describe()
