"""Releases: resolved by sae_lens, read by us; no test opens a connection."""

from __future__ import annotations

import math

import pytest
import torch

from harness.errors import ModelError
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions


def options(**changes):
    return SaelensOptions(**{"release": "tests", "id": "one", **changes})


def load(**changes):
    return Saelens(options(**changes)).load("cpu")


@pytest.fixture
def release(write, monkeypatch):
    """Puts a written SAE on a hub that is a folder; sae_lens lists it as `tests`, `one`."""

    def make(family, *, converter=None, factor=None, overrides=None, **config):
        from sae_lens.loading import (
            pretrained_sae_loaders as loaders,
            pretrained_saes_directory as directory,
        )

        written = write(family, **config)
        asked = []

        def download(repository, file, revision=None, **_):
            asked.append((repository, file, revision))
            return str(written.folder / file.rpartition("/")[2])

        monkeypatch.setattr("huggingface_hub.hf_hub_download", download)

        def converted(**arguments):
            asked.append(arguments)
            from safetensors.torch import load_file

            cfg = written.sae.cfg.to_dict() | {"k": getattr(written.sae.cfg, "k", None)}
            return cfg, load_file(written.folder / "sae_weights.safetensors"), None

        monkeypatch.setitem(loaders.NAMED_PRETRAINED_SAE_LOADERS, "strange", converted)
        entry = directory.PretrainedSAELookup(
            release="tests", repo_id="owner/tests", model="gpt2", conversion_func=converter,
            saes_map={"one": "folder"}, expected_var_explained={}, expected_l0={},
            neuronpedia_id={"one": "gpt2/1-res"},
            norm_scaling_factor={} if factor is None else {"one": factor},
            config_overrides=overrides,
        )  # fmt: skip
        monkeypatch.setitem(directory.get_pretrained_saes_directory(), "tests", entry)
        return written, asked

    return make


@pytest.mark.slow
def test_native_release_is_read_by_us(release):
    written, asked = release("topk")
    sae = load(revision="v2")
    assert asked == [
        ("owner/tests", "folder/cfg.json", "v2"),
        ("owner/tests", "folder/sae_weights.safetensors", "v2"),
    ]
    x = written.activations()
    assert torch.equal(sae.encode(x).dense() != 0, written.sae.encode(x) != 0)
    assert sae.facts.neuronpedia == "gpt2/1-res"
    assert (
        sae.fingerprint == Saelens(SaelensOptions(path=str(written.folder))).load("cpu").fingerprint
    )


@pytest.mark.parametrize("family", ["standard", "topk", "jumprelu", "gated"])
@pytest.mark.parametrize("converter", [None, "strange"])
def test_known_factor_is_folded_as_sae_lens_does(release, family, converter):
    written, _ = release(
        family,
        converter=converter,
        factor=0.37,
        normalize_activations="expected_average_only_in",
    )
    sae, theirs, x = load(), written.sae, written.activations()
    theirs.fold_activation_norm_scaling_factor(0.37)
    latents = sae.encode(x)
    with torch.no_grad():
        z = theirs.encode(x)
        torch.testing.assert_close(latents.dense(), z)
        torch.testing.assert_close(sae.reconstruct(latents), theirs.decode(z))
    assert sae.notes == ()


def test_unknown_factor_is_said(release):
    release("topk", normalize_activations="expected_average_only_in")
    assert "expected_average_only_in" in load().notes[0]


def test_listed_corrections_win(release):
    written, _ = release("topk", overrides={"normalize_activations": "constant_norm_rescale"})
    scale = load().encode(written.activations()).context["scale"]
    torch.testing.assert_close(scale, written.activations().norm(dim=1) / math.sqrt(8))


def test_a_converter_reads_the_default_branch_only(release):
    _, asked = release("topk", converter="strange")
    load()
    assert asked[0]["repo_id"] == "owner/tests"
    with pytest.raises(ModelError, match="converter strange always reads the default branch"):
        load(revision="v2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"release": "testss"}, "unknown release 'testss'.*Did you mean tests"),
        ({"id": "on"}, "unknown id 'on'. Allowed: one. Did you mean one"),
    ],
)
def test_unknown_names(release, changes, message):
    release("topk")
    with pytest.raises(ModelError, match=message):
        load(**changes)


@pytest.mark.parametrize("converter", [None, "strange"])
def test_architectures_that_sae_lens_computes(release, converter):
    written, _ = release("matching_pursuit", converter=converter)
    x = written.activations()
    with torch.no_grad():
        torch.testing.assert_close(load().encode(x).dense(), written.sae.encode(x))


def test_batchtopk_threshold_follows_a_known_factor(release):
    """Where it is held against a·‖W_dec‖, and the factor changes W_dec."""
    written, _ = release(
        "batchtopk",
        factor=0.37,
        normalize_activations="expected_average_only_in",
        rescale_acts_by_decoder_norm=True,
    )
    before = float(written.sae.topk_threshold)
    written.sae.fold_activation_norm_scaling_factor(0.37)
    assert float(written.sae.topk_threshold) == pytest.approx(before / 0.37)
    x = written.activations()
    z = load().encode(x).dense()
    with torch.no_grad():
        a = (x - written.sae.b_dec) @ written.sae.W_enc + written.sae.b_enc
        a = a * written.sae.W_dec.norm(dim=1)
    torch.testing.assert_close(z, a * (a > before / 0.37))


def test_unlisted_repository_is_read_strictly(release):
    written, asked = release("topk")
    load(release="someone/saes", id="layer_3")
    assert asked[0] == ("someone/saes", "layer_3/cfg.json", None)
    written.edit(apply_relu=False)
    with pytest.raises(ModelError, match="unknown key 'apply_relu'"):
        load(release="someone/saes", id="layer_3")


def test_other_families_are_named(release):
    written, _ = release("topk")
    written.edit(architecture="crosscoder")
    with pytest.raises(ModelError, match="Allowed: standard, jumprelu, gated, topk"):
        load()


def test_offline_is_one_sentence(monkeypatch):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def refuse(*_, **__):
        raise LocalEntryNotFoundError("Cannot find the requested files.\nlong\nadvice")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(ModelError, match="not in the local cache") as error:
        load(release="someone/saes")
    assert "\n" not in str(error.value)


def test_what_the_list_tells_of_a_release_before_it_is_loaded():
    facts = options(release="gpt2-small-res-jb", id="blocks.8.hook_resid_pre").describe()
    assert (str(facts.site), facts.model, facts.d_in) == ("resid_pre.8", "gpt2-small", None)
    assert options(release="someone/saes").describe().site is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"release": "gpt2-small-res-jbx"},
         r"unknown release of sae-lens [\d.]+ 'gpt2-small-res-jbx'.*mean gpt2-small-res-jb\?"),
        ({"release": "gpt2-small-res-jb", "id": "blocks.8.hook_resid_per"},
         "unknown id of gpt2-small-res-jb .*Did you mean blocks.8.hook_resid_pre"),
    ],
)  # fmt: skip
def test_names_that_are_gone_from_the_list_are_told_before_anything_is_loaded(changes, message):
    with pytest.raises(ModelError, match=message) as error:
        options(**changes).describe()
    assert "\n" not in str(error.value)
