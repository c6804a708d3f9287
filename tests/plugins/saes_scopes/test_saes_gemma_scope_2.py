"""Gemma Scope 2 against sae_lens' converter, a slow formula, and bad files."""

from __future__ import annotations

import json

import pytest
import torch

from harness.contract.sites import Site
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.formats.gemma_scope_2.options import TENSORS, GemmaScope2Options
from harness_saes.formats.load import GemmaScope2

REPOSITORY = "google/gemma-scope-2-4b-it"
RESIDUAL = "resid_post/layer_22_width_16k_l0_medium"
AFFINE = "transcoder_all/layer_5_width_16k_l0_small_affine"
PLACES = {
    "resid_post": ("output", None),
    "attn_out": ("self_attn.o_proj.input", None),
    "mlp_out": ("post_feedforward_layernorm.output", None),
    "transcoder": ("pre_feedforward_layernorm.output", "post_feedforward_layernorm.output"),
}


@pytest.fixture
def write(tmp_path, weights, save):
    """Writes a folder as published; `config=None` leaves config.json out, None a tensor."""

    def make(folder=RESIDUAL, shape=(8, 32), dtype="float32", config=(), d_out=None, **changed):
        stored = {name.lower(): t for name, t in weights(*shape, dtype, d_out).items()}
        affine = "affine" in folder
        tensors = {name: stored[name] for name in TENSORS}
        if affine:
            tensors["affine_skip_connection"] = stored["skip"]
        tensors |= changed
        kind = folder.split("/")[0].removesuffix("_all")
        layer = folder.split("layer_")[1].split("_")[0]
        before, after = PLACES[kind]
        keys = {
            "hf_hook_point_in": f"model.layers.{layer}.{before}",
            "hf_hook_point_out": f"model.layers.{layer}.{after or before}",
            "width": shape[1],
            "model_name": "google/gemma-3-4b-it",
            "architecture": "jump_relu",
            "l0": 60,
            "affine_connection": affine,
            "type": "transcoder" if after else "sae",
        }
        keys = {k: v for k, v in {**keys, **dict(config or {})}.items() if v is not None}
        place = f"{REPOSITORY}/{folder}"
        save(
            f"{place}/params.safetensors",
            {name: tensor for name, tensor in tensors.items() if tensor is not None},
            "" if config is None else f"{place}/config.json",
            **keys,
        )
        return tmp_path / place

    return make


def options(path, **more):
    return GemmaScope2Options(path=str(path), **more)


def load(path, **more):
    return GemmaScope2(options(path, **more)).load("cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "folder",
    [
        RESIDUAL,
        "attn_out_all/layer_11_width_16k_l0_small",
        "mlp_out/layer_9_width_262k_l0_big",
        "transcoder_all/layer_5_width_16k_l0_big",
        AFFINE,
    ],
)
def test_equals_sae_lens(write, sae_lens_loads, assert_same, activations, shape, folder, dtype):
    place = write(folder, shape, dtype)
    theirs = sae_lens_loads("gemma_3_sae_huggingface_loader", REPOSITORY, folder)
    assert_same(load(place), theirs, activations(shape[0]))


@pytest.mark.parametrize("folder", [RESIDUAL, AFFINE])
def test_conforms(write, weights, jumprelu, activations, shape, folder):
    reference = jumprelu(weights(*shape), skip=folder == AFFINE)
    check_sae(load(write(folder, shape)), reference, activations(shape[0]))
    check_sae(load(write(folder, shape), dtype="float64"), reference, rtol=1e-12)


def test_a_transcoder_may_write_another_width(write, weights, jumprelu):
    sae = load(write(AFFINE, d_out=12))
    check_sae(sae, jumprelu(weights(8, 32, d_out=12), skip=True))


@pytest.mark.parametrize("config", [(), None], ids=["config.json", "names"])
@pytest.mark.parametrize(
    ("folder", "site", "site_out", "pedia"),
    [
        (RESIDUAL, Site("resid_post", 22), None, "gemma-3-4b-it/22-gemmascope-2-res-16k"),
        ("attn_out_all/layer_3_width_16k_l0_small", Site("attn_z", 3), None, None),
        ("mlp_out/layer_9_width_262k_l0_big", Site("mlp_out", 9), None, None),
        (
            AFFINE,
            Site("mlp_in", 5),
            Site("mlp_out", 5),
            "gemma-3-4b-it/5-gemmascope-2-transcoder-16k",
        ),
    ],
)
def test_facts(write, folder, site, site_out, pedia, config):
    place = write(folder, config=config)
    facts = options(place).describe()
    assert (facts.architecture, facts.d_in, facts.d_sae) == ("jumprelu", 8, 32)
    assert (facts.site, facts.site_out, facts.model) == (site, site_out, "google/gemma-3-4b-it")
    assert facts.neuronpedia == pedia
    assert load(place).facts == facts
    names_alone = options(REPOSITORY, id=folder).describe()
    assert (names_alone.site, names_alone.site_out) == (site, site_out)
    assert names_alone.d_sae == (262144 if "262k" in folder else 16384)
    assert names_alone.d_in == (None if site.kind == "attn_z" else 2560)


