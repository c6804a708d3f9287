"""SAEs of a model that TransformerLens processed, on the model as its own files have it.

The right values are TransformerLens': its conversion and its processing of a small GPT-2, in
float64, and sae_lens' own object on what its hooks give.
"""

from __future__ import annotations

import warnings

import pytest
import torch

from harness.errors import ModelError
from harness_saes.formats.saelens.config import parse_config
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions
from harness_saes.formats.saelens.scale import Unfolded, fvu

CENTRED = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
D = 8
HOOKS = {
    "resid_pre": "blocks.1.hook_resid_pre",
    "resid_post": "blocks.1.hook_resid_post",
    "mlp_out": "blocks.1.hook_mlp_out",
    "attn_out": "blocks.1.hook_attn_out",
    "attn_z": "blocks.1.attn.hook_z",
}


@pytest.fixture(scope="module")
def model():
    """A GPT-2 of random numbers, none of which is 0 on average."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=40, n_positions=32, n_embd=D, n_layer=3, n_head=2, resid_pdrop=0,
        embd_pdrop=0, attn_pdrop=0,
    )  # fmt: skip
    found = GPT2LMHeadModel(config).double().eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in found.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4 + 0.3)
    return found


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 40, (3, 16), generator=torch.Generator().manual_seed(6))


@pytest.fixture(scope="module")
def raw(model, ids):
    """What our sites have, read with plain hooks of torch."""
    block, found = model.transformer.h[1], {}

    def keep(name):
        def hook(module, given, out):
            out = out[0] if isinstance(out, tuple) else out
            found[name] = (given[0] if name == "attn_z" else out).reshape(-1, D)

        return hook

    handles = [
        model.transformer.h[0].register_forward_hook(keep("resid_pre")),
        block.register_forward_hook(keep("resid_post")),
        block.mlp.register_forward_hook(keep("mlp_out")),
        block.attn.register_forward_hook(keep("attn_out")),
        block.attn.c_proj.register_forward_hook(keep("attn_z")),
    ]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return found


@pytest.fixture(scope="module")
def processed(model, ids):
    """TransformerLens' activations of the model with centred writing weights."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions.gpt2 import convert_gpt2_weights

    config = HookedTransformerConfig(
        n_layers=3, d_model=D, n_ctx=32, d_head=D // 2, n_heads=2, d_vocab=40, act_fn="gelu_new",
        normalization_type="LN", eps=1e-5, dtype=torch.float64, d_mlp=4 * D,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own next version
        hooked = HookedTransformer(config)
    hooked.load_and_process_state_dict(
        convert_gpt2_weights(model, config), fold_ln=False, center_writing_weights=True,
        center_unembed=False, fold_value_biases=False,
    )  # fmt: skip
    with torch.no_grad():
        _, cache = hooked.run_with_cache(ids)
    return {name: cache[hook].reshape(-1, D) for name, hook in HOOKS.items()}


def assert_near(found, expected):
    """To float32, in which TransformerLens computes some of its steps."""
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()


def centred_sae(write, site="resid_pre", family="standard", **config):
    written = write(family, hook=HOOKS[site], **config)
    metadata = {"hook_name": HOOKS[site], "model_name": "gpt2-small", **CENTRED}
    written.edit(metadata=metadata)
    return written, Saelens(SaelensOptions(path=str(written.folder), dtype="float64")).load("cpu")


@pytest.mark.parametrize("site", HOOKS)
def test_centred_weights_agree_with_transformer_lens(write, model, raw, processed, site):
    """CASES row 7: latents are those of TransformerLens' processed model, from our activations."""
    written, ours = centred_sae(write, site)
    theirs, x = written.sae.to(dtype=torch.float64), processed[site]
    with torch.no_grad():
        z = theirs.encode(x)
        expected = theirs.decode(z)
    latents = ours.encode(raw[site])
    assert z.count_nonzero() > len(x)
    assert_near(latents.dense(), z)
    # As the model would have it: TransformerLens' reconstruction and what centring took away.
    moved = raw[site] - x
    assert (moved.abs().max() > 0.1) == (site != "attn_z")
    assert_near(ours.reconstruct(latents), expected + moved)
    assert any("center_writing_weights" in note for note in ours.notes) == (site != "attn_z")


@pytest.mark.parametrize("normalize", ["layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("family", ["topk", "jumprelu", "matching_pursuit"])
def test_centring_comes_before_what_sae_lens_normalises(write, raw, processed, family, normalize):
    """CASES row 7: with every normalisation, and in sae_lens' own objects."""
    written, ours = centred_sae(write, "mlp_out", family, normalize_activations=normalize)
    theirs, x = written.sae.to(dtype=torch.float64), processed["mlp_out"]
    with torch.no_grad():
        expected = theirs(x)
    found = ours.reconstruct(ours.encode(raw["mlp_out"]))
    assert_near(found, expected + raw["mlp_out"] - x)


def test_the_scale_is_that_of_centred_activations(write, raw, processed):
    """CASES row 7: s = √d / mean‖x‖ counts the lengths that training saw."""
    _, sae = centred_sae(write, "resid_pre", normalize_activations="expected_average_only_in")
    assert isinstance(sae, Unfolded)
    expected = D**0.5 / processed["resid_pre"].norm(dim=1).mean().item()
    assert sae.factor(sae.mean_norm(raw["resid_pre"])) == pytest.approx(expected, rel=1e-3)
    fitted = sae.calibrated(raw["resid_pre"])
    assert any("center_writing_weights" in note for note in fitted.notes)
    assert fvu(raw["resid_pre"], fitted.reconstruct(fitted.encode(raw["resid_pre"]))) > 0


@pytest.mark.parametrize("family", ["transcoder", "skip_transcoder"])
def test_a_transcoder_reads_centred_and_says_what_it_writes(write, raw, processed, family):
    """CASES row 7: a transcoder from the residual stream to the MLP's output."""
    written = write(family, d_out=D, apply_b_dec_to_input=False)
    metadata = {
        "hook_name": HOOKS["resid_pre"],
        "hook_name_out": HOOKS["mlp_out"],
        "model_name": "gpt2-small",
        **CENTRED,
    }
    written.edit(metadata=metadata)
    ours = Saelens(SaelensOptions(path=str(written.folder), dtype="float64")).load("cpu")
    theirs, x = written.sae.to(dtype=torch.float64), processed["resid_pre"]
    with torch.no_grad():
        z = theirs.encode(x)
        expected = theirs(x)
    latents = ours.encode(raw["resid_pre"])
    assert_near(latents.dense(), z)
    assert_near(ours.reconstruct(latents), expected)
    assert any("what it writes was centred" in note for note in ours.notes)


def test_the_flat_form_and_the_fingerprint(write):
    """CASES row 7: gpt2-small-res-jb has the flat form; only a centred SAE has another hash."""
    written = write("standard")
    plain = Saelens(SaelensOptions(path=str(written.folder))).load("cpu")
    flat = {"metadata": None, "hook_point": HOOKS["resid_pre"], "model_name": "gpt2-small"}
    written.edit(**flat)
    same = Saelens(SaelensOptions(path=str(written.folder))).load("cpu")
    written.edit(**CENTRED)
    centred = Saelens(SaelensOptions(path=str(written.folder))).load("cpu")
    assert plain.fingerprint == same.fingerprint != centred.fingerprint
    assert centred.notes
    assert not same.notes


def said(hook="blocks.1.hook_resid_pre", model="gpt2-small", **kwargs):
    data = {"architecture": "standard", "d_in": 8, "d_sae": 16}
    about = {"hook_name": hook, "model_name": model, "model_from_pretrained_kwargs": kwargs}
    return parse_config({**data, "metadata": about}, "cfg.json")


def test_root_mean_square_models_are_not_centred():
    """TransformerLens skips them: `You are not using LayerNorm`."""
    config = said(model="google/gemma-2-2b", center_writing_weights=True)
    assert not config.centred
    assert "RMSNorm" in config.notes[0]


@pytest.mark.parametrize("off", [{}, {"center_writing_weights": False}, {"dtype": "float32"}])
def test_what_changes_nothing_is_not_noted(off):
    config = said(**off)
    assert (config.centred, config.notes) == (False, ())


@pytest.mark.parametrize(
    ("hook", "kwargs", "name"),
    [
        ("blocks.1.attn.hook_z", {"fold_value_biases": True}, "fold_value_biases"),
        ("blocks.1.attn.hook_z", {"refactor_factored_attn_matrices": True}, "refactor"),
        ("blocks.1.ln2.hook_normalized", {"fold_ln": True}, "fold_ln"),
    ],
)
def test_other_processing_is_refused_where_it_matters(hook, kwargs, name):
    """The kind of CASES row 7: activations that an unprocessed model does not have."""
    with pytest.raises(ModelError, match=rf"cfg.json: model_from_pretrained_kwargs: {name}"):
        said(hook, **kwargs)
    assert said(**kwargs).notes == ()


def test_a_model_of_another_step_is_said():
    assert "checkpoint_value" in said(checkpoint_value=1000).notes[0]


@pytest.mark.parametrize("value", [[], "x", 3, {"center_writing_weights": "yes"}])
def test_values_of_another_type_are_refused(value):
    data = {"architecture": "standard", "d_in": 8, "d_sae": 16}
    about = {"hook_name": "blocks.1.hook_resid_pre", "model_from_pretrained_kwargs": value}
    with pytest.raises(ModelError, match="model_from_pretrained_kwargs"):
        parse_config({**data, "metadata": about}, "cfg.json")


def test_the_three_releases_of_the_list_are_centred():
    """CASES row 7: what sae_lens' own list says of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens.loading import pretrained_saes_directory as directory

        found = directory.get_pretrained_saes_directory()
    for release, hook in (
        ("gpt2-small-res-jb", "blocks.8.hook_resid_pre"),
        ("gpt2-small-mlp-tm", "blocks.8.hook_mlp_out"),
    ):
        overrides = directory.get_config_overrides(release, next(iter(found[release].saes_map)))
        assert said(hook, **overrides["model_from_pretrained_kwargs"]).centred
