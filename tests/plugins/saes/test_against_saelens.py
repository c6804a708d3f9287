"""Our reading of SAELens folders against sae_lens' own objects and a slow reference."""

from __future__ import annotations

import warnings

import pytest
import torch

from harness.contract.latents import Latents
from harness.testing import check_sae
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions

FAMILIES = {
    "standard": {},
    "topk": {},
    "topk rescaled": {"rescale_acts_by_decoder_norm": True},
    "abstopk": {},
    "jumprelu": {},
    "gated": {},
    "standard, no b_dec": {"apply_b_dec_to_input": False},
    "gated, no b_dec": {"apply_b_dec_to_input": False},
    "standard, constant norm": {"normalize_activations": "constant_norm_rescale"},
    "topk, layer norm": {"normalize_activations": "layer_norm"},
    "jumprelu, layer norm": {"normalize_activations": "layer_norm"},
}


def load(folder, dtype="float32"):
    return Saelens(SaelensOptions(path=str(folder), dtype=dtype)).load("cpu")


def assert_same(ours, theirs, x, rtol=1e-5):
    """Same support, and values that differ by rounding alone."""
    with torch.no_grad():
        z = theirs.encode(x)
        expected = theirs.decode(z)
    latents = ours.encode(x)
    dense = latents.dense()
    assert torch.equal(dense != 0, z != 0)
    assert z.count_nonzero() > len(x), "a test of latents needs some"
    assert (dense - z).abs().max() <= rtol * z.abs().max()
    found = ours.reconstruct(latents)
    assert (found - expected).abs().max() <= rtol * expected.abs().max()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_sae_lens(write, shape, family, dtype):
    written = write(family.split(",")[0].split()[0], shape, dtype, **FAMILIES[family])
    assert_same(load(written.folder), written.sae, written.activations())


@pytest.mark.parametrize("family", FAMILIES)
def test_conforms(write, shape, family, reference):
    written = write(family.split(",")[0].split()[0], shape, **FAMILIES[family])
    check_sae(load(written.folder), reference(written.sae), written.activations())
    check_sae(load(written.folder, "float64"), reference(written.sae), rtol=1e-9)


@pytest.mark.parametrize("family", ["topk", "batchtopk", "matryoshka_batchtopk", "jumprelu"])
def test_equals_sae_lens_after_inference_export(write, shape, family):
    from sae_lens import SAE

    written = write(family, shape, inference=True)
    theirs = SAE.load_from_disk(written.folder, dtype="float32")
    assert_same(load(written.folder), theirs, written.activations())


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("family", ["batchtopk", "matryoshka_batchtopk"])
def test_batchtopk_checkpoint_equals_its_export(write, family, rescale):
    """A checkpoint that sae_lens can train on gives what its inference export gives."""
    config = {"rescale_acts_by_decoder_norm": rescale}
    checkpoint = load(write(family, **config).folder)
    export = load(write(family, inference=True, **config).folder)
    x = write(family, **config).activations()
    one, other = checkpoint.encode(x), export.encode(x)
    assert torch.equal(one.dense() != 0, other.dense() != 0)
    torch.testing.assert_close(one.dense(), other.dense())
    torch.testing.assert_close(checkpoint.reconstruct(one), export.reconstruct(other))


@pytest.mark.parametrize("family", ["standard", "topk", "gated", "jumprelu"])
def test_flat_configuration_of_before_version_6(write, family):
    written = write(family)
    from sae_lens import SAE

    flat = {
        "metadata": None,
        "hook_point": "blocks.3.hook_resid_post",
        "hook_point_layer": 3,
        "hook_point_head_index": None,
        "model_name": "gpt2-small",
        "normalize_activations": False,
        "architecture": None if family in ("standard", "topk") else family,
        "activation_fn_str": "topk" if family == "topk" else "relu",
        "activation_fn_kwargs": {"k": 4} if family == "topk" else {},
        "k": None,
        "rescale_acts_by_decoder_norm": None,
        "apply_b_dec_to_input": None,
        "prepend_bos": True,
        "lr": 0.0003,
    }
    written.edit(**flat)
    ours = load(written.folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SAE.load_from_disk(written.folder)
    assert_same(ours, theirs, written.activations())
    assert str(ours.facts.site) == "resid_post.3"
    assert ours.facts.model == "gpt2-small"
    assert ours.facts.architecture == family


def test_hook_z_takes_heads_concatenated(write):
    """Our backend's attn_z has the heads side by side, which is what sae_lens makes of them."""
    written = write("standard", hook="blocks.1.attn.hook_z", reshape_activations="hook_z")
    ours, x = load(written.folder), written.activations()
    with torch.no_grad():
        heads = x.reshape(len(x), 2, -1)
        z = written.sae.encode(heads)
        expected = written.sae.decode(z).reshape(len(x), -1)
    latents = ours.encode(x)
    torch.testing.assert_close(latents.dense(), z)
    torch.testing.assert_close(ours.reconstruct(latents), expected)
    assert str(ours.facts.site) == "attn_z.1"


def test_scaling_factor_of_ones_changes_nothing(write):
    written = write("standard")
    written.tensors(lambda t: t.update(scaling_factor=torch.ones(32)))
    assert_same(load(written.folder), written.sae, written.activations())


def test_log_threshold_of_old_checkpoints(write):
    written = write("jumprelu")
    written.tensors(lambda t: t.update(log_threshold=t.pop("threshold").log()))
    assert_same(load(written.folder), written.sae, written.activations())


def test_expected_average_is_used_as_stored_and_said(write, caplog):
    """sae_lens does not scale at run time either; the object and the log say so."""
    written = write("topk", normalize_activations="expected_average_only_in")
    sae = load(written.folder)
    assert_same(sae, written.sae, written.activations())
    assert any("expected_average_only_in" in note for note in sae.notes)
    assert "as stored" in caplog.text
    assert load(write("topk").folder).notes == ()


def test_a_token_of_length_zero_has_numbers(write):
    """sae_lens divides 0 by 0 here; one such token would make every mean undefined."""
    sae = load(write("standard", normalize_activations="constant_norm_rescale").folder)
    latents = sae.encode(torch.zeros(2, 8))
    assert sae.reconstruct(latents).isfinite().all()


def test_latents_are_latents(write):
    assert isinstance(load(write("topk").folder).encode(torch.randn(3, 8)), Latents)
