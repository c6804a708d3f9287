"""SAEs of dictionary_learning: its own files, a slow reference, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.formats.dictionary_learning.classes import CLASSES
from harness_saes.formats.dictionary_learning.load import DictionaryLearning
from harness_saes.formats.dictionary_learning.options import DictionaryLearningOptions

CONFIG, WEIGHTS = "config.json", "ae.pt"


def load(path, **options):
    return DictionaryLearning(DictionaryLearningOptions(path=str(path), **options)).load("cpu")


def groups_of(d_sae):
    return [d_sae // 4, d_sae - d_sae // 4]


@pytest.fixture
def write(tmp_path, random):
    """Writes a random one in the library's layout, with changed trainer keys and tensors."""

    def make(
        name,
        shape=(8, 32, 4),
        dtype=torch.float32,
        *,
        folder="resid_post_layer_3/trainer_0",
        threshold=0.3,
        tensors=(),
        buffer=None,
        **keys,
    ):
        d, n, k = shape
        linears = {
            "encoder.weight": random(n, d, dtype=dtype),
            "decoder.weight": random(d, n, dtype=dtype),
        }
        bias = {"encoder.bias": random(n, dtype=dtype)}
        own = {"b_dec": random(d, dtype=dtype)}
        scalars = {"k": torch.tensor(k, dtype=torch.int), "threshold": torch.tensor(threshold)}
        canonical = {
            "W_enc": random(d, n, dtype=dtype),
            "b_enc": random(n, dtype=dtype),
            "W_dec": random(n, d, dtype=dtype),
            "b_dec": random(d, dtype=dtype),
        }
        found = {
            "AutoEncoder": linears | bias | {"bias": random(d, dtype=dtype)},
            "AutoEncoderNew": linears | bias | {"decoder.bias": random(d, dtype=dtype)},
            "AutoEncoderTopK": linears | bias | own | scalars,
            "BatchTopKSAE": linears | bias | own | scalars,
            "MatryoshkaBatchTopKSAE": canonical
            | scalars
            | {"group_sizes": torch.tensor(groups_of(n))},
            "GatedAutoEncoder": linears
            | {key: random(n, dtype=dtype) for key in ("r_mag", "gate_bias", "mag_bias")}
            | {"decoder_bias": random(d, dtype=dtype)},
            "JumpReluAutoEncoder": canonical | {"threshold": random(n, dtype=dtype).abs()},
        }[name]
        trainer = {"dict_class": name, "activation_dim": d, "dict_size": n, "lr": 0.001}
        trainer |= {"lm_name": "organism/base", "layer": 3, "seed": 0}
        trainer |= {"submodule_name": "resid_post_layer_3"}
        if "TopK" in name:
            trainer |= {"k": k}
        if "Matryoshka" in name:
            trainer |= {"group_sizes": groups_of(n)}
        trainer = {key: value for key, value in (trainer | keys).items() if value is not None}
        place = tmp_path / "run" / folder
        place.mkdir(parents=True, exist_ok=True)
        state = {key: t for key, t in (found | dict(tensors)).items() if t is not None}
        torch.save(state, place / WEIGHTS)
        data = {"trainer": trainer, "buffer": {"d_submodule": d, "io": "out"} | (buffer or {})}
        (place / CONFIG).write_text(json.dumps(data))
        return place

    return make


def reference(folder):
    """The library's formulas, row by row, in float64."""
    name = json.loads((folder / CONFIG).read_text())["trainer"]["dict_class"]
    stored = torch.load(folder / WEIGHTS, weights_only=True)
    w = {key: tensor.double().numpy() for key, tensor in stored.items()}
    encoder = w["encoder.weight"] if "encoder.weight" in w else w["W_enc"].T
    decoder = w["decoder.weight"] if "decoder.weight" in w else w["W_dec"].T
    biases = [key for key in ("bias", "decoder.bias", "b_dec", "decoder_bias") if key in w]
    after = w[biases[0]]
    plain = name in ("AutoEncoderNew", "JumpReluAutoEncoder")
    lengths = np.linalg.norm(decoder, axis=0) if name == "AutoEncoder" else np.ones(len(encoder))

    def latents(x):
        a = encoder @ (x if plain else x - after)
        if name == "GatedAutoEncoder":
            gate = a + w["gate_bias"] > 0
            return np.where(gate, np.maximum(np.exp(w["r_mag"]) * a + w["mag_bias"], 0), 0)
        z = np.maximum(a + w["encoder.bias" if "encoder.bias" in w else "b_enc"], 0)
        if name == "AutoEncoderTopK":
            kept = np.zeros_like(z)
            best = np.argsort(-z)[: int(w["k"])]
            kept[best] = z[best]
            return kept
        if "threshold" in w:
            return np.where(z > w["threshold"], z, 0)
        return z * lengths

    def whole(x):
        z = np.stack([latents(row) for row in x])
        return z, (z / lengths) @ decoder.T + after

    return whole


