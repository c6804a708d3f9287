"""Gemma Scope 2's cross-layer transcoders: SAELens, circuit-tracer, the formula, bad files."""

from __future__ import annotations

import importlib
import json
from functools import partial
from pathlib import Path

import pytest
import torch

from harness.contract import SaeFacts
from harness.contract.sites import Site
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.drawn import D, N, doubles, each
from harness_saes.formats.gemma_scope_2.clt import GemmaScope2CltOptions
from harness_saes.formats.gemma_scope_2.load_clt import GemmaScope2Clt
from harness_saes.formats.gemma_scope_2.samples import (
    LAYERS,
    layer_alone,
    layer_tensors,
    write_layers,
)

REPOSITORY = "google/gemma-scope-2-1b-it"
FOLDER = "clt/width_262k_l0_medium_affine"


def options(path, **more):
    return GemmaScope2CltOptions(**{"path": str(path), "layer": 1, **more})


def load(path, **more):
    return GemmaScope2Clt(options(path, **more)).load("cpu")


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder as published: three layers, with an affine skip connection."""
    return write_layers(tmp_path / REPOSITORY / FOLDER, affine=True)


# ── Against the libraries and the formula ────────────────────────────────────────────────────────


@pytest.mark.slow
def test_latents_equal_sae_lens(place, tmp_path, library, monkeypatch, activations):
    """Its converter adds up the decoders; its latents, bias and skip connection are ours."""
    loaders = library("sae_lens.loading.pretrained_sae_loaders")
    (place / "config.json").unlink()  # there is none where it looks: it goes by the names

    def download(repo_id, filename, subfolder="", **_):
        from huggingface_hub.errors import EntryNotFoundError

        file = tmp_path / repo_id / subfolder / filename
        if not file.exists():
            raise EntryNotFoundError(f"{file} is not there")
        return str(file)

    def shapes(repo_id, filename):
        from safetensors import safe_open

        with safe_open(tmp_path / repo_id / filename, framework="np") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118

    monkeypatch.setattr(loaders, "hf_hub_download", download)
    monkeypatch.setattr(loaders, "get_safetensors_tensor_shapes", shapes)
    config, state, _ = loaders.gemma_3_sae_huggingface_loader(
        REPOSITORY, f"{FOLDER}/params_layer_1"
    )
    assert config["architecture"] == "jumprelu_skip_transcoder"
    registry = importlib.import_module("sae_lens.registry")
    sae_class, config_class = registry.get_sae_class(config["architecture"])
    theirs = sae_class(config_class.from_dict(loaders.handle_config_defaulting(config)))
    theirs.process_state_dict_for_loading(state)
    theirs.load_state_dict(state)
    ours = load(place)
    latents = ours.encode(activations)
    with torch.no_grad():
        z, everywhere = theirs.encode(activations), theirs(activations)
    assert torch.equal(latents.dense() != 0, z != 0)
    torch.testing.assert_close(latents.dense(), z, rtol=1e-5, atol=1e-5)
    # What it adds up beyond our rows are the decoders into the other blocks.
    others = layer_tensors(1, affine=True)["w_dec"].sum(1) - ours.rows(torch.arange(N))
    expected = everywhere - z @ others
    torch.testing.assert_close(ours.reconstruct(latents), expected, rtol=1e-4, atol=1e-4)


def test_latents_equal_circuit_tracer(place, library, activations):
    """Its loader, given one path more, as it takes one layer less than it is given."""
    cross = library("circuit_tracer.transcoder.cross_layer_transcoder")
    paths = {n: str(place / f"params_layer_{n}.safetensors") for n in range(LAYERS)}
    paths[LAYERS] = paths[0]
    cpu = torch.device("cpu")
    theirs = cross.load_gemma_scope_2_clt(paths, device=cpu, dtype=torch.float32)
    stream = activations.expand(LAYERS, *activations.shape)
    for layer in range(LAYERS):
        with torch.no_grad():
            z = theirs.encode_layer(activations, layer)
            alone = torch.zeros(LAYERS, *z.shape)
            alone[layer] = z
            out = theirs.decode(alone, stream)[layer]
        ours = load(place, layer=layer)
        latents = ours.encode(activations)
        assert torch.equal(latents.dense() != 0, z != 0)
        torch.testing.assert_close(latents.dense(), z, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.reconstruct(latents), out, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("affine", [False, True])
def test_conforms(tmp_path, affine):
    write_layers(tmp_path, affine=affine)
    for layer in range(LAYERS):
        w = doubles(layer_tensors(layer, affine))
        check_sae(load(tmp_path, layer=layer), partial(each, partial(layer_alone, w, layer)))


# ── What it says of itself ───────────────────────────────────────────────────────────────────────


def test_facts(place, tmp_path):
    expected = SaeFacts(
        "jumprelu", D, N, Site("mlp_in", 1), Site("mlp_out", 1), model="google/gemma-3-1b-it",
        partial=True, blocks=3,
    )  # fmt: skip
    assert options(place).describe() == expected
    sae = load(place)
    assert sae.facts == expected
    assert (
        "layer 1 of a cross-layer transcoder of 3: its latents write into its own and the 1 after"
        in sae.notes[0]
    )
    # By the path where there is no configuration, and by id in a repository.
    (place / "config.json").unlink()
    assert load(place).facts == expected
    assert options(tmp_path / REPOSITORY, id=FOLDER).describe() == expected


def test_facts_of_one_that_is_not_here(snapshot):
    facts = options(REPOSITORY, id=FOLDER).describe()
    assert (facts.site, facts.model) == (Site("mlp_in", 1), "google/gemma-3-1b-it")
    assert facts.partial
    assert facts.d_sae is None
    assert options(REPOSITORY, id=FOLDER).needs().download == REPOSITORY
    with pytest.raises(ModelError, match="Choose one: layer = its number"):
        options(REPOSITORY, id=FOLDER, layer=None).describe()


def test_of_the_hub_only_the_layer_is_fetched(place, snapshot, monkeypatch):
    here, asked = snapshot(REPOSITORY) / FOLDER, []

    def fetch(repository, patterns, revision, where, *, optional=()):
        asked.append((repository, tuple(patterns), tuple(optional)))
        here.mkdir(parents=True)
        for name in ("params_layer_1.safetensors", "config.json"):
            (here / name).write_bytes((place / name).read_bytes())
        return here.parents[1]

    monkeypatch.setattr("harness_saes.formats.gemma_scope_2.clt.fetch", fetch)
    assert load(REPOSITORY, id=FOLDER).facts == options(place).describe()
    file = f"{FOLDER}/params_layer_1.safetensors"
    assert asked == [(REPOSITORY, (file,), (f"{FOLDER}/config.json",))]
    load(REPOSITORY, id=FOLDER)
    assert len(asked) == 1
    assert options(REPOSITORY, id=FOLDER).needs().download is None


def test_exactly_one_format_claims_a_folder(place, claiming):
    assert claiming(place) == ["gemma_scope_2_clt"]
    whole = place / "params_layer_0.safetensors"
    whole.write_bytes(whole.read_bytes()[:100])
    assert claiming(place) == ["gemma_scope_2_clt"]
    (place / "config.json").unlink()
    assert claiming(place) == ["gemma_scope_2_clt"]


def test_a_crosscoder_is_none(place, claiming):
    told = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(told | {"type": "crosscoder"}))
    assert claiming(place) == ["gemma_scope_2_crosscoder"]


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"type": "sae"}, "key type is 'sae'. Allowed: clt, cross_layer_transcoder"),
        ({"architecture": "topk"}, "key architecture is 'topk'"),
        ({"more": 1}, "unknown key 'more'"),
        ({"hf_hook_point_in": "model.layers.{0,1,2}.output"}, "key hf_hook_point_in is"),
        ({"hf_hook_point_out": 3}, "key hf_hook_point_out is 3"),
        ({"affine_connection": False}, "the files have a tensor affine_skip_connection"),
    ],
)
def test_a_configuration_that_is_not_read(place, message, settings, said):
    told = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(told | settings))
    assert said in message(load, place)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"w_enc": None}, "w_enc not found"),
        ({"w_dec": torch.ones(N, D)}, "w_dec is [32, 8]. Expected [32, 3, 8]"),
        ({"w_dec": torch.ones(N, 2, D)}, "w_dec writes into 2 blocks, and there is a file of lay"),
        ({"w_dec": torch.full((N, LAYERS, D), torch.nan)}, "W_dec has 256 values"),
        ({"threshold": torch.ones(N + 1)}, "threshold is [33]. Expected [32]"),
        ({"more": torch.ones(1)}, "more is one tensor too many"),
    ],
)
def test_weights_that_are_not_read(place, message, change, changes, said):
    change(place / "params_layer_1.safetensors", changes)
    assert said in message(load, place)


def test_a_layer_that_is_not_there(place, message):
    assert "no layer 3. Allowed: layer = 0 to 2" in message(partial(load, layer=3), place)
    assert "has 3 layers" in message(partial(load, layer=None), place)
    (place / "params_layer_1.safetensors").unlink()
    assert "no layer 1. Allowed: layer = 0, 2" in message(load, place)


def test_half_a_file_and_no_folder(place, tmp_path, message):
    file = place / "params_layer_1.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "Expected a whole safetensors file" in message(load, place)
    (tmp_path / "empty").mkdir()
    assert "has no params_layer_0.safetensors" in message(load, tmp_path / "empty")
    write_layers(tmp_path / REPOSITORY / "clt/another", affine=False)
    with pytest.raises(ModelError, match="holds 2 cross-layer transcoders"):
        load(tmp_path / REPOSITORY)
    with pytest.raises(ModelError, match=r"id 'clt/anothr' has no layer.*Did you mean clt/another"):
        load(tmp_path / REPOSITORY, id="clt/anothr")
