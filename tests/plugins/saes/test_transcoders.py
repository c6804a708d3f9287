"""Transcoders read from SAELens folders, against sae_lens' own objects and a slow reference."""

from __future__ import annotations

import pytest
import torch

from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae
from harness_saes.formats.saelens.config import parse_config
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions

FAMILIES = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")


def load(folder, dtype="float32"):
    return Saelens(SaelensOptions(path=str(folder), dtype=dtype)).load("cpu")


@pytest.fixture
def transcoder(write):
    def make(family, shape=(8, 32, 0), dtype="float32", d_out=None, **config):
        config.setdefault("apply_b_dec_to_input", False)
        return write(family, shape, dtype, d_out=d_out or shape[0] + 3, **config)

    return make


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_sae_lens(transcoder, shape, family, dtype):
    written = transcoder(family, shape, dtype)
    ours, x = load(written.folder), written.activations()
    with torch.no_grad():
        z, expected = written.sae.encode(x), written.sae(x)
    latents = ours.encode(x)
    assert torch.equal(latents.dense() != 0, z != 0)
    assert z.count_nonzero() > len(x)
    assert (latents.dense() - z).abs().max() <= 1e-5 * z.abs().max()
    found = ours.reconstruct(latents)
    assert found.shape == (len(x), shape[0] + 3)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("normalize", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("family", FAMILIES)
def test_conforms(transcoder, shape, family, normalize, reference):
    written = transcoder(family, shape, normalize_activations=normalize)
    check_sae(load(written.folder), reference(written.sae), written.activations())
    check_sae(load(written.folder, "float64"), reference(written.sae), rtol=1e-9)


def test_normalisation_is_not_undone_at_another_place(transcoder):
    written = transcoder("skip_transcoder", normalize_activations="layer_norm")
    ours, x = load(written.folder), written.activations()
    with torch.no_grad():
        torch.testing.assert_close(ours.reconstruct(ours.encode(x)), written.sae(x))


def test_the_raw_input_goes_along(transcoder):
    """Of tokens taken out and put together, each takes its own input along."""
    sae = load(transcoder("skip_transcoder").folder)
    x = torch.randn(9, 8)
    some = torch.tensor([7, 2, 2])
    latents = sae.encode(x)
    torch.testing.assert_close(latents.context["input"], x)
    taken = sae.reconstruct(latents.take(some))
    torch.testing.assert_close(taken, sae.reconstruct(latents)[some])


def test_both_places_are_told(transcoder):
    written = transcoder("transcoder")
    hooks = {"hook_name": "blocks.4.mlp.hook_in", "hook_name_out": "blocks.4.hook_mlp_out"}
    written.edit(metadata=hooks)
    described = SaelensOptions(path=str(written.folder)).describe()
    assert described == load(written.folder).facts
    assert (str(described.site), str(described.site_out)) == ("mlp_in.4", "mlp_out.4")
    assert (described.d_in, described.d_sae, described.architecture) == (8, 32, "transcoder")


def test_an_sae_has_no_other_place(write):
    assert load(write("standard").folder).facts.site_out is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_out": None}, "key d_out is missing. Allowed: a whole number from 1"),
        ({"d_out": 8}, r"W_dec is \[32, 11\]. Expected \[32, 8\]"),
        ({"apply_b_dec_to_input": True}, "Allowed: false for skip_transcoder"),
        ({"architecture": "transcoder"}, "W_skip is one tensor too many"),
        ({"architecture": "standard"}, "unknown key 'd_out'"),
        ({"architecture": "jumprelu_skip_transcoder"}, "threshold not found"),
        ({"architecture": "crosscoder"}, "key architecture is 'crosscoder'. Allowed: standard"),
        ({"metadata": {"hook_head_index_out": 1}}, "key hook_head_index_out is 1. Allowed: null"),
        ({"metadata": {"hook_name_out": 1}}, "key hook_name_out is 1. Allowed: text"),
        (
            {"metadata": {"hook_name_out": " blocks.4.hook_mlp_out"}},
            "key hook_name_out is .*Allowed: where it writes, such as",
        ),
        ({"normalize_activations": "constant_scalar_rescale"}, "key normalize_activations"),
    ],
)
def test_wrong_configuration(transcoder, change, message):
    written = transcoder("skip_transcoder")
    written.edit(**change)
    for read in (load, lambda folder: SaelensOptions(path=str(folder)).describe()):
        with pytest.raises(ModelError, match=message) as error:
            read(written.folder)
        assert str(written.folder) in str(error.value)


@pytest.mark.parametrize(
    ("model", "site", "norm"),
    [("gemma-2-2b", "resid_mid.1", ("rms", 1e-6)), ("gpt2-small", "None", (None, 0.0))],
)
def test_flat_configuration_as_converters_write_it(model, site, norm):
    """What a norm gives before its gain is no site: of a model whose norm is known it is made of
    the stream before it; of another the task has to say where."""
    config = parse_config(
        {
            "architecture": "jumprelu_transcoder", "d_in": 8, "d_out": 8, "d_sae": 32,
            "activation_fn": "relu", "normalize_activations": "none", "model_name": model,
            "hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out",
            "hook_head_index": None, "hook_head_index_out": None, "apply_b_dec_to_input": False,
        },
        "cfg.json",
    )  # fmt: skip
    assert str(config.facts.site_out) == "mlp_out.1"
    assert str(config.facts.site) == site
    assert (config.norm, config.norm_epsilon) == norm
    assert config.facts.place == (None if config.norm else "blocks.1.ln2.hook_normalized")
    assert not config.apply_b_dec_to_input


@pytest.mark.parametrize("name", ["W_skip", "W_dec", "b_dec"])
def test_transposed_or_missing(transcoder, name):
    written = transcoder("skip_transcoder")
    written.tensors(lambda t: t.update({name: t[name].T if t[name].ndim > 1 else t[name][:-1]}))
    with pytest.raises(ModelError, match=f"{name} is .*Expected"):
        load(written.folder)
    written.tensors(lambda t: t.pop(name))
    with pytest.raises(ModelError, match=f"{name} not found"):
        load(written.folder)


def test_b_dec_is_never_subtracted_of_a_transcoder():
    """Also where the configuration keeps the default, and both widths are the same."""
    tensors = {
        "W_enc": torch.eye(3),
        "W_dec": torch.eye(3),
        "b_enc": torch.zeros(3),
        "b_dec": torch.full((3,), 5.0),
    }
    x = torch.tensor([[1.0, 2.0, 3.0]])
    sae = LinearSae(Config("transcoder", 3, 3, d_out=3), tensors)
    torch.testing.assert_close(sae.encode(x).dense(), x)
    torch.testing.assert_close(sae.reconstruct(sae.encode(x)), x + 5)


def test_any_rule_may_have_a_path_beside_it():
    """W_skip is a tensor, not an architecture: a topk transcoder has one too."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(*size, generator=generator)
        for name, size in {
            "W_enc": (4, 9), "W_dec": (9, 6), "b_enc": (9,), "b_dec": (6,), "W_skip": (6, 4),
        }.items()
    }  # fmt: skip
    x = torch.randn(5, 4, generator=generator)
    sae = LinearSae(Config("topk", 4, 9, d_out=6, k=2), tensors)
    values, indices = (x @ tensors["W_enc"] + tensors["b_enc"]).topk(2)
    z = torch.zeros(5, 9).scatter(1, indices, values.relu())
    expected = z @ tensors["W_dec"] + tensors["b_dec"] + x @ tensors["W_skip"].T
    torch.testing.assert_close(sae.reconstruct(sae.encode(x)), expected)
