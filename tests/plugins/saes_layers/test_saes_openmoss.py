"""OpenMOSS' current folders against its own classes, a slow formula, and bad files."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch

from harness.contract import SaeFacts
from harness.contract.sites import Site
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.drawn import D, K, N, doubles, each
from harness_saes.formats.openmoss.load import Openmoss
from harness_saes.formats.openmoss.options import NORM, THRESHOLD, OpenmossOptions
from harness_saes.formats.openmoss.samples import (
    LAYERS,
    RESIDUAL,
    reference,
    tensors_of,
    told,
    write,
)

TRANSCODER = {"hook_point_in": "blocks.6.ln2.hook_normalized",
              "hook_point_out": "blocks.6.hook_mlp_out"}  # fmt: skip
ACTS = ("relu", "jumprelu", "topk")


def options(path, **more):
    return OpenmossOptions(path=str(path), **more)


def load(path, **more):
    return Openmoss(options(path, **more)).load("cpu")


def same(ours, z, out, x):
    """Same support, and values that differ by rounding alone."""
    latents = ours.encode(x)
    assert torch.equal(latents.dense() != 0, z != 0)
    assert z.count_nonzero() > len(x)
    assert (latents.dense() - z).abs().max() <= 1e-5 * z.abs().max()
    assert (ours.reconstruct(latents) - out).abs().max() <= 1e-5 * out.abs().max()


# ── Against the library and the formula ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("norm", ["dataset-wise", "inference", "token-wise"])
@pytest.mark.parametrize("by_length", [True, False])
def test_an_sae_equals_openmoss(tmp_path, library, activations, act, norm, by_length):
    """Read by its own `from_pretrained`, which scales activations as training did."""
    models = library("llamascopium.models.sae")
    config = told(
        act_fn=act, norm_activation=norm, sparsity_include_decoder_norm=by_length,
        use_decoder_bias=by_length,
    )  # fmt: skip
    theirs = models.SparseAutoEncoder.from_pretrained(str(write(tmp_path, config)))
    with torch.no_grad():
        scaled, factors = theirs.normalize_activations(
            {RESIDUAL: activations}, return_scale_factor=True
        )
        z = theirs.encode(scaled[RESIDUAL])
        out = theirs.denormalize_activations({RESIDUAL: theirs.decode(z)}, factors)[RESIDUAL]
    same(load(tmp_path), z, out, activations)


@pytest.mark.parametrize("act", ACTS)
def test_a_transcoder_equals_openmoss(tmp_path, library, activations, act):
    models = library("llamascopium.models.sae")
    write(tmp_path, told(act_fn=act, **TRANSCODER))
    theirs = models.SparseAutoEncoder.from_pretrained(str(tmp_path))
    before, after = TRANSCODER.values()
    read = torch.nn.functional.layer_norm(activations, (D,), eps=1e-5)
    with torch.no_grad():
        z = theirs.encode(theirs.normalize_activations({before: read})[before])
        factor = theirs.compute_norm_factor(activations, after)
        out = theirs.denormalize_activations({after: theirs.decode(z)}, {after: factor})[after]
    same(load(tmp_path, norm="layer", norm_epsilon=1e-5), z, out, activations)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("norm", ["dataset-wise", "inference"])
@pytest.mark.parametrize("by_length", [True, False])
def test_a_cross_layer_transcoder_equals_openmoss(
    tmp_path, library, activations, act, norm, by_length
):
    """Latents of each layer, and what this layer alone writes into its own block."""
    models = library("llamascopium.models.clt")
    config = told(
        sae_type="clt", act_fn=act, norm_activation=norm, sparsity_include_decoder_norm=by_length
    )
    theirs = models.CrossLayerTranscoder.from_pretrained(str(write(tmp_path, config)))
    hooks = config["hook_points_in"] + config["hook_points_out"]
    streams = {h: activations * (1 + n / 10) for n, h in enumerate(hooks)}
    with torch.no_grad():
        scaled, factors = theirs.normalize_activations(streams, return_scale_factor=True)
        z = theirs.encode(theirs.prepare_input(scaled)[0])
    for layer in range(LAYERS):
        before, after = config["hook_points_in"][layer], config["hook_points_out"][layer]
        with torch.no_grad():
            rows = theirs.W_D[layer][layer]
            out = (z[:, layer] @ rows + theirs.b_D[layer]) / factors[after]
        same(load(tmp_path, layer=layer), z[:, layer], out, streams[before])


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("norm", ["dataset-wise", "inference", "token-wise"])
@pytest.mark.parametrize("by_length", [True, False])
def test_conforms(tmp_path, act, norm, by_length):
    config = told(
        act_fn=act, norm_activation=norm, sparsity_include_decoder_norm=by_length,
        use_decoder_bias=not by_length,
    )  # fmt: skip
    write(tmp_path, config)
    token = partial(reference, doubles(tensors_of(config)), config, None)
    check_sae(load(tmp_path), partial(each, token))
    check_sae(load(tmp_path, dtype="float64"), partial(each, token), rtol=1e-12)


@pytest.mark.parametrize("act", ACTS)
def test_layers_of_a_cross_layer_transcoder_conform(tmp_path, act):
    config = told(sae_type="clt", act_fn=act)
    write(tmp_path, config)
    for layer in range(LAYERS):
        token = partial(reference, doubles(tensors_of(config)), config, layer)
        check_sae(load(tmp_path, layer=layer), partial(each, token))


def test_lengths_of_a_cross_layer_one_are_of_all_that_is_written(tmp_path, activations):
    """Longer rows into a later block wake latents of an earlier one; its own rows are the same."""
    config = told(sae_type="clt", sparsity_include_decoder_norm=True)
    write(tmp_path, config)
    before = load(tmp_path, layer=0)
    later = tensors_of(config)["W_D.2"] * 50
    write(tmp_path, config, **{"W_D.2": later})
    after = load(tmp_path, layer=0)
    every = torch.arange(N)
    assert torch.equal(before.rows(every), after.rows(every))
    assert after.encode(activations).counts.sum() > before.encode(activations).counts.sum()


def test_a_row_of_length_0_is_never_active(tmp_path, activations):
    for act in ("jumprelu", "topk"):
        config = told(act_fn=act)
        rows = tensors_of(config)["W_D"]
        rows[3] = 0
        write(tmp_path, config, W_D=rows)
        ours = load(tmp_path)
        latents = ours.encode(activations)
        assert not (latents.indices == 3).any()
        assert torch.isfinite(ours.reconstruct(latents)).all()


def test_a_threshold_of_0_is_none(tmp_path, activations):
    """Its logarithm is −∞, which is a number like any other there."""
    write(tmp_path, told(), **{THRESHOLD: torch.full((N,), -math.inf)})
    jumps = load(tmp_path).encode(activations).dense()
    write(tmp_path, told(act_fn="relu"))
    assert torch.equal(jumps, load(tmp_path).encode(activations).dense())


def test_norms_that_are_not_used_may_be_anything(tmp_path, activations):
    """The library writes what memory held where it never measured them."""
    config = told(norm_activation="inference")
    before = load(write(tmp_path, config)).encode(activations).dense()
    write(tmp_path, config, **{NORM + RESIDUAL: torch.tensor(math.nan)})
    assert torch.equal(load(tmp_path).encode(activations).dense(), before)
    write(tmp_path, config, **{NORM + RESIDUAL: None})
    assert torch.equal(load(tmp_path).encode(activations).dense(), before)


# ── What it says of itself ───────────────────────────────────────────────────────────────────────


def test_facts(tmp_path):
    write(tmp_path / "sae", told(act_fn="topk"))
    facts = options(tmp_path / "sae").describe()
    assert facts == SaeFacts("topk", D, N, Site("resid_post", 6))
    assert load(tmp_path / "sae").facts == facts
    write(tmp_path / "tc", told(**TRANSCODER))
    norm = {"norm": "rms", "norm_epsilon": 1e-6}
    facts = options(tmp_path / "tc", **norm).describe()
    assert facts == SaeFacts("jumprelu", D, N, Site("resid_mid", 6), Site("mlp_out", 6))
    write(tmp_path / "clt", told(sae_type="clt"))
    facts = options(tmp_path / "clt", layer=2).describe()
    expected = SaeFacts(
        "jumprelu", D, N, Site("resid_mid", 2), Site("mlp_out", 2), partial=True, blocks=3
    )
    assert facts == expected
    assert "which is the last" in load(tmp_path / "clt", layer=2).notes[0]


def test_each_setting_changes_the_fingerprint(tmp_path):
    found = []
    for number, settings in enumerate(
        [{}, {"act_fn": "topk"}, {"act_fn": "topk", "top_k": K + 1},
         {"act_fn": "topk", "sparsity_include_decoder_norm": False},
         {"norm_activation": "inference"}]
    ):  # fmt: skip
        found.append(load(write(tmp_path / str(number), told(**settings))).fingerprint)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("where", ["", "checkpoints"])
def test_exactly_one_format_claims_a_folder(tmp_path, claiming, where):
    for name, settings in (("sae", {}), ("clt", {"sae_type": "clt"})):
        place = write(tmp_path / name, told(**settings))
        if where:
            (place / where).mkdir()
            (place / "sae_weights.safetensors").rename(place / where / "final.safetensors")
        assert claiming(place) == ["openmoss"]
        assert options(place, layer=1 if name == "clt" else None).describe().d_sae == N


def test_the_first_generation_is_another_format(tmp_path, claiming):
    w = tensors_of(told())
    renamed = {"encoder.weight": w["W_E"].T, "encoder.bias": w["b_E"],
               "decoder.weight": w["W_D"].T, "decoder.bias": w["b_D"]}  # fmt: skip
    gone = dict.fromkeys(w, None)
    write(tmp_path, told(), **gone, **{k: t.contiguous() for k, t in renamed.items()})
    assert claiming(tmp_path) == ["llama_scope"]


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("lorsa", "a replacement of attention"),
        ("crosscoder", "reads several hooks at once"),
        ("molt", "each of its latents stands for a matrix"),
    ],
)
def test_what_is_no_sae_is_refused_with_the_reason(tmp_path, message, claiming, kind, said):
    write(tmp_path, told())
    (tmp_path / "config.json").write_text(json.dumps(told() | {"sae_type": kind}))
    assert claiming(tmp_path) == ["openmoss"]
    assert said in message(load, tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sae_type": "custom"}, "key sae_type is 'custom'. Allowed: sae, clt"),
        ({"act_fn": "batchtopk"}, "so a token's latents depend on other tokens"),
        ({"act_fn": "layertopk"}, "so a layer's latents depend on other layers"),
        ({"act_fn": "gelu"}, "key act_fn is 'gelu'. Allowed: relu, jumprelu, topk"),
        ({"act_fn": 3}, "key act_fn is 3"),
        ({"norm_activation": "batch-wise"}, "key norm_activation is 'batch-wise'"),
        ({"norm_activation": "token-wise", **TRANSCODER}, "would have to be scaled by what it is"),
        ({"use_glu_encoder": True}, "key use_glu_encoder is True"),
        ({"more": 1}, "unknown key 'more'"),
        ({"top_k": 0, "act_fn": "topk"}, "key top_k is 0"),
        ({"top_k": 33, "act_fn": "topk"}, "1 to the number of latents, which is 32"),
        ({"d_model": None}, "key d_model is missing"),
        ({"d_model": 9}, "(d_model 9 and 36 latents in config.json)"),
        ({"d_sae": 31}, "key d_sae is 31. Allowed: d_model x expansion_factor, 32"),
        ({"expansion_factor": -1}, "key expansion_factor is -1"),
        ({"hook_point_in": None}, "key hook_point_in is missing"),
        ({"hook_point_in": "blocks.1.hook_foo"}, "the hook 'blocks.1.hook_foo' is not known"),
        ({"hook_point_in": "blocks.6.hook_resid_pre", "hook_point_out": "layer"}, "'layer' is not"),
        (TRANSCODER, 'Write norm = "rms" or "layer"'),
    ],
)
def test_a_configuration_that_is_not_read(tmp_path, message, settings, said):
    config = told()
    write(tmp_path, config)
    changed = {k: v for k, v in {**config, **settings}.items() if v is not None}
    (tmp_path / "config.json").write_text(json.dumps(changed))
    assert said in message(load, tmp_path)


def test_an_sae_of_what_is_no_site(tmp_path, message):
    hook = TRANSCODER["hook_point_in"]
    write(tmp_path, told(hook_point_in=hook, hook_point_out=hook))
    assert "which is no site of a model" in message(
        partial(load, norm="rms", norm_epsilon=1e-6), tmp_path
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hook_points_in": ["blocks.0.hook_resid_mid"]}, "1 hook_points_in and 3 hook_points_out"),
        ({"hook_points_in": "blocks"}, "key hook_points_in is 'blocks'"),
        ({"hook_points_out": []}, "key hook_points_out is []"),
        ({"act_fn": "batchlayertopk"}, "all layers, so a token's latents depend on others"),
        ({"norm_activation": "token-wise"}, "would have to be scaled"),
    ],
)
def test_a_cross_layer_configuration_that_is_not_read(tmp_path, message, settings, said):
    config = told(sae_type="clt")
    write(tmp_path, config)
    (tmp_path / "config.json").write_text(json.dumps(config | settings))
    assert said in message(partial(load, layer=1), tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"W_E": None}, "W_E not found"),
        ({"W_E": torch.ones(N, D)}, "W_E is [32, 8], which is transposed"),
        ({"W_E_glu": torch.ones(D, N)}, "W_E_glu is one tensor too many"),
        ({"b_D": None}, "b_D not found"),
        ({THRESHOLD: None}, "log_jumprelu_threshold not found"),
        ({NORM + RESIDUAL: None}, "hook_resid_post not found"),
        ({NORM + RESIDUAL: torch.tensor(0.0)}, "is 0.0. Expected a mean length, above 0"),
        ({NORM + RESIDUAL: torch.tensor(math.nan)}, "is nan. Expected a mean length, above 0"),
        ({"W_D": torch.full((N, D), math.inf)}, "W_dec has 256 values that are not finite"),
        ({THRESHOLD: torch.full((N,), math.nan)}, "threshold has 32 values that are not finite"),
    ],
)
def test_weights_that_are_not_read(tmp_path, message, changes, said):
    write(tmp_path, told(), **changes)
    assert said in message(load, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"W_D.2": None}, "W_D.2 not found"),
        ({"W_D.1": torch.ones(3, N, D)}, "W_D.1 is [3, 32, 8]. Expected [2, 32, 8]"),
        ({"W_E": torch.ones(2, D, N)}, "W_E is [2, 8, 32]. Expected [3, 8, 32]"),
        ({"W_E": torch.full((LAYERS, D, N), math.nan)}, "W_enc has 256 values"),
    ],
)
def test_weights_of_a_cross_layer_one_that_are_not_read(tmp_path, message, changes, said):
    write(tmp_path, told(sae_type="clt"), **changes)
    assert said in message(partial(load, layer=1), tmp_path)


def test_files_that_are_missing_or_cut_off(tmp_path, message):
    write(tmp_path, told())
    assert "Remove the option layer" in message(partial(load, layer=1), tmp_path)
    file = tmp_path / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "Expected a whole safetensors file" in message(load, tmp_path)
    (tmp_path / "config.json").unlink()
    assert "has no config.json" in message(load, tmp_path)
    file.unlink()
    with pytest.raises(ModelError, match=r"holds no sae_weights\.safetensors or"):
        load(tmp_path)
    write(tmp_path, told(sae_type="clt"))
    assert "has 3 layers" in message(load, tmp_path)
    assert "no layer 3" in message(partial(load, layer=3), tmp_path)


def test_the_reference_is_not_trivial():
    """Selected by length or not are two things on these weights, else neither would be tested."""
    w, x = doubles(tensors_of(told(act_fn="topk"))), np.linspace(-2, 3, D)
    found = [
        reference(w, told(act_fn="topk", sparsity_include_decoder_norm=one), None, x)[0]
        for one in (True, False)
    ]
    assert (found[0] != 0).sum() == (found[1] != 0).sum() == K
    assert not np.array_equal(found[0] != 0, found[1] != 0)
