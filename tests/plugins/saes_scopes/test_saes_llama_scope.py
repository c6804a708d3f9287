"""Llama Scope against sae_lens' converter, OpenMOSS' rules written down once more, bad files."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.contract.sites import Site
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.formats.llama_scope.load import LlamaScope
from harness_saes.formats.llama_scope.options import LlamaScopeOptions

REPOSITORY = "fnlp/Llama3_1-8B-Base-LXR-8x"
FOLDER = "Llama3_1-8B-Base-L15R-8x"
DISTILLED = "fnlp/Llama-Scope-R1-Distill"
R1_FOLDER = "800M-Slimpajama-0-OpenR1-Math-220k/L15R"
HOOK = "blocks.15.hook_resid_post"
THETA, NORM = 0.2, 1.7
"""θ in units of raw activations, and their mean length, small as the test's widths are."""


@pytest.fixture
def write(tmp_path, weights, save):
    """Writes a folder of the first generation as published; None leaves a tensor or key out."""

    def make(shape=(8, 32), dtype="float32", folder=FOLDER, rows=None, tensors=(), **keys):
        config = {
            "device": "cuda:0",
            "seed": 42,
            "dtype": "torch.bfloat16",
            "hook_point_in": HOOK,
            "hook_point_out": HOOK,
            "use_decoder_bias": True,
            "apply_decoder_bias_to_pre_encoder": False,
            "expansion_factor": shape[1] / shape[0],
            "d_model": shape[0],
            "d_sae": shape[1],
            "act_fn": "jumprelu",
            "jump_relu_threshold": THETA,
            "norm_activation": "dataset-wise",
            "dataset_average_activation_norm": {"in": NORM, "out": NORM},
            "sparsity_include_decoder_norm": True,
            "use_glu_encoder": False,
            "top_k": 50,
        }
        stored = _stored(weights(*shape, dtype), rows) | dict(tensors)
        place = f"{REPOSITORY}/{folder}"
        save(
            f"{place}/checkpoints/final.safetensors",
            {name: tensor for name, tensor in stored.items() if tensor is not None},
            f"{place}/hyperparams.json",
            **{key: v for key, v in {**config, **keys}.items() if v is not None},
        )
        return tmp_path / place

    return make


@pytest.fixture
def write_r1(tmp_path, weights, save):
    """Writes a folder of the R1 variant as published."""

    def make(shape=(8, 32), dtype="float32", rows=None, tensors=(), **keys):
        config = {
            "sae_type": "sae",
            "hook_point_in": HOOK,
            "hook_point_out": HOOK,
            "d_model": shape[0],
            "expansion_factor": shape[1] / shape[0],
            "use_decoder_bias": True,
            "use_glu_encoder": False,
            "act_fn": "jumprelu",
            "jump_relu_threshold": 0.0,
            "apply_decoder_bias_to_pre_encoder": False,
            "norm_activation": "dataset-wise",
            "sparsity_include_decoder_norm": True,
            "force_unit_decoder_norm": False,
            "top_k": 50,
            "sae_pretrained_name_or_path": None,
            "strict_loading": True,
        }
        w = weights(*shape, dtype)
        stored = _stored(w, rows) | {
            "log_jumprelu_threshold": w["threshold"].log(),
            f"dataset_average_activation_norm.{HOOK}": torch.tensor(NORM),
        }
        place = f"{DISTILLED}/{R1_FOLDER}"
        save(
            f"{place}/sae_weights.safetensors",
            {n: t for n, t in {**stored, **dict(tensors)}.items() if t is not None},
            f"{place}/config.json",
            **{**config, **keys},
        )
        return tmp_path / place

    return make


def _stored(w, rows):
    """Linear layers as torch has them; decoder rows of one length where `rows` says so."""
    decoder = w["W_dec"]
    if rows is not None:
        decoder = rows * decoder / decoder.norm(dim=1, keepdim=True)
    return {
        "encoder.weight": w["W_enc"].T,
        "encoder.bias": w["b_enc"],
        "decoder.weight": decoder.T,
        "decoder.bias": w["b_dec"],
    }


def openmoss(w, log_threshold=None, gated=True):
    """OpenMOSS' own order of doing it, for one θ: parameters standardised to raw activations,
    the score a·‖D_j‖ against the threshold, the latent without it. For R1, activations scaled."""
    d = {name: tensor.double().numpy() for name, tensor in w.items()}
    s = math.sqrt(d["W_enc"].shape[0]) / NORM
    lengths = np.linalg.norm(d["W_dec"], axis=1) if gated else np.ones(len(d["W_dec"]))

    def reference(x):
        raw = x @ d["W_enc"] + d["b_enc"] / s
        scaled = raw * s
        if log_threshold is None:
            active = raw * lengths > THETA
        else:
            active = scaled * lengths > np.exp(log_threshold.double().numpy())
        z = np.where(active, scaled, 0)
        return z, (z @ d["W_dec"] + d["b_dec"]) / s

    return reference


def options(path, **more):
    return LlamaScopeOptions(path=str(path), **more)


