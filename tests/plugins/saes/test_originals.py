"""Architectures that sae_lens' own objects compute, behind our protocol."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from harness.contract.latents import joined
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.formats.saelens import original
from harness_saes.formats.saelens.config import ARCHITECTURES, parse_config
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions

HEADS = {8: (4, 2), 24: (5, 5), 40: (2, 3)}
"""By d_in: n_heads and bottleneck_factor, whose product divides d_sae."""


def load(folder, dtype="float32"):
    return Saelens(SaelensOptions(path=str(folder), dtype=dtype)).load("cpu")


@pytest.fixture
def temporal(write):
    def make(shape=(8, 32, 4), dtype="float32", **config):
        heads, bottleneck = HEADS[shape[0]]
        defaults = {"kval_topk": shape[2], "n_heads": heads, "bottleneck_factor": bottleneck}
        return write("temporal", shape, dtype, **(defaults | config))

    return make


def pursuit_reference(sae):
    """Matching pursuit of one vector at a time, in float64."""
    cfg = sae.cfg
    w, b = (t.detach().double().numpy() for t in (sae.W_dec, sae.b_dec))

    def one(x):
        scale, shift, eps = 1.0, 0.0, 0.0
        if cfg.normalize_activations == "constant_norm_rescale":
            scale = np.linalg.norm(x) / np.sqrt(len(x))
        if cfg.normalize_activations == "layer_norm":
            scale, shift, eps = x.std(ddof=1), x.mean(), 1e-5
        residual = (x - shift) / (scale + eps) - b * cfg.apply_b_dec_to_input
        z, support = np.zeros(len(w)), set()
        for _ in range(cfg.max_iterations or len(x)):
            product = w @ residual
            best = int(product.argmax())
            value = max(product[best], 0)
            z[best] += value
            residual = residual - value * w[best]
            now = set(np.flatnonzero(z))
            if cfg.stop_on_duplicate_support and now == support:
                break
            support = now
            if np.linalg.norm(residual) < cfg.residual_threshold:
                break
        return z, (z @ w + b * cfg.apply_b_dec_to_input) * scale + shift

    def whole(x):
        found = [one(row) for row in x]
        return np.stack([z for z, _ in found]), np.stack([out for _, out in found])

    return whole


def temporal_reference(sae):
    """The temporal SAE's formula for one sequence, head by head and token by token."""
    cfg = sae.cfg
    weights = {name: value.detach().double().numpy() for name, value in sae.state_dict().items()}
    w_dec, b_dec = weights["W_dec"], weights["b_dec"]
    w_enc = weights.get("W_enc", w_dec.T)
    lam = 1 / (4 * cfg.d_in)

    def attention(layer, context, target):
        def linear(name, x):
            key = f"attn_layers.{layer}.{name}"
            return x @ weights[f"{key}.weight"].T + weights[f"{key}.bias"]

        k, v, q = linear("k_ctx", context), linear("v_ctx", context), linear("q_target", target)
        out = np.zeros_like(v)
        narrow, wide = k.shape[1] // cfg.n_heads, v.shape[1] // cfg.n_heads
        for head in range(cfg.n_heads):
            keys = slice(head * narrow, (head + 1) * narrow)
            values = slice(head * wide, (head + 1) * wide)
            for t in range(len(q)):
                logits = k[: t + 1, keys] @ q[t, keys] / np.sqrt(narrow)
                weight = np.exp(logits - logits.max())
                out[t, values] = weight / weight.sum() @ v[: t + 1, values]
        return linear("c_proj", out)

    def whole(x):
        factor, scale, shift, eps = 1.0, 1.0, 0.0, 0.0
        if cfg.normalize_activations == "constant_scalar_rescale":
            factor = cfg.activation_normalization_factor
        if cfg.normalize_activations == "layer_norm":
            shift, scale = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True)
            eps = 1e-5
        residual = (x - shift) / (scale + eps) * factor - b_dec * cfg.apply_b_dec_to_input
        predicted = np.zeros((len(x), cfg.d_sae))
        for layer in range(cfg.n_attn_layers):
            target = np.maximum(residual * lam @ w_enc, 0)
            context = np.concatenate([np.zeros_like(target[:1]), target[:-1]])
            codes = np.maximum(attention(layer, context, target), 0)
            back = codes @ w_dec
            norm = np.linalg.norm(back, axis=1, keepdims=True) + 1e-6
            share = (back * residual).sum(1, keepdims=True) / norm**2
            predicted += codes * share
            residual = residual - share * back
        z = np.maximum(residual * lam @ w_enc, 0)
        if cfg.sae_diff_type == "topk" and cfg.kval_topk is not None:
            for row in z:
                row[np.argsort(-row, kind="stable")[cfg.kval_topk :]] = 0
        out = (z + predicted) @ w_dec
        if not cfg.tied_weights or cfg.apply_b_dec_to_input:
            out = out + b_dec
        return z, out / factor * scale + shift

    return whole