def test_equals_dictionary_learning(golden, case):
    """On files that the library's trainers wrote, as its `load_dictionary` reads them."""
    found = golden("dictionary_learning", case)
    sae = load(found.place)
    found.check(sae)
    found.check(load(found.place, dtype="float64"))
    assert DictionaryLearningOptions(path=str(found.place)).describe() == sae.facts
    assert DictionaryLearningOptions.claims(str(found.place))
    assert str(sae.facts.site) == "resid_post.3"
    assert sae.facts.model == "meta-llama/Llama-3.1-8B-Instruct"


def test_every_class_has_a_golden_file():
    found = (Path(__file__).parent / "dictionary_learning").rglob(CONFIG)
    named = {json.loads(file.read_text())["trainer"]["dict_class"] for file in found}
    assert named == CLASSES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_equals_the_formula(write, shape, stored, name):
    folder = write(name, shape, stored)
    check_sae(load(folder), reference(folder))
    check_sae(load(folder, dtype="float64"), reference(folder), rtol=1e-9)


@pytest.mark.parametrize("name", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.5])
def test_a_threshold_that_was_never_fitted_is_none(write, name, threshold):
    folder, x = write(name, threshold=threshold), torch.randn(40, 8)
    check_sae(load(folder), reference(folder), x)
    unfitted = load(write(name, threshold=-1.0))
    assert unfitted.encode(x).counts.float().mean() > 10


def test_topk_ignores_its_threshold(write):
    with_one = load(write("AutoEncoderTopK", threshold=0.5))
    x = torch.randn(40, 8)
    assert with_one.encode(x).counts.max() == 4
    folder = write("AutoEncoderTopK", threshold=50.0)
    check_sae(load(folder), reference(folder), x)
    old = write("AutoEncoderTopK", tensors={"k": None, "threshold": None})  # as before 2025
    assert load(old).encode(x).counts.max() == 4


def test_an_autoencoders_rows_become_unit_vectors(write, random):
    decoder = random(8, 32)
    folder = write("AutoEncoder", tensors={"decoder.weight": decoder})
    sae = load(folder)
    assert torch.allclose(sae.rows(torch.arange(32)).norm(dim=1), torch.ones(32))
    assert "decoder rows" in sae.notes[0]
    decoder = decoder / decoder.norm(dim=0)
    folder = write("AutoEncoder", tensors={"decoder.weight": decoder})
    assert load(folder).notes == ()
    check_sae(load(folder), reference(folder))
    decoder[:, 5] = 0  # a dead latent: the library divides by its length of 0
    sae = load(write("AutoEncoder", tensors={"decoder.weight": decoder}))
    assert torch.isfinite(sae.reconstruct(sae.encode(torch.randn(9, 8)))).all()


def test_groups_that_only_the_weights_tell(write):
    folder = write("MatryoshkaBatchTopKSAE", group_sizes=None)
    check_sae(load(folder), reference(folder))


def test_an_earlier_step(write):
    folder = write("BatchTopKSAE")
    (folder / "checkpoints").mkdir()
    (folder / WEIGHTS).rename(folder / "checkpoints" / "ae_1000.pt")
    assert load(folder, file="checkpoints/ae_1000.pt").facts.d_sae == 32


@pytest.mark.parametrize(
    ("keys", "site"),
    [
        ({"submodule_name": "resid_post_layer_15"}, "resid_post.15"),
        ({"submodule_name": "mlp_out_layer_15"}, "mlp_raw.15"),
        ({"submodule_name": "attention_out_layer_15"}, "attn_raw.15"),
        ({"submodule_name": "something"}, None),
        ({"submodule_name": None}, None),
        ({"submodule_name": "resid_post_layer_15", "buffer": {"io": "in"}}, None),
    ],
)
def test_the_module_says_where_it_belongs(write, keys, site):
    found = DictionaryLearningOptions(path=str(write("BatchTopKSAE", **keys))).describe().site
    assert (found and str(found)) == site


def refused(folder, message, **options):
    def describe(path, **o):
        DictionaryLearningOptions(path=str(path), **o).describe()

    for do in (load, describe):
        with pytest.raises(ModelError, match=message) as error:
            do(folder, **options)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("AutoEncoder", {"dict_class": "CrossCoder"}, "unknown dict_class 'CrossCoder'. Allowed"),
        ("AutoEncoder", {"dict_class": "BatchTopKSae"}, "Did you mean BatchTopKSAE"),
        ("AutoEncoder", {"dict_class": None}, "unknown dict_class 'none'"),
        ("AutoEncoder", {"gain": 2}, "trainer: unknown key 'gain', which could change"),
        ("AutoEncoder", {"activation_dim": None}, "key activation_dim is missing"),
        ("AutoEncoder", {"dict_size": 31}, r"Expected \[31, 8\] \(activation_dim 8 and dict_size"),
        ("AutoEncoderTopK", {"k": None}, "key k is missing"),
        ("AutoEncoderTopK", {"k": 33}, "key k is 33. Allowed: 1 to dict_size"),
        ("AutoEncoder", {"buffer": {"io": "in_and_out"}}, "key io is 'in_and_out'"),
        ("MatryoshkaBatchTopKSAE", {"group_sizes": [8, 8]}, r"key group_sizes is \[8, 8\]"),
        ("AutoEncoder", {"dict_class": "GatedAutoEncoder"}, "decoder_bias, gate_bias, mag_bias"),
    ],
)
def test_keys_that_are_wrong(write, name, keys, message):
    refused(write(name, **keys), message)