def load(path, **more):
    return LlamaScope(options(path, **more)).load("cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equals_sae_lens(write, sae_lens_loads, assert_same, activations, shape, dtype):
    """Where the decoder's lengths do not count, which sae_lens never counts."""
    folder = write(shape, dtype, sparsity_include_decoder_norm=False)
    theirs = sae_lens_loads("llama_scope_sae_huggingface_loader", REPOSITORY, FOLDER)
    theirs.fold_activation_norm_scaling_factor(math.sqrt(shape[0]) / NORM)
    assert_same(load(folder), theirs, activations(shape[0], scale=0.5))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_r1_equals_sae_lens(write_r1, sae_lens_loads, assert_same, activations, shape, dtype):
    folder = write_r1(shape, dtype, sparsity_include_decoder_norm=False)
    theirs = sae_lens_loads(
        "llama_scope_r1_distill_sae_huggingface_loader", DISTILLED, R1_FOLDER, d_sae=shape[1]
    )
    theirs.fold_activation_norm_scaling_factor(math.sqrt(shape[0]) / NORM)
    assert_same(load(folder), theirs, activations(shape[0], scale=0.5))


def test_equals_sae_lens_where_rows_have_length_1(
    write, sae_lens_loads, assert_same, activations, shape
):
    folder = write(shape, rows=1.0)
    theirs = sae_lens_loads("llama_scope_sae_huggingface_loader", REPOSITORY, FOLDER)
    theirs.fold_activation_norm_scaling_factor(math.sqrt(shape[0]) / NORM)
    ours = load(folder)
    assert_same(ours, theirs, activations(shape[0], scale=0.5))
    assert ours.notes == ()


@pytest.mark.parametrize("gated", [True, False])
def test_conforms(write, weights, activations, shape, gated):
    folder = write(shape, sparsity_include_decoder_norm=gated)
    x = activations(shape[0], scale=0.5)
    check_sae(load(folder), openmoss(weights(*shape), gated=gated), x)
    check_sae(load(folder, dtype="float64"), openmoss(weights(*shape), gated=gated), x, rtol=1e-12)


@pytest.mark.parametrize("gated", [True, False])
def test_r1_conforms(write_r1, weights, activations, shape, gated):
    w = weights(*shape)
    folder = write_r1(shape, sparsity_include_decoder_norm=gated)
    reference = openmoss(w, w["threshold"].log(), gated)
    check_sae(load(folder), reference, activations(shape[0], scale=0.5))


def test_length_of_decoder_rows_decides(write, sae_lens_loads, activations):
    """Published rows are 1.5 long: then sae_lens' latents are fewer than OpenMOSS' own."""
    folder = write(rows=1.54)
    theirs = sae_lens_loads("llama_scope_sae_huggingface_loader", REPOSITORY, FOLDER)
    theirs.fold_activation_norm_scaling_factor(math.sqrt(8) / NORM)
    x = activations(8, tokens=400, scale=0.5)
    ours = load(folder)
    found, expected = ours.encode(x).dense() > 0, theirs.encode(x) > 0
    assert (expected & ~found).sum() == 0
    assert found.sum() > 1.1 * expected.sum()
    assert "decoder rows are 1.54 to 1.54 long" in ours.notes[0]


def test_the_flag_is_true_where_it_is_missing(write, activations):
    x = activations(8)
    stated = load(write()).encode(x).dense()
    assert torch.equal(load(write(sparsity_include_decoder_norm=None)).encode(x).dense(), stated)


def test_a_row_of_length_0_is_never_active(write, weights, activations):
    w = weights(8, 32)
    w["W_dec"][4] = 0
    w["b_enc"][4] = 100
    sae = load(write(tensors=_stored(w, None)))
    latents = sae.encode(activations(8))
    assert 4 not in latents.indices.tolist()
    assert torch.isfinite(sae.reconstruct(latents)).all()


@pytest.mark.parametrize(
    ("hook", "folder", "site", "pedia"),
    [
        ("blocks.15.hook_resid_post", "L15R", Site("resid_post", 15), "15-llamascope-res-"),
        ("blocks.3.hook_mlp_out", "L3M", Site("mlp_out", 3), "3-llamascope-mlp-"),
        ("blocks.3.hook_attn_out", "L3A", Site("attn_out", 3), "3-llamascope-att-"),
    ],
)
def test_facts(write, hook, folder, site, pedia):
    folder = f"Llama3_1-8B-Base-{folder}-8x"
    place = write(folder=folder, hook_point_in=hook, hook_point_out=hook)
    facts = options(place).describe()
    assert (facts.architecture, facts.d_in, facts.d_sae) == ("jumprelu", 8, 32)
    assert (facts.site, facts.site_out, facts.model) == (site, None, "meta-llama/Llama-3.1-8B")
    assert load(place).facts == facts
    names_alone = options(REPOSITORY, id=folder).describe()
    assert (names_alone.site, names_alone.d_in, names_alone.d_sae) == (site, 4096, 32768)
    assert names_alone.neuronpedia == f"llama3.1-8b/{pedia}32k"


def test_facts_of_r1(write_r1):
    facts = options(write_r1()).describe()
    assert (facts.d_in, facts.d_sae, facts.site) == (8, 32, Site("resid_post", 15))
    assert facts.model == "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
    names_alone = options(DISTILLED, id=R1_FOLDER).describe()
    assert names_alone.neuronpedia == "deepseek-r1-distill-llama-8b/15-llamascope-slimpj-res-32k"
    assert names_alone.d_sae == 32768


def test_where_it_may_lie(write, write_r1, tmp_path):
    folder, other = write(), write_r1()
    for place in (folder, folder / "checkpoints/final.safetensors", tmp_path / REPOSITORY):
        assert LlamaScopeOptions.claims(str(place))
        assert options(place).describe() == options(folder).describe()
    for place in (other, other / "sae_weights.safetensors", tmp_path / DISTILLED):
        assert LlamaScopeOptions.claims(str(place))
        assert options(place).describe() == options(other).describe()
    write(folder="Llama3_1-8B-Base-L3R-8x")
    with pytest.raises(ModelError, match=r"holds 2 SAEs: .*L15R-8x, .*L3R-8x. Choose one: id"):
        options(tmp_path / REPOSITORY).describe()


def test_claims_nothing_else(tmp_path, save, weights):
    folder = tmp_path / "sae"
    save("sae/sae_weights.safetensors", weights(8, 32), "sae/cfg.json", d_in=8)
    assert not LlamaScopeOptions.claims(str(folder))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    assert not LlamaScopeOptions.claims(str(folder))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"act_fn": "topk"}, "key act_fn is 'topk'. Allowed: \"jumprelu\""),
        ({"act_fn": None}, "key act_fn is missing"),
        ({"norm_activation": "token-wise"}, "key norm_activation is 'token-wise'"),
        ({"apply_decoder_bias_to_pre_encoder": True}, "Allowed: false"),
        ({"use_glu_encoder": True}, "key use_glu_encoder is True"),
        ({"use_decoder_bias": 1}, "key use_decoder_bias is 1. Allowed: true"),
        ({"sae_type": "crosscoder"}, "key sae_type is 'crosscoder'"),
        ({"hook_point_out": "blocks.15.hook_mlp_out"}, "a transcoder, which reads"),
        ({"hook_point_in": "x", "hook_point_out": "x"}, "key hook_point_in is 'x'"),
        ({"jump_relu_threshold": -1}, "Allowed: a number from 0"),
        ({"jump_relu_threshold": None}, "key jump_relu_threshold is missing"),
        ({"dataset_average_activation_norm": {"in": 0, "out": 1}}, "key in is 0"),
        ({"dataset_average_activation_norm": None}, "two numbers"),
        ({"dataset_average_activation_norm": 3.0}, "two numbers"),
        ({"d_sae": 64}, "d_sae is 64. Allowed: d_model x expansion_factor, 32"),
        ({"d_model": 16, "d_sae": 64}, r"\[8\]. Expected \[16\] \(d_model 16 and d_sae 64"),
        ({"scale_outputs": 2}, "unknown key 'scale_outputs', which could change the numbers"),
        ({"jump_relu_treshold": 2}, "Did you mean jump_relu_threshold"),
    ],
)
def test_wrong_configuration(write, keys, message):
    with pytest.raises(ModelError, match=message):
        options(write(**keys)).describe()