PURSUITS = {
    "as it comes": {},
    "not centred": {"apply_b_dec_to_input": False},
    "three steps": {"max_iterations": 3, "stop_on_duplicate_support": False},
    "loose": {"residual_threshold": 1.0},
    "no limit but d_in": {"residual_threshold": 0.0, "stop_on_duplicate_support": False},
    "constant norm": {"normalize_activations": "constant_norm_rescale"},
    "layer norm": {"normalize_activations": "layer_norm"},
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", PURSUITS)
def test_matching_pursuit_equals_sae_lens(write, shape, case, dtype):
    written = write("matching_pursuit", shape, dtype, **PURSUITS[case])
    ours, x = load(written.folder), written.activations()
    with torch.no_grad():
        z = written.sae.encode(x)
        expected = written.sae.decode(z)
    latents = ours.encode(x)
    if "norm" not in case:
        assert torch.equal(latents.dense(), z)
    assert torch.equal(latents.dense() != 0, z != 0)
    assert (latents.dense() - z).abs().max() <= 1e-5 * z.abs().max()
    assert (ours.reconstruct(latents) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("case", ["as it comes", "three steps", "loose", "layer norm"])
def test_matching_pursuit_conforms(write, shape, case):
    written = write("matching_pursuit", shape, **({"max_iterations": 6} | PURSUITS[case]))
    sae = load(written.folder, "float64")
    check_sae(sae, pursuit_reference(written.sae), written.activations(20).double(), rtol=1e-9)
    short = write("matching_pursuit", shape, **(PURSUITS[case] | {"max_iterations": 2}))
    check_sae(load(short.folder), pursuit_reference(short.sae), short.activations(20))


def test_matching_pursuit_some_rows_at_a_time(write, monkeypatch):
    folder = write("matching_pursuit").folder
    x = torch.randn(11, 8)
    whole = load(folder).encode(x)
    monkeypatch.setattr(original, "CHUNK_BYTES", 3 * 32 * 4)
    pieces = load(folder).encode(x)
    torch.testing.assert_close(pieces.dense(), whole.dense())


TEMPORALS = {
    "as it comes": {},
    "own encoder": {"tied_weights": False},
    "own encoder, not centred": {"tied_weights": False, "apply_b_dec_to_input": False},
    "not centred": {"apply_b_dec_to_input": False},
    "relu": {"sae_diff_type": "relu", "kval_topk": None},
    "no limit": {"kval_topk": None},
    "two layers": {"n_attn_layers": 2},
    "scalar": {
        "normalize_activations": "constant_scalar_rescale",
        "activation_normalization_factor": 0.3,
    },
    "layer norm": {"normalize_activations": "layer_norm"},
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", TEMPORALS)
def test_temporal_equals_sae_lens(temporal, shape, case, dtype):
    """Latents of `encode`, the whole of `forward`: predicted and novel part."""
    written = temporal(shape, dtype, **TEMPORALS[case])
    ours, x = load(written.folder), written.activations(13)
    with torch.no_grad():
        z, expected = written.sae.encode(x[None])[0], written.sae(x[None])[0]
    latents = ours.encode(x)
    assert torch.equal(latents.dense() != 0, z != 0)
    assert z.count_nonzero() > len(x)
    assert (latents.dense() - z).abs().max() <= 1e-5 * z.abs().max()
    assert (ours.reconstruct(latents) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("case", TEMPORALS)
def test_temporal_conforms(temporal, shape, case):
    written = temporal(shape, **TEMPORALS[case])
    reference = temporal_reference(written.sae)
    sae = load(written.folder, "float64")
    assert sae.facts.needs_sequence
    check_sae(sae, reference, written.activations(12).double(), rtol=1e-9)
    check_sae(load(written.folder), reference, written.activations(12), rtol=1e-4)


def test_temporal_reads_the_past_alone(temporal):
    sae = load(temporal().folder)
    x = torch.randn(10, 8)
    whole, start = sae.encode(x), sae.encode(x[:6])
    torch.testing.assert_close(whole.dense()[:6], start.dense())
    other = sae.encode(x[torch.arange(9, -1, -1)])
    assert (other.dense().flip(0) - whole.dense()).abs().max() > 1e-3 * whole.values.max()


def test_some_tokens_of_a_sequence_keep_their_prediction(temporal):
    sae = load(temporal().folder)
    latents = sae.encode(torch.randn(10, 8))
    some = torch.tensor([8, 1])
    torch.testing.assert_close(sae.reconstruct(latents.take(some)), sae.reconstruct(latents)[some])


@pytest.mark.parametrize("case", ["as it comes", "layer norm"])
def test_sequences_are_joined_also_empty_ones(temporal, case):
    """As the core puts the documents of a batch together, one of which may have no token."""
    sae = load(temporal(**TEMPORALS[case]).folder)
    documents = [torch.randn(tokens, 8) for tokens in (4, 0, 3)]
    whole = joined([sae.encode(x) for x in documents])
    apart = [sae.reconstruct(sae.encode(x)) for x in documents]
    torch.testing.assert_close(sae.reconstruct(whole), torch.cat(apart))


def test_describe_tells_what_load_finds(write, temporal):
    for folder in (write("matching_pursuit").folder, temporal().folder):
        facts = SaelensOptions(path=str(folder)).describe()
        assert facts == load(folder).facts
        assert facts.needs_sequence == (facts.architecture == "temporal")
        assert str(facts.site) == "resid_post.3"


def test_wrong_width_is_one_sentence(write, temporal):
    for folder in (write("matching_pursuit").folder, temporal().folder):
        with pytest.raises(ModelError, match=r"\[2, 7\]. Expected \[tokens, 8\]"):
            load(folder).encode(torch.randn(2, 7))


@pytest.mark.slow
def test_describing_imports_nothing_heavy(write, temporal):
    folders = [str(write("matching_pursuit").folder), str(temporal().folder)]
    code = (
        "import sys\n"
        "from harness_saes.formats.saelens.options import SaelensOptions\n"
        f"assert [SaelensOptions(path=f).describe().d_in for f in {folders}] == [8, 8]\n"
        "assert not {'torch', 'numpy', 'sae_lens'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_every_architecture_of_sae_lens_is_read():
    from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY

    assert set(ARCHITECTURES) == {*SAE_CLASS_REGISTRY, *SAE_TRAINING_CLASS_REGISTRY}


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        ("matching_pursuit", {"max_iterations": 0}, "key max_iterations is 0"),
        ("matching_pursuit", {"residual_threshold": "x"}, "residual_threshold is 'x'. Allowed: a"),
        ("matching_pursuit", {"stop_on_duplicate_support": 1}, "Allowed: true, false"),
        ("matching_pursuit", {"n_heads": 4}, "unknown key 'n_heads'"),
        ("matching_pursuit", {"k": 3}, "architecture matching_pursuit does not use it"),
        ("temporal", {"n_heads": 3}, "d_sae 32 is no multiple of n_heads · bottleneck_factor"),
        ("temporal", {"n_heads": 0}, "key n_heads is 0"),
        ("temporal", {"sae_diff_type": "gated"}, "key sae_diff_type is 'gated'. Allowed: topk"),
        ("temporal", {"kval_topk": 33}, "key kval_topk is 33. Allowed: 1 to d_sae, which is 32"),
        ("temporal", {"activation_normalization_factor": 0}, "Allowed: a number above 0"),
        ("temporal", {"activation_normalization_factor": float("nan")}, "Allowed: a number"),
        ("temporal", {"max_iterations": 2}, "unknown key 'max_iterations'"),
        ("temporal", {"tied_weights": False}, "W_enc not found"),
        ("temporal", {"n_attn_layers": 2}, "attn_layers.1.c_proj.bias"),
        ("temporal", {"normalize_activations": "z"}, "Allowed: none, .*constant_scalar_rescale"),
    ],
)
def test_wrong_configuration(write, temporal, architecture, change, message):
    written = temporal() if architecture == "temporal" else write(architecture)
    written.edit(**change)
    for read in (load, lambda folder: SaelensOptions(path=str(folder)).describe()):
        with pytest.raises(ModelError, match=message) as error:
            read(written.folder)
        assert str(written.folder) in str(error.value)
        assert "\n" not in str(error.value)


def test_defaults_are_those_of_sae_lens():
    from sae_lens.registry import get_sae_class

    for architecture in ("matching_pursuit", "temporal"):
        config = parse_config({"architecture": architecture, "d_in": 4, "d_sae": 512}, "cfg.json")
        theirs = get_sae_class(architecture)[1](d_in=4, d_sae=512)
        assert config.rules == {key: getattr(theirs, key) for key in config.rules}
        assert config.apply_b_dec_to_input == theirs.apply_b_dec_to_input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("W_dec"), "W_dec not found. Expected for temporal"),
        (lambda t: t.update(b_enc=torch.zeros(32)), "b_enc is one tensor too many"),
        (lambda t: t.update(W_dec=t["W_dec"].T), r"W_dec is \[8, 32\], which is transposed"),
        (
            lambda t: t.update({"attn_layers.0.k_ctx.bias": torch.zeros(3)}),
            r"attn_layers.0.k_ctx.bias is \[3\]. Expected \[16\]",
        ),
    ],
)
def test_wrong_tensors(temporal, change, message):
    written = temporal()
    written.tensors(change)
    with pytest.raises(ModelError, match=message):
        load(written.folder)
