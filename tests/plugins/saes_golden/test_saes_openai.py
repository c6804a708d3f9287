"""OpenAI's SAEs of GPT-2: files of its own class, a slow reference, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.formats.load import Openai
from harness_saes.formats.openai import OpenaiOptions


def load(path, **options):
    return Openai(OpenaiOptions(path=str(path), **options)).load("cpu")


@pytest.fixture
def write(tmp_path, random):
    """Writes a random file as OpenAI publishes it; k None is version 1 or 4."""

    def make(shape=(8, 32, 4), dtype=torch.float32, *, k=0, place=None, **change):
        d, n, most = shape
        state = {
            "pre_bias": random(d, dtype=dtype),
            "latent_bias": random(n, dtype=dtype),
            "stats_last_nonzero": torch.zeros(n, dtype=torch.long),
            "encoder.weight": random(n, d, dtype=dtype),
            "decoder.weight": random(d, n, dtype=dtype),
            "activation": "ReLU" if k is None else "TopK",
            "activation_state_dict": {} if k is None else {"k": most, "postact_fn": "ReLU"},
        }
        state |= {key.replace("__", "."): value for key, value in change.items()}
        file = tmp_path / (place or "resid_post_mlp_v5_32k/autoencoders/6.pt")
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({key: value for key, value in state.items() if value is not None}, file)
        return file

    return make


def reference(file):
    """OpenAI's formulas, row by row, in float64."""
    stored = torch.load(file, weights_only=True)
    w = {k: t.double().numpy() for k, t in stored.items() if isinstance(t, torch.Tensor)}
    k = stored.get("activation_state_dict", {}).get("k")

    def one(x):
        mean, deviation = (x.mean(), x.std(ddof=1)) if k else (0.0, 1.0)
        read = (x - mean) / (deviation + 1e-5) if k else x
        a = w["encoder.weight"] @ (read - w["pre_bias"]) + w["latent_bias"]
        z = np.zeros_like(a)
        kept = np.argsort(-a)[:k]
        z[kept] = np.maximum(a[kept], 0)
        out = w["decoder.weight"] @ z + w["pre_bias"]
        return z, out * deviation + mean

    def whole(x):
        found = [one(row) for row in x]
        return np.stack([z for z, _ in found]), np.stack([out for _, out in found])

    return whole


def test_equals_openais_class(golden, case):
    """On files that OpenAI's class wrote."""
    found = golden("openai", case)
    sae = load(found.place)
    found.check(sae)
    found.check(load(found.place, dtype="float64"))
    assert OpenaiOptions(path=str(found.place)).describe() == sae.facts
    assert OpenaiOptions.claims(str(found.place))
    assert OpenaiOptions.claims(str(found.place.parent))
    site = "resid_post.3" if case == "v5" else "mlp_out.3"
    assert (str(sae.facts.site), sae.facts.model) == (site, "gpt2")


@pytest.mark.parametrize("k", [None, 1])
def test_equals_the_formula(write, shape, stored, k):
    file = write(shape, stored, k=k)
    x = torch.randn(33, shape[0]) * 3 + 1
    check_sae(load(file), reference(file), x)
    check_sae(load(file, dtype="float64"), reference(file), x, rtol=1e-9)


def test_a_small_standard_deviation_shows_the_epsilon(write):
    """1e-5 is added to it before the division, and not taken off after."""
    file = write()
    x = torch.randn(33, 8).double() * 3e-5
    check_sae(load(file, dtype="float64"), reference(file), x, rtol=1e-9)
    constant = load(file).reconstruct(load(file).encode(torch.full((2, 8), 5.0)))
    assert torch.allclose(constant, torch.full((2, 8), 5.0))


def test_settings_as_state_dict_writes_them(write):
    """The class's own state_dict() repeats them under another name."""
    both = write(activation__k=4, activation__postact_fn="ReLU")
    alone = write(activation__k=4, activation__postact_fn="ReLU", activation_state_dict=None)
    for file in (both, alone):
        assert load(file).encode(torch.randn(30, 8)).counts.max() == 4


def test_no_activation_is_relu(write):
    file = write(k=None, activation=None, activation_state_dict=None)
    assert load(file).facts.architecture == "standard"


