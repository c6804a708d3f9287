"""Broken files are one sentence each: which file, what was found, what was expected."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from harness.errors import ModelError
from harness_saes.formats.saelens.config import parse_config
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions

CFG, WEIGHTS = "cfg.json", "sae_weights.safetensors"


def load(folder):
    return Saelens(SaelensOptions(path=str(folder))).load("cpu")


def test_describe_tells_what_load_finds(write):
    for family in ("standard", "topk", "abstopk", "jumprelu", "gated"):
        folder = write(family, (8, 32, 4), "bfloat16").folder
        facts = SaelensOptions(path=str(folder)).describe()
        assert facts == load(folder).facts
        assert (facts.architecture, facts.d_in, facts.d_sae) == (family, 8, 32)
        assert str(facts.site) == "resid_post.3"
        assert (facts.model, facts.neuronpedia) == ("organism/base", "organism/3-res")
        assert facts.signed == (family == "abstopk")
        assert SaelensOptions.claims(str(folder))


def test_claims_only_its_own(write, tmp_path):
    folder = write("topk").folder
    assert not SaelensOptions.claims(str(tmp_path))
    assert not SaelensOptions.claims(str(folder / CFG))
    (folder / WEIGHTS).rename(folder / "sae.safetensors")  # as sparsify names it
    assert not SaelensOptions.claims(str(folder))


@pytest.mark.slow
def test_neither_options_nor_local_folders_import_the_heavy(write):
    folder = write("topk").folder
    code = (
        "import sys\n"
        "from harness_saes.formats.saelens.options import SaelensOptions\n"
        f"options = SaelensOptions(path={str(folder)!r})\n"
        "assert options.describe().d_in == 8\n"
        "assert not {'torch', 'numpy', 'sae_lens'} & sys.modules.keys(), 'described heavily'\n"
        "from harness_saes.formats.saelens.load import Saelens\n"
        "Saelens(options).load('cpu')\n"
        "assert not {'sae_lens', 'transformers'} & sys.modules.keys(), 'loaded through sae_lens'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "path is missing"),
        ({"release": "r"}, "path is missing"),
        ({"path": "a", "release": "r", "id": "i"}, "path and release exclude"),
        ({"path": "a", "revision": "main"}, "path and revision exclude"),
        ({"path": "a", "dtype": "bfloat16"}, "float32"),
        ({"path": "a", "layer": 3}, "layer"),
    ],
)
def test_options(options, message):
    with pytest.raises(ValidationError, match=message):
        SaelensOptions(**options)


@pytest.mark.parametrize("name", [CFG, WEIGHTS])
def test_missing_file(write, name):
    folder = write("topk").folder
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"has no {name}. Expected a folder with"):
        load(folder)
    with pytest.raises(ModelError, match=f"has no {name}"):
        SaelensOptions(path=str(folder)).describe()


def test_several_saes_in_a_folder(write):
    folders = [write("topk").folder for _ in range(7)]
    with pytest.raises(
        ModelError, match=r"has no cfg.json.* and 2 more: give the path of one"
    ) as e:
        load(folders[0].parent)
    assert " It holds sae_0, sae_1, " in str(e.value)
    nested = folders[0] / "checkpoints" / "final"
    nested.mkdir(parents=True)
    for name in (CFG, WEIGHTS):
        (folders[0] / name).rename(nested / name)
    with pytest.raises(ModelError, match="It holds checkpoints/final: give the path of one"):
        load(folders[0])


def test_missing_folder(tmp_path):
    with pytest.raises(ModelError, match=r"no such folder.*release and id"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="is a file"):
        load(tmp_path / "file")


BROKEN = {
    "missing": (lambda t: t.pop("b_enc"), "b_enc not found. Expected for topk"),
    "extra": (lambda t: t.update(W_skip=torch.zeros(8, 8)), "W_skip is one tensor too many"),
    "transposed": (
        lambda t: t.update(W_dec=t["W_dec"].T),
        r"W_dec is \[8, 32\], which is transposed. Expected \[32, 8\]",
    ),
    "shape": (lambda t: t.update(b_dec=torch.zeros(9)), r"b_dec is \[9\]. Expected \[8\]"),
    "type": (
        lambda t: t.update(b_enc=torch.zeros(32, dtype=torch.int64)),
        "b_enc is stored as I64. Expected F32, BF16, F16, F64",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_wrong_tensors(write, case):
    change, message = BROKEN[case]
    written = write("topk")
    written.tensors(change)
    for read in (load, lambda folder: SaelensOptions(path=str(folder)).describe()):
        with pytest.raises(ModelError, match=message) as error:
            read(written.folder)
        assert str(written.folder / WEIGHTS) in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(write, value):
    written = write("topk")
    written.tensors(lambda t: t["W_enc"].__setitem__((3, 4), value))
    with pytest.raises(ModelError, match="W_enc has 1 values that are not finite, of 256"):
        load(written.folder)


def test_fine_tuned_scaling(write):
    written = write("topk")
    written.tensors(lambda t: t.update(scaling_factor=torch.full((32,), 2.0)))
    with pytest.raises(ModelError, match="scaling_factor is not all ones"):
        load(written.folder)


@pytest.mark.parametrize("keep", [0, 5, 8, 100, -1])
def test_cut_off(write, keep):
    file = write("topk").folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelError, match="Expected a whole safetensors file") as error:
        load(file.parent)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" * 40, b"\x08\0\0\0\0\0\0\0not json", b"\x02\0\0\0\0\0\0\0[]"]
)
def test_something_else(write, content):
    file = write("topk").folder / WEIGHTS
    file.write_bytes(content)
    with pytest.raises(ModelError, match="Expected a whole safetensors file"):
        load(file.parent)


def test_a_pickle_is_refused_unrun(write, tmp_path):
    """Under the name of a safetensors file, one that would run code when it is opened."""
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    file = write("topk").folder / WEIGHTS
    for content in (pickle.dumps(Hostile()), b""):
        file.write_bytes(content)
        if not content:
            torch.save({"W_enc": Hostile()}, file)
        with pytest.raises(ModelError, match="Expected a whole safetensors file"):
            load(file.parent)
    assert not ran.exists()
    torch.load(file.rename(tmp_path / "file.pt"), weights_only=False)
    assert ran.exists(), "the file is hostile"


@pytest.mark.parametrize("entry", [{}, {"dtype": "F32", "shape": [8], "data_offsets": [0, 4]}])
def test_header_that_contradicts_itself(write, entry):
    file = write("topk").folder / WEIGHTS
    header = json.dumps({"b_dec": entry}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(ModelError, match="b_dec"):
        load(file.parent)


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_configuration_that_is_none(write, text):
    file = write("topk").folder / CFG
    file.write_text(text)
    with pytest.raises(ModelError, match="JSON") as error:
        load(file.parent)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "crosscoder"}, "key architecture is 'crosscoder'. Allowed: standard"),
        ({"architecture": "transcoder", "d_out": 8}, "architecture transcoder does not use it"),
        ({"d_out": 8}, "unknown key 'd_out'"),
        ({"normalise": "none"}, "unknown key 'normalise', which could change the numbers"),
        ({"rescale_acts_by_decoder_nrm": True}, "Did you mean rescale_acts_by_decoder_norm"),
        ({"hook_name": "blocks.0.hook_resid_pre"}, "unknown key 'hook_name'"),
        ({"normalize_activations": "covariance_whitening"}, "key normalize_activations"),
        ({"normalize_activations": "z-score"}, "Allowed: none, expected_average_only_in"),
        ({"reshape_activations": "heads"}, "key reshape_activations"),
        ({"apply_b_dec_to_input": 1}, "key apply_b_dec_to_input is 1. Allowed: true, false"),
        ({"d_in": None}, "key d_in is missing. Allowed: a whole number from 1"),
        ({"d_sae": 3.0}, "key d_sae is 3.0"),
        ({"k": None}, "key k is missing"),
        ({"k": True}, "key k is True"),
        ({"k": 33}, "key k is 33. Allowed: 1 to d_sae, which is 32"),
        ({"architecture": "standard"}, "key k is set, but an SAE of architecture standard"),
        (
            {"architecture": "jumprelu", "k": None, "rescale_acts_by_decoder_norm": True},
            "key rescale_acts_by_decoder_norm is True. Allowed: false for jumprelu",
        ),
        ({"metadata": {"hook_head_index": 3}}, "key hook_head_index is 3"),
        ({"metadata": {"hook_name": 3}}, "key hook_name is 3. Allowed: text"),
    ],
)
def test_wrong_configuration(write, change, message):
    written = write("topk")
    written.edit(**change)
    with pytest.raises(ModelError, match=message) as error:
        load(written.folder)
    assert str(written.folder / CFG) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation_fn_str": "tanh-relu"}, "key activation_fn_str is 'tanh-relu'"),
        ({"activation_fn": "topk", "architecture": "gated"}, "key activation_fn is 'topk'"),
        ({"activation_fn_kwargs": {"slope": 1}}, "key activation_fn_kwargs"),
        ({"activation_fn_kwargs": {"k": 4}}, "key k is set"),
        ({"activation_fn": "topk"}, "key k is missing"),
        ({"apply_relu": False}, "unknown key 'apply_relu'"),
    ],
)
def test_wrong_flat_configuration(change, message):
    with pytest.raises(ModelError, match=message):
        parse_config({"d_in": 8, "d_sae": 32, "hook_point": "x", **change}, "cfg.json")


def test_flat_configuration_of_long_ago():
    """The keys of a configuration that the first versions wrote, and what they mean now."""
    config = parse_config(
        {
            "d_in": 768, "d_sae": 24576, "hook_point": "blocks.8.hook_resid_pre",
            "hook_point_layer": 8, "hook_point_head_index": None, "model_name": "gpt2-small",
            "dataset_path": "x", "is_dataset_tokenized": False, "context_size": 128,
            "use_cached_activations": False, "n_batches_in_buffer": 128, "l1_coefficient": 8e-5,
            "expansion_factor": 32, "use_ghost_grads": True, "normalize_activations": True,
            "feature_sampling_method": None, "b_dec_init_method": "geometric_median",
        },
        "cfg.json",
    )  # fmt: skip
    assert config.architecture == "standard"
    assert config.apply_b_dec_to_input
    assert config.normalize == "expected_average_only_in"
    assert str(config.facts.site) == "resid_pre.8"


def test_flat_topk_of_before_version_6():
    data = {"d_in": 8, "d_sae": 32, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}}
    config = parse_config(data, "cfg.json")
    assert (config.architecture, config.k) == ("topk", 4)
    assert config.facts.site is None
