"""expected_average_only_in: the factor is found by the FVU on the model's own activations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core import linear
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions
from harness_saes.formats.saelens.scale import UNFOLDED, Unfolded, choose_scale, folded, fvu

TRUE = {"normalize_activations": "expected_average_only_in"}
FAMILIES = {
    "standard": {},
    "topk": {},
    "topk rescaled": {"rescale_acts_by_decoder_norm": True},
    "jumprelu": {},
    "gated": {},
    "batchtopk": {},
    "batchtopk rescaled": {"rescale_acts_by_decoder_norm": True},
    "abstopk": {},
}


def load(folder, dtype="float32"):
    return Saelens(SaelensOptions(path=str(folder), dtype=dtype)).load("cpu")


D_IN, D_SAE, ACTIVE = 64, 256, 2
LENGTH, MEAN = 3.0, 0.848
"""Of a latent, and of every coordinate: 2 · 3² + 64 · 0.848² is 64, the length squared."""


def dictionary():
    rows = torch.randn(D_SAE, D_IN, generator=torch.Generator().manual_seed(5))
    return rows / rows.norm(dim=1, keepdim=True)


def trained(tensors, k):
    """Weights that explain activations of length √d, and by their biases only those."""
    rows = dictionary()
    bias = {"b_gate": -1.5, "b_mag": 0.0, "r_mag": 0.0, "threshold": 1.5, "topk_threshold": 1.5}
    # What neither k nor a threshold keeps small, a bias does.
    bias |= {"b_dec": MEAN, "b_enc": 0.0 if k or bias.keys() & tensors.keys() else -1.5}
    tensors["W_enc"], tensors["W_dec"] = rows.T.clone(), rows
    for name in tensors.keys() & bias.keys():
        tensors[name] = torch.full_like(tensors[name], bias[name])


@pytest.fixture
def sae(write):
    def make(family="topk", **config):
        shape = (D_IN, D_SAE, ACTIVE)
        written = write(family.split()[0], shape, **(TRUE | FAMILIES[family] | config))
        written.tensors(lambda t: trained(t, "topk" in family))
        return load(written.folder), written

    return make


def activations(length, tokens=300):
    """Two dictionary rows around a mean, brought to a mean length."""
    generator = torch.Generator().manual_seed(2)
    codes = torch.zeros(tokens, D_SAE)
    codes.scatter_(1, torch.rand(tokens, D_SAE, generator=generator).topk(ACTIVE).indices, LENGTH)
    x = codes @ dictionary() + MEAN
    return x * length / x.norm(dim=1).mean()


def slow_fvu(x, reconstruction):
    """Token by token, in plain Python numbers."""
    x, out = x.double().tolist(), reconstruction.double().tolist()
    mean = [math.fsum(row[i] for row in x) / len(x) for i in range(len(x[0]))]
    pairs = [zip(row, other, strict=True) for row, other in zip(x, out, strict=True)]
    error = math.fsum((a - b) ** 2 for row in pairs for a, b in row)
    spread = math.fsum((a - m) ** 2 for r in x for a, m in zip(r, mean, strict=True))
    return error / spread


def test_fvu_equals_the_formula():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator) + 1e3  # where float32 sums would cancel
    out = x + torch.randn(40, 6, generator=generator)
    assert fvu(x, out) == pytest.approx(slow_fvu(x, out), rel=1e-9)
    assert fvu(x, x) == 0
    assert math.isnan(fvu(x[:1], out[:1]))
    assert math.isnan(fvu(x[:0], out[:0]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [0.01, 300.0])
def test_a_factor_that_is_not_folded_is(sae, family, length):
    """Raw activations far from length √d: only with the factor does the SAE explain them."""
    ours, written = sae(family)
    x = activations(length)
    found = ours.calibrated(x)
    factor = math.sqrt(D_IN) / length
    assert "folded in" in found.notes[0]
    # What SAELens would give, had it been told the factor.
    theirs = written.sae
    from safetensors.torch import load_file

    theirs.load_state_dict(load_file(written.folder / "sae_weights.safetensors"))
    with torch.no_grad():
        out = theirs.decode(theirs.encode(x * factor)) / factor
    if "batchtopk" not in family:  # theirs picks over the whole batch
        assert fvu(x, found.reconstruct(found.encode(x))) == pytest.approx(fvu(x, out), rel=2e-3)
        torch.testing.assert_close(
            found.reconstruct(found.encode(x)), out, rtol=2e-3, atol=2e-3 * length
        )
    assert fvu(x, found.reconstruct(found.encode(x))) < 0.4
    assert fvu(x, ours.reconstruct(ours.encode(x))) > 0.7


@pytest.mark.parametrize("family", FAMILIES)
def test_a_factor_that_is_folded_already_stays(sae, family):
    """Weights for activations of length 300, saved under the old word: no second folding."""
    ours, _ = sae(family)
    config, tensors = ours._config, ours._tensors
    _, done = folded(config, tensors, math.sqrt(D_IN) / 300)
    again = Unfolded(config, done, ours._build)
    x = activations(300)
    found = again.calibrated(x)
    assert "used as stored" in found.notes[0]
    torch.testing.assert_close(
        found.reconstruct(found.encode(x)), again.reconstruct(again.encode(x))
    )
    assert fvu(x, found.reconstruct(found.encode(x))) < 0.4


@pytest.mark.parametrize("family", ["standard", "topk", "topk rescaled", "jumprelu", "gated"])
def test_scaled_equals_the_folding_of_sae_lens(write, family):
    written = write(family.split()[0], (8, 32, 4), **(TRUE | FAMILIES[family]))
    ours, x = load(written.folder).scaled(math.sqrt(8) / 0.37), written.activations()
    written.sae.fold_activation_norm_scaling_factor(0.37)
    latents = ours.encode(x)
    with torch.no_grad():
        z = written.sae.encode(x)
        torch.testing.assert_close(latents.dense(), z)
        torch.testing.assert_close(ours.reconstruct(latents), written.sae.decode(z))


def test_a_checkpoint_of_a_running_training_tells_its_factor(write):
    """sae_lens writes it beside the weights, and folds it in when training ends."""
    from sae_lens.training.activation_scaler import ActivationScaler

    written = write("topk", **TRUE)
    scaler = str(written.folder / "activation_scaler.json")
    ActivationScaler(scaling_factor=0.37).save(scaler)
    ours, x = load(written.folder), written.activations()
    assert (ours.notes, hasattr(ours, "calibrated")) == ((), False)
    written.sae.fold_activation_norm_scaling_factor(0.37)
    with torch.no_grad():
        z = written.sae.encode(x)
        torch.testing.assert_close(ours.encode(x).dense(), z)
        torch.testing.assert_close(ours.reconstruct(ours.encode(x)), written.sae.decode(z))
    ActivationScaler().save(scaler)  # as after the end
    assert isinstance(load(written.folder), Unfolded)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"scaling_factor": 0}', "scaling_factor is 0.0. Allowed: a number above 0"),
        ('{"scaling_factor": "1"}', "scaling_factor is '1'. Allowed: a number"),
        ("[1]", "is no JSON object"),
        ("{", "is no JSON"),
    ],
)
def test_a_broken_factor(write, content, message):
    written = write("topk", **TRUE)
    file = written.folder / "activation_scaler.json"
    file.write_text(content)
    with pytest.raises(ModelError, match=message) as error:
        load(written.folder)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("rescale", [True, False])
def test_batchtopk_threshold_follows_its_decoder(write, rescale):
    """As sae_lens folds it before its export for inference."""
    config = {**TRUE, "rescale_acts_by_decoder_norm": rescale}
    written = write("batchtopk", **config)
    ours, x = load(written.folder).scaled(math.sqrt(8) / 0.37), written.activations()
    written.sae.fold_activation_norm_scaling_factor(0.37)
    written.sae.save_inference_model(written.folder / "export")
    theirs = load(written.folder / "export")
    one, other = ours.encode(x), theirs.encode(x)
    assert torch.equal(one.dense() != 0, other.dense() != 0)
    torch.testing.assert_close(ours.reconstruct(one), theirs.reconstruct(other))


@pytest.mark.parametrize("shape", [(8, 32, 4), (24, 100, 7)])
def test_matching_pursuit_folds_as_sae_lens_does(write, shape):
    written = write("matching_pursuit", shape, residual_threshold=0.5, **TRUE)
    ours, x = load(written.folder).scaled(math.sqrt(shape[0]) / 0.37), written.activations()
    written.sae.fold_activation_norm_scaling_factor(0.37)
    with torch.no_grad():
        z = written.sae.encode(x)
        torch.testing.assert_close(ours.encode(x).dense(), z)
        torch.testing.assert_close(ours.reconstruct(ours.encode(x)), written.sae.decode(z))


def test_temporal_is_scaled_when_it_runs(write):
    """sae_lens refuses to fold these; it can do the same by its scalar normalisation."""
    sizes = {"n_heads": 4, "bottleneck_factor": 2, "kval_topk": 4}
    written = write("temporal", **sizes, **TRUE)
    scalar = {
        "normalize_activations": "constant_scalar_rescale",
        "activation_normalization_factor": 0.37,
    }
    theirs = write("temporal", **sizes, **scalar).sae
    ours, x = load(written.folder).scaled(math.sqrt(8) / 0.37), written.activations(12)
    latents = ours.encode(x)
    with torch.no_grad():
        torch.testing.assert_close(latents.dense(), theirs.encode(x[None])[0])
        torch.testing.assert_close(ours.reconstruct(latents), theirs(x[None])[0])


def test_transcoders_are_held_against_their_output(write):
    written = write("skip_transcoder", d_out=5, apply_b_dec_to_input=False, **TRUE)
    ours, x = load(written.folder), written.activations()
    factor = math.sqrt(8) / 40
    x = x * 40 / x.norm(dim=1).mean()
    true = ours.reconstruct(ours.encode(x * factor)) / factor
    found = ours.calibrated(x, true)
    assert "folded in" in found.notes[0]
    torch.testing.assert_close(found.reconstruct(found.encode(x)), true, rtol=1e-3, atol=1e-2)
    kept = ours.calibrated(x, ours.reconstruct(ours.encode(x)))
    assert "FVU 0 with the weights as stored" in kept.notes[0]


def test_choice_is_said_and_logged(sae, caplog):
    ours, _ = sae()
    with caplog.at_level("INFO", "harness_saes.formats.saelens.scale"):
        found = ours.calibrated(activations(300))
    assert len(found.notes) == 1
    assert found.notes[0] in caplog.text
    assert "over 300 tokens" in found.notes[0]
    assert "s = √d_in / mean‖x‖ = 0.02667 folded in" in found.notes[0]
    assert "Neither is good" not in found.notes[0]
    assert not hasattr(found, "calibrated"), "decided once"


def test_two_bad_ones_are_said(sae):
    ours, _ = sae("standard")
    x = activations(300)
    broken = Unfolded(
        ours._config, {**ours._tensors, "W_dec": -ours._tensors["W_dec"]}, ours._build
    )
    assert "Neither is good: is it an SAE of this model" in broken.calibrated(x).notes[0]


@pytest.mark.parametrize("x", [torch.zeros(5, D_IN), torch.zeros(0, D_IN), torch.ones(1, D_IN)])
def test_nothing_can_be_told_from_nothing(sae, x):
    found = sae()[0].calibrated(x)
    assert found.notes == (UNFOLDED,)


def test_the_unfolded_one_is_an_sae_too(sae):
    ours, _ = sae()
    assert isinstance(ours, Sae)
    x = activations(3)
    latents = ours.encode(x)
    assert torch.equal(ours.reconstruct(latents), ours.as_stored.reconstruct(latents))
    assert torch.equal(ours.rows(torch.arange(3)), ours.as_stored.rows(torch.arange(3)))
    chosen, note = choose_scale(ours, x)
    assert chosen.notes == (note,)


def test_fingerprints_tell_scales_apart_but_not_rounding(sae):
    ours, _ = sae()
    one, same = (ours.calibrated(activations(300) * s) for s in (1.0, 1.0000003))
    assert one.fingerprint == same.fingerprint != ours.fingerprint
    assert ours.calibrated(activations(30)).fingerprint != one.fingerprint


def test_other_saes_have_nothing_to_choose(write):
    assert not hasattr(load(write("topk").folder), "calibrated")


def test_inputs_stay_as_they_are(sae):
    x = activations(300)
    before = x.clone()
    sae()[0].calibrated(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("length", [math.sqrt(D_IN), 300.0])
def test_weights_that_stay_as_stored_are_hashed_once(sae, length, monkeypatch):
    """However the scale comes out: the fingerprint of one that is open is made when asked for."""
    hashed, real = [], linear.hash_of

    def hash_of(told, tensors):
        hashed.append(real(told, tensors))
        return hashed[-1]

    monkeypatch.setattr(linear, "hash_of", hash_of)
    ours, _ = sae("topk")
    found = ours.calibrated(activations(length))
    stays = "used as stored" in found.notes[0]
    assert stays == (length < 300)
    assert (found.fingerprint == ours.as_stored.fingerprint) == stays
    assert len(set(hashed)) == (1 if stays else 2)
    assert ours.fingerprint not in {found.fingerprint, ours.as_stored.fingerprint}