def test_no_configuration(write, write_r1):
    for folder, name in ((write(), "hyperparams.json"), (write_r1(), "config.json")):
        (folder / name).unlink()
        with pytest.raises(ModelError, match=f"has no {name}, which says how its activations"):
            options(folder).describe()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"decoder.bias": None}, r"decoder\.bias not found"),
        ({"encoder_glu.weight": torch.ones(32, 8)}, r"encoder_glu\.weight is one tensor too many"),
        ({"encoder.weight": torch.ones(8, 32)}, "which is transposed"),
        ({"decoder.weight": torch.ones(32, 8)}, "which is transposed"),
        ({"encoder.bias": torch.ones(32, dtype=torch.int64)}, "stored as I64"),
    ],
)
def test_wrong_tensors(write, tensors, message):
    with pytest.raises(ModelError, match=message):
        options(write(tensors=tensors)).describe()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"log_jumprelu_threshold": None}, "log_jumprelu_threshold not found"),
        ({f"dataset_average_activation_norm.{HOOK}": None}, "activation_norm.* not found"),
        ({f"dataset_average_activation_norm.{HOOK}": torch.tensor(0.0)}, "above 0"),
        ({f"dataset_average_activation_norm.{HOOK}": torch.tensor(math.nan)}, "above 0"),
        ({"decoder.weight": torch.full((8, 32), math.nan)}, "values that are not finite"),
    ],
)
def test_wrong_tensors_of_r1(write_r1, tensors, message):
    folder = write_r1(tensors=tensors)
    with pytest.raises(ModelError, match=message):
        load(folder)


@pytest.mark.parametrize("keep", [4, 100, -4])
def test_truncated(write, keep):
    folder = write()
    file = folder / "checkpoints/final.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert LlamaScopeOptions.claims(str(folder)), "its own error is told"
    with pytest.raises(ModelError, match="Expected a whole safetensors file"):
        options(folder).describe()