@pytest.mark.parametrize(
    ("place", "site"),
    [
        ("resid_post_mlp_v5_128k/autoencoders/11.pt", "resid_post.11"),
        ("resid_delta_mlp_v5_32k/autoencoders/0.pt", "mlp_out.0"),
        ("resid_delta_attn_v5_32k/autoencoders/5.pt", "attn_out.5"),
        ("resid_delta_mlp/autoencoders/5.pt", "mlp_out.5"),
        ("resid_post_attn_v5_32k/autoencoders/5.pt", None),
        ("mlp_post_act/autoencoders/5.pt", None),
        ("somewhere/5.pt", None),
    ],
)
def test_the_path_says_where_it_belongs(write, place, site):
    found = OpenaiOptions(path=str(write(place=place))).describe().site
    assert (found and str(found)) == site


def refused(path, message, **options):
    for do in (load, lambda path, **o: OpenaiOptions(path=str(path), **o).describe()):
        with pytest.raises(ModelError, match=message) as error:
            do(path, **options)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "JumpReLU"}, "key activation is 'JumpReLU'. Allowed: ReLU"),
        ({"activation": "Identity"}, "key activation is 'Identity'"),
        ({"activation": "ReLU"}, "key activation is 'ReLU'. Allowed: ReLU without a k"),
        ({"activation_state_dict": {"k": 4, "postact_fn": "Identity"}}, "key postact_fn is 'Ident"),
        ({"activation_state_dict": {"postact_fn": "ReLU"}}, "key k is missing"),
        ({"activation_state_dict": {"k": 33}}, "key k is 33. Allowed: 1 to the number of lat"),
        ({"activation_state_dict": {"k": 4, "scale": 2}}, "unknown key 'activation_state_dict.sc"),
        ({"normalise": True}, "unknown key 'normalise'"),
        ({"activation__k": 5}, "key activation_state_dict.k is 4. Allowed: 5, as another key"),
        ({"pre_bias": None}, "pre_bias not found"),
        ({"decoder__weight": None}, "decoder.weight not found"),
        ({"threshold": torch.zeros(32)}, "threshold is one tensor too many"),
        ({"encoder__weight": torch.zeros(8, 32)}, "encoder.weight is .*, which is transposed"),
        ({"decoder__weight": torch.zeros(32, 8)}, "decoder.weight is .*, which is transposed"),
        ({"latent_bias": torch.zeros(31)}, r"is \[32\]. Expected \[31\] \(8 numbers in pre_bias"),
        ({"latent_bias": torch.zeros(32, dtype=torch.long)}, "latent_bias is stored as I64"),
    ],
)
def test_content_that_is_wrong(write, change, message):
    refused(write(**change), message)


def test_values_that_are_not_finite(write, random):
    weight = random(32, 8)
    weight[3, 3] = torch.nan
    with pytest.raises(ModelError, match="W_enc has 1 values that are not finite, of 256"):
        load(write(encoder__weight=weight))


def test_a_pickle_that_would_run_code(write, tmp_path):
    proof = tmp_path / "it_ran"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {proof}",)

    file = write(stats_last_nonzero=Hostile())
    refused(file, "which would run code. It was not run")
    assert not OpenaiOptions.claims(str(file))
    assert not proof.exists()


def test_a_file_cut_off(write):
    file = write()
    file.write_bytes(file.read_bytes()[:-30])
    refused(file, "Expected a whole file of torch.save")


def test_several_in_a_folder(write):
    folder = write().parent
    assert load(folder).facts.d_sae == 32
    shutil.copy(folder / "6.pt", folder / "7.pt")
    torch.save({"x": torch.zeros(2)}, folder / "other.pt")
    assert OpenaiOptions.claims(str(folder))
    refused(folder, 'holds 2 SAEs: 6.pt, 7.pt. Choose one: file = "6.pt"')
    refused(folder, r"has no file '8\.pt'. Allowed: 6.pt, 7.pt", file="8.pt")
    refused(folder / "6.pt", "is a file itself. Remove the option file", file="6.pt")
    assert str(load(folder, file="7.pt").facts.site) == "resid_post.7"


def test_none_in_a_folder(tmp_path):
    refused(tmp_path, "no file in it is such an SAE")
    assert not OpenaiOptions.claims(str(tmp_path))


def test_a_repository_needs_the_file():
    with pytest.raises(ModelError, match="which file of the repository is the SAE"):
        load("someone/gpt2-saes")


@pytest.mark.slow
def test_options_and_facts_need_no_torch(write):
    code = (
        "import sys; from harness_saes.formats.openai import OpenaiOptions\n"
        f"assert OpenaiOptions(path={str(write())!r}).describe().d_sae == 32\n"
        "assert not {'torch', 'numpy', 'huggingface_hub'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