@pytest.mark.parametrize(
    ("named", "model"),
    [
        ("gemma-v3-1b-it", "google/gemma-3-1b-it"),
        ("google/gemma-3-270m-pt", "google/gemma-3-270m"),
        ("google/gemma-3-12b-pt", "google/gemma-3-12b-pt"),
    ],
)
def test_model_names(write, named, model):
    assert options(write(config={"model_name": named})).describe().model == model


def test_where_it_may_lie(write, tmp_path):
    folder = write()
    for place in (folder, folder / "params.safetensors", tmp_path / REPOSITORY):
        assert GemmaScope2Options.claims(str(place))
        assert options(place).describe().site == Site("resid_post", 22)
    write(AFFINE)
    with pytest.raises(ModelError, match="holds 2 SAEs"):
        options(tmp_path / REPOSITORY).describe()
    chosen = options(tmp_path / REPOSITORY, id=AFFINE)
    assert chosen.describe().site_out == Site("mlp_out", 5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "topk"}, "key architecture is 'topk'. Allowed: \"jump_relu\""),
        ({"architecture": None}, "key architecture is missing"),
        ({"scale": 2.0}, "unknown key 'scale', which could change the numbers"),
        ({"affine_conection": True}, "Did you mean affine_connection"),
        ({"affine_connection": True}, "affine_connection is true, but .* has no tensor"),
        ({"width": 64}, "width is 64, but params.safetensors has 32 latents"),
        ({"width": "16k"}, "key width is '16k'. Allowed: a whole number"),
        ({"type": "transcoder"}, "type is transcoder, but it reads"),
        ({"type": "crosscoder"}, "several layers at once"),
        ({"type": "clt"}, "several layers at once"),
        ({"type": "lorsa"}, "key type is 'lorsa'"),
        ({"hf_hook_point_in": None}, "key hf_hook_point_in is missing. Allowed: text"),
        ({"hf_hook_point_in": "model.layers.3.mlp.gate", "hf_hook_point_out": None}, "not known"),
    ],
)
def test_wrong_configuration(write, config, message):
    with pytest.raises(ModelError, match=message):
        options(write(config=config)).describe()


def test_skip_connection_that_the_configuration_denies(write):
    folder = write(AFFINE, config={"affine_connection": False})
    with pytest.raises(ModelError, match=r"affine_connection is false, but .* has a tensor"):
        load(folder)


def test_configuration_that_is_no_json(write):
    folder = write()
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: is no JSON"):
        options(folder).describe()
    (folder / "config.json").write_text(json.dumps([1]))
    with pytest.raises(ModelError, match="is no JSON object"):
        options(folder).describe()


def test_nothing_tells_what_it_reads(write, tmp_path):
    folder = write(config=None).rename(tmp_path / "an_sae")
    with pytest.raises(ModelError, match=r"has no config\.json, and its path does not tell"):
        options(folder).describe()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"threshold": None}, "threshold not found"),
        ({"w_enc": None}, "w_enc not found"),
        ({"b_skip": torch.ones(8)}, "b_skip is one tensor too many"),
        ({"w_enc": torch.ones(32, 8)}, r"w_enc is \[32, 8\], which is transposed"),
        ({"w_dec": torch.ones(8, 32)}, r"w_dec is \[8, 32\], which is transposed"),
        ({"b_dec": torch.ones(9)}, r"w_dec is \[32, 8\]. Expected \[32, 9\]"),
        ({"threshold": torch.ones(32, dtype=torch.int64)}, "threshold is stored as I64"),
        ({"w_dec": torch.ones(32, 26, 8)}, "several layers at once"),
    ],
)
def test_wrong_tensors(write, changed, message):
    with pytest.raises(ModelError, match=message):
        options(write(**changed)).describe()


def test_transposed_skip_connection(write):
    with pytest.raises(ModelError, match=r"\[12, 8\], which is transposed. Expected \[8, 12\]"):
        load(write(AFFINE, d_out=12, affine_skip_connection=torch.ones(12, 8)))


def test_transposed_encoder_of_a_transcoder(write):
    with pytest.raises(ModelError, match=r"w_enc is \[32, 8\], which is transposed"):
        load(write(AFFINE, w_enc=torch.ones(32, 8)))


def test_cross_layer_transcoder():
    with pytest.raises(ModelError, match="several layers at once"):
        options(REPOSITORY, id="clt/width_262k_l0_medium_affine/params_layer_3").describe()


def test_not_finite(write):
    with pytest.raises(ModelError, match="b_dec has 8 values that are not finite"):
        load(write(b_dec=torch.full((8,), torch.inf)))


@pytest.mark.parametrize("keep", [4, 100, -4])
def test_truncated(write, keep):
    folder = write()
    file = folder / "params.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert GemmaScope2Options.claims(str(folder)), "its own error is told"
    with pytest.raises(ModelError, match="Expected a whole safetensors file"):
        options(folder).describe()


def test_claims_nothing_else(save, tmp_path):
    save("params.safetensors", {"mean": torch.ones(3)})
    assert not GemmaScope2Options.claims(str(tmp_path))
    assert not GemmaScope2Options.claims(str(tmp_path / "nowhere"))
