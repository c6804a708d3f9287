"""Any file of tensors, by the rule that a task states: laws, other formats, and what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from harness.contract.sites import Site
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.drawn import D, N, doubles, drawn, each
from harness_saes.formats.dictionary_learning.load import DictionaryLearning
from harness_saes.formats.dictionary_learning.options import DictionaryLearningOptions
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions
from harness_saes.formats.tensors.load import Tensors
from harness_saes.formats.tensors.options import TensorsOptions
from harness_saes.formats.tensors.samples import RULES, token

GOLDEN = Path(__file__).parents[1] / "saes_golden" / "dictionary_learning"
PLAIN = {"encoder": "E", "decoder": "D", "encoder_bias": "q", "decoder_bias": "p"}
RELU = PLAIN | {"activation": "relu", "subtract_decoder_bias": True}


def load(path, **keys):
    return Tensors(TensorsOptions.model_validate({"path": str(path), **keys})).load("cpu")


def refused(path, **keys):
    """The sentence with which options or their file are refused."""
    with pytest.raises((ModelError, ValidationError)) as error:
        load(path, **keys)
    return str(error.value)


def weights(d=D, n=N, out=None):
    return {
        "E": drawn(0, d, n),
        "D": drawn(1, n, out or d),
        "p": drawn(2, out or d),
        "q": drawn(3, n),
        "theta": drawn(4, n).abs(),
        **{name: drawn(5 + i, n) for i, name in enumerate("gmr")},
    }


@pytest.fixture
def tensor_file(tmp_path):
    """Writes tensors in one of the kinds of files."""

    def make(tensors, suffix=".safetensors", folder="."):
        file = tmp_path / folder / f"weights{suffix}"
        file.parent.mkdir(exist_ok=True)
        if suffix == ".npz":
            np.savez(file, **{name: tensor.numpy() for name, tensor in tensors.items()})
        elif suffix == ".safetensors":
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
        else:
            torch.save(dict(tensors), file)
        return file

    return make


def same(one, other, x):
    """Bit for bit the same latents and reconstructions, and more than a few latents."""
    mine, theirs = one.encode(x), other.encode(x)
    assert torch.equal(mine.dense(), theirs.dense())
    assert mine.dense().count_nonzero() > len(x)
    assert torch.equal(one.reconstruct(mine), other.reconstruct(theirs))


def named(activation):
    gated = activation == "gated"
    return {key: name for key, name in PLAIN.items() if not (gated and key == "encoder_bias")}


# ── The rule ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("subtracts", [True, False], ids=["minus", "plain"])
@pytest.mark.parametrize("activation", RULES)
def test_equals_the_rule_in_float64(tensor_file, activation, subtracts):
    w = weights()
    keys = named(activation) | {"activation": activation, "subtract_decoder_bias": subtracts}
    keys |= RULES[activation]
    file = tensor_file(w)
    options = TensorsOptions.model_validate({"path": str(file), **keys})
    x = drawn(9, 40, D) * 6 + 0.5
    check_sae(load(file, **keys), partial(each, partial(token, doubles(w), options)), x)
    exact = partial(each, partial(token, doubles(w), options))
    check_sae(load(file, dtype="float64", **keys), exact, x, rtol=1e-12)


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".pth"])
def test_the_kind_of_file_does_not_matter(tensor_file, suffix):
    x = drawn(9, 40, D) * 6
    same(load(tensor_file(weights(), suffix), **RELU), load(tensor_file(weights()), **RELU), x)


def test_orientation_does_not_matter(tensor_file):
    """Told by the shapes, or by the task where the matrices are square."""
    for d, n in ((D, N), (12, 12)):
        w, x = weights(d, n), drawn(9, 40, d) * 6
        told = {"encoder_first": "input", "decoder_first": "latents"} if d == n else {}
        turned = {"encoder_first": "latents", "decoder_first": "output"} if d == n else {}
        straight = load(tensor_file(w), **RELU, **told)
        flipped = w | {"E": w["E"].T, "D": w["D"].T}
        same(straight, load(tensor_file(flipped, folder="t"), **RELU, **turned), x)
        if d != n:  # what is said holds too where shapes tell
            same(straight, load(tensor_file(w), **RELU, encoder_first="input"), x)


def test_tied_weights_are_one_tensor(tensor_file):
    w = {"W": drawn(0, N, D), "b": drawn(1, D)}
    tied = {"encoder": "W", "decoder": "W", "decoder_bias": "b", "activation": "relu"}
    sae = load(tensor_file(w), **tied, subtract_decoder_bias=True)
    x = drawn(9, 5, D) * 6
    z = sae.encode(x).dense()
    torch.testing.assert_close(z, ((x - w["b"]) @ w["W"].T).relu())
    torch.testing.assert_close(sae.reconstruct(sae.encode(x)), z @ w["W"] + w["b"])


def test_without_biases_they_are_zero(tensor_file):
    w = weights()
    zeros = w | {"p": torch.zeros(D), "q": torch.zeros(N)}
    only = {"encoder": "E", "decoder": "D", "activation": "relu", "encoder_first": "input"}
    x = drawn(9, 40, D) * 6
    same(load(tensor_file(w), **only), load(tensor_file(zeros, folder="z"), **RELU), x)


def test_a_transcoder_says_where_it_writes(tensor_file):
    w = weights(out=5)
    keys = PLAIN | {"activation": "topk", "k": 4, "site_out": "mlp_out.3", "input_scale": 2.0}
    sae = load(tensor_file(w), **keys)
    assert (sae.facts.d_in, sae.facts.d_sae, sae.facts.site_out) == (D, N, Site("mlp_out", 3))
    x = drawn(9, 40, D) * 6
    latents = sae.encode(x)
    a = (2 * x @ w["E"] + w["q"]).relu()
    kept = torch.where(a >= a.topk(4, dim=1).values[:, -1:], a, 0)
    torch.testing.assert_close(latents.dense(), kept)
    torch.testing.assert_close(sae.reconstruct(latents), kept @ w["D"] + w["p"])


def test_logarithms_of_thresholds(tensor_file):
    w = weights()
    logs = tensor_file(w | {"theta": w["theta"].log()}, folder="l")
    keys = PLAIN | {"activation": "jumprelu", "threshold": "theta", "subtract_decoder_bias": False}
    x = drawn(9, 40, D) * 6
    z, z_logs = (s.encode(x).dense() for s in (load(tensor_file(w), **keys),
                 load(logs, **keys, threshold_is_log=True)))  # fmt: skip
    assert torch.equal(z != 0, z_logs != 0)
    torch.testing.assert_close(z, z_logs)


# ── Other formats ────────────────────────────────────────────────────────────────────────────────

SAELENS = {
    "standard": {"activation": "relu"},
    "topk": {"activation": "topk", "k": 4, "normalize": "layer_norm"},
    "jumprelu": {"activation": "jumprelu", "threshold": "threshold"},
    "gated": {
        "activation": "gated", "gate_bias": "b_gate", "magnitude_bias": "b_mag",
        "magnitude_scale": "r_mag",
    },
    "batchtopk": {
        "activation": "batchtopk", "threshold": "topk_threshold", "decoder_rows": "into_latents",
    },
}  # fmt: skip


@pytest.mark.parametrize("architecture", SAELENS)
def test_equals_the_format_saelens(write, architecture):
    rule = dict(SAELENS[architecture])
    config = {"rescale_acts_by_decoder_norm": True} if "decoder_rows" in rule else {}
    config |= {"normalize_activations": rule["normalize"]} if "normalize" in rule else {}
    written = write(architecture, **config)
    bias = {} if architecture == "gated" else {"encoder_bias": "b_enc"}
    keys = {"encoder": "W_enc", "decoder": "W_dec", "decoder_bias": "b_dec", **bias, **rule}
    ours = load(written.folder / "sae_weights.safetensors", subtract_decoder_bias=True, **keys)
    theirs = Saelens(SaelensOptions(path=str(written.folder))).load("cpu")
    same(ours, theirs, written.activations())


LINEARS = {"encoder": "encoder.weight", "decoder": "decoder.weight"}
LEARNED = {
    "autoencoder": LINEARS
    | {"encoder_bias": "encoder.bias", "decoder_bias": "bias", "activation": "relu",
       "decoder_rows": "into_latents"},
    "autoencoder_new": LINEARS
    | {"encoder_bias": "encoder.bias", "decoder_bias": "decoder.bias", "activation": "relu",
       "subtract_decoder_bias": False},
    "topk": LINEARS
    | {"encoder_bias": "encoder.bias", "decoder_bias": "b_dec", "activation": "topk", "k": 3},
    "batchtopk": LINEARS
    | {"encoder_bias": "encoder.bias", "decoder_bias": "b_dec", "activation": "batchtopk",
       "threshold": "threshold"},
    "gated": LINEARS
    | {"decoder_bias": "decoder_bias", "activation": "gated", "gate_bias": "gate_bias",
       "magnitude_bias": "mag_bias", "magnitude_scale": "r_mag"},
    "jumprelu": {"encoder": "W_enc", "decoder": "W_dec", "encoder_bias": "b_enc",
       "decoder_bias": "b_dec", "activation": "jumprelu", "threshold": "threshold",
       "subtract_decoder_bias": False},
}  # fmt: skip


@pytest.mark.parametrize("case", LEARNED)
def test_equals_dictionary_learning(case):
    """The library's own files, latents and reconstructions; and our format of them.

    To the last bits: weights that are stored the other way round may be added up in another order.
    """
    (file,) = (GOLDEN / case).rglob("ae.pt")
    ours = load(file, **({"subtract_decoder_bias": True} | LEARNED[case]))
    found = load_file(GOLDEN / f"{case}.safetensors")
    options = DictionaryLearningOptions(path=str(file.parent))
    theirs = DictionaryLearning(options).load("cpu")
    latents = ours.encode(found["x"])
    again = theirs.encode(found["x"])
    assert torch.equal(latents.indices, again.indices)
    torch.testing.assert_close(latents.dense(), again.dense())
    torch.testing.assert_close(ours.reconstruct(latents), theirs.reconstruct(again))
    torch.testing.assert_close(latents.dense(), found["latents"], rtol=1e-5, atol=1e-5)
    out = ours.reconstruct(latents)
    torch.testing.assert_close(out, found["reconstruction"], rtol=1e-5, atol=1e-5)


# ── Facts and notes ──────────────────────────────────────────────────────────────────────────────


def test_what_is_known_before_a_weight_is_read(tensor_file):
    file = tensor_file(weights())
    facts = TensorsOptions.model_validate({"path": str(file), **RELU}).describe()
    assert (facts.architecture, facts.d_in, facts.d_sae, facts.site) == ("standard", D, N, None)
    assert facts == load(file, **RELU).facts
    assert not TensorsOptions.claims(str(file))
    away = TensorsOptions.model_validate({"path": "own/saes", "file": "a.pt", **RELU})
    assert (away.describe().d_in, away.needs().download) == (None, "own/saes")


def test_what_the_task_does_not_name_is_noted(tensor_file):
    (note,) = load(tensor_file(weights()), **RELU).notes
    assert "also holds g, m, r, theta" in note
    w = {name: weights()[name] for name in "EDpq"}
    assert load(tensor_file(w, folder="n"), **RELU).notes == ()
    nested = {"state": w, "config": {"k": 3}}
    keys = {key: f"state.{name}" for key, name in PLAIN.items()}
    sae = load(tensor_file(nested, ".pt"), **(RELU | keys))
    assert "also holds config.k" in sae.notes[0]


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


def test_a_name_that_is_not_there(tensor_file):
    said = refused(tensor_file(weights()), **(RELU | {"encoder_bias": "theeta"}))
    assert "has no tensor 'theeta', which encoder_bias names" in said
    assert "It holds D [32, 8], E [8, 32], g [32]" in said
    assert "Did you mean theta?" in said
    plain = tensor_file({**weights(), "k": 3}, ".pt")
    assert "no tensor but a plain value" in refused(plain, **(RELU | {"encoder_bias": "k"}))


@pytest.mark.parametrize(
    ("changes", "keys", "message"),
    [
        ({"E": (12, 12), "q": (12,), "D": (12, 8)}, {}, "square.*encoder_first"),
        ({"D": (32, 32)}, {"site_out": "mlp_out.1", "subtract_decoder_bias": None},
         r"D is \[32, 32\], which is square.*decoder_first"),
        ({"q": (31,)}, {}, "q has 31 numbers. Expected as many as one side"),
        ({"E": (8, 32, 1)}, {}, "Expected a matrix"),
        ({"D": (30, 8)}, {}, r"D is \[30, 8\]. Expected a side of 32"),
        ({"D": (32, 6)}, {}, "reads 8 numbers per token and D writes 6.*site_out"),
        ({"p": (7,)}, {}, r"p is \[7\]. Expected \[8\]"),
        ({}, {"encoder_first": "latents"}, r"q is \[32\]. Expected \[8\] \(d_in 32, 8 latents\)"),
        ({}, {"encoder_bias": None, "decoder_bias": None, "subtract_decoder_bias": None},
         "no tensor that is named tells which axis"),
        ({}, {"activation": "topk", "k": 33}, "k is 33. Allowed: 1 to 32"),
    ],
    ids=["square", "square decoder", "bias", "no matrix", "latents", "width", "b_dec", "told",
         "no bias", "k"],
)  # fmt: skip
def test_shapes_that_do_not_fit(tensor_file, changes, keys, message):
    w = weights() | {name: torch.zeros(shape) for name, shape in changes.items()}
    with pytest.raises(ModelError, match=message):
        load(tensor_file(w), **(RELU | keys))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"activation": "topk"}, "k is missing"),
        ({"k": 3}, "k has no meaning with activation .relu.. Allowed with abstopk, topk"),
        ({"activation": "jumprelu"}, "threshold is missing"),
        ({"threshold": 0.1}, "threshold has no meaning"),
        ({"subtract_decoder_bias": None}, "subtract_decoder_bias is missing"),
        ({"decoder_bias": None}, "has nothing to subtract"),
        ({"site_out": "mlp_out.2"}, "a transcoder has nothing to subtract"),
        ({"activation": "gated", "gate_bias": "g", "magnitude_bias": "m", "magnitude_scale": "r"},
         "whose two paths have biases of their own"),
        ({"activation": "batchtopk", "threshold": 0.1, "threshold_is_log": True},
         "threshold_is_log has no meaning"),
        ({"site_out": "mlp_uot.2", "subtract_decoder_bias": None}, "Did you mean mlp_out.2"),
        ({"input_scale": 0}, "greater than 0"),
        ({"activation": "jumprelu", "threshold": True}, "must be a number, or the name"),
    ],
)  # fmt: skip
def test_rules_that_are_none(tensor_file, keys, message):
    with pytest.raises(ValidationError, match=message):
        load(tensor_file(weights()), **(RELU | keys))


def test_files_that_are_none(tensor_file, tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"x")
    assert "is no file of tensors by its name" in refused(tmp_path / "w.onnx", **RELU)
    broken = tensor_file(weights())
    broken.write_bytes(broken.read_bytes()[:-9])
    assert "Copy or download it again" in refused(broken, **RELU)
    two = tensor_file(weights(), ".npz").parent
    assert 'Choose one: file = "weights.npz"' in refused(two, **RELU)
    (tmp_path / "t").mkdir()
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "t" / "m.pt")
    assert "would run code. It was not run" in refused(tmp_path / "t" / "m.pt", **RELU)
    w = weights() | {"q": torch.full((N,), float("nan"))}
    assert "not finite" in refused(tensor_file(w, folder="nan"), **RELU)