@pytest.mark.parametrize(
    ("name", "tensors", "message"),
    [
        ("AutoEncoder", {"bias": None}, "bias not found. Expected bias, decoder.weight"),
        ("AutoEncoder", {"k": torch.tensor(3)}, "k is one tensor too many"),
        ("AutoEncoder", {"encoder.weight": torch.zeros(8, 32)}, "which is transposed"),
        ("JumpReluAutoEncoder", {"W_enc": torch.zeros(32, 8)}, "which is transposed"),
        ("BatchTopKSAE", {"threshold": None}, "threshold not found"),
        ("BatchTopKSAE", {"k": torch.tensor(3.0)}, "k is stored as F32. Expected I64"),
        ("JumpReluAutoEncoder", {"threshold": torch.tensor(0.1)}, r"threshold is \[\]"),
    ],
)
def test_tensors_that_are_wrong(write, name, tensors, message):
    refused(write(name, tensors=tensors), message)


def test_weights_that_say_otherwise_than_the_configuration(write):
    for name in ("AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        with pytest.raises(ModelError, match=r"ae\.pt: k is 4, but 5 in config\.json"):
            load(write(name, k=5))
    sizes = torch.tensor([8, 25])
    with pytest.raises(ModelError, match=r"group_sizes add up to 33. Expected 32"):
        load(write("MatryoshkaBatchTopKSAE", tensors={"group_sizes": sizes}))


def test_values_that_are_not_finite(write, random):
    bias = random(8)
    bias[3] = torch.inf
    with pytest.raises(ModelError, match="b_dec has 1 values that are not finite, of 8"):
        load(write("BatchTopKSAE", tensors={"b_dec": bias}))


def test_a_backup_of_an_unfinished_run(write):
    """Its biases are in the space of normalised activations; the library does not read it."""
    folder = write("BatchTopKSAE")
    state = torch.load(folder / WEIGHTS, weights_only=True)
    adam = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    backup = {"step": 7, "ae": state, "optimizer": adam, "config": {"k": 4}, "norm_factor": 9.5}
    torch.save(backup, folder / WEIGHTS)
    refused(folder, "is the state of a training run, not a finished SAE")


def test_a_pickle_that_would_run_code(write, tmp_path):
    proof = tmp_path / "it_ran"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {proof}",)

    folder = write("AutoEncoder", tensors={"bias": Hostile()})
    refused(folder, r"calls posix\.system, which would run code. It was not run")
    assert DictionaryLearningOptions.claims(str(folder))
    assert not proof.exists()


@pytest.mark.parametrize("kept", [5, -30])
def test_a_file_cut_off(write, kept):
    folder = write("AutoEncoder")
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:kept])
    refused(folder, "Expected a whole file of torch.save")


def test_a_configuration_without_a_trainer(write):
    folder = write("AutoEncoder")
    (folder / CONFIG).write_text('{"d_model": 8}')
    refused(folder, "has no object trainer")
    assert not DictionaryLearningOptions.claims(str(folder))
    (folder / CONFIG).write_text('{"trainer": ')
    refused(folder, "config.json: is no JSON")


def test_several_in_a_folder(write, tmp_path):
    """As andyrdt's repositories are laid out."""
    for layer in (3, 7):
        for trainer in (0, 1):
            folder = f"resid_post_layer_{layer}/trainer_{trainer}"
            write("BatchTopKSAE", folder=folder, submodule_name=f"resid_post_layer_{layer}")
    root = tmp_path / "run"
    assert DictionaryLearningOptions.claims(str(root))
    refused(root, r"holds 4 SAEs in folders: .*Choose one: trainer = .resid_post_layer_3/trainer_0")
    refused(root, "Did you mean", trainer="resid_post_layer_7/trainer_2")
    chosen = load(root, trainer="resid_post_layer_7/trainer_1")
    assert str(chosen.facts.site) == "resid_post.7"


def test_none_in_a_folder(tmp_path):
    refused(tmp_path, f"has no {CONFIG} and no {WEIGHTS}. Expected a folder with")
    assert not DictionaryLearningOptions.claims(str(tmp_path))


@pytest.mark.slow
def test_options_and_facts_need_no_torch(write):
    folder = write("GatedAutoEncoder")
    code = (
        "import sys; from harness_saes.formats.dictionary_learning import options\n"
        f"facts = options.DictionaryLearningOptions(path={str(folder)!r}).describe()\n"
        "assert facts.d_sae == 32\n"
        "assert not {'torch', 'numpy', 'huggingface_hub'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
