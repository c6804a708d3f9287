"""SAEs and transcoders of sparsify: its own files, a slow reference, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.core.picks import group_maxima
from harness_saes.formats.load import Sparsify
from harness_saes.formats.sparsify import SparsifyOptions

CFG, WEIGHTS = "cfg.json", "sae.safetensors"
KINDS = ("topk", "groupmax", "signed", "transcoder", "skip", "skip_sae")


def load(path, **options):
    return Sparsify(SparsifyOptions(path=str(path), **options)).load("cpu")


@pytest.fixture
def write(tmp_path, random):
    """Writes a random one in sparsify's layout: `write((8, 32, 4), hookpoint="layers.3")`."""

    def make(shape=(8, 32, 4), dtype=torch.float32, hookpoint="layers.3", tensors=(), **keys):
        d, n, k = shape
        found = {
            "encoder.weight": random(n, d, dtype=dtype),
            # Many latents stay below 0, so that of some tokens fewer than k are active.
            "encoder.bias": random(n, dtype=dtype, shift=-0.5),
            "W_dec": random(n, d, dtype=dtype),
            "b_dec": random(d, dtype=dtype),
        }
        if keys.get("skip_connection"):
            found["W_skip"] = random(d, d, dtype=dtype)
        folder = tmp_path / "run" / hookpoint
        folder.mkdir(parents=True, exist_ok=True)
        save_file({**found, **dict(tensors)}, folder / WEIGHTS)
        config = {"activation": "topk", "num_latents": n, "expansion_factor": 32, "k": k}
        config |= {"normalize_decoder": True, "multi_topk": False, "skip_connection": False}
        config |= {"transcode": False, "d_in": d} | keys
        config = {key: value for key, value in config.items() if value is not None}
        (folder / CFG).write_text(json.dumps(config))
        return folder

    return make


def keys_of(kind, shape):
    """The keys of a kind, and a k that its groups allow."""
    d, n, k = shape
    if kind == "groupmax":
        k = next(size for size in range(k, n + 1) if n % size == 0)
    keys = {
        "topk": {},
        "groupmax": {"activation": "groupmax"},
        "signed": {"signed": True},
        "transcoder": {"transcode": True},
        "skip": {"transcode": True, "skip_connection": True},
        "skip_sae": {"skip_connection": True},
    }[kind]
    return (d, n, k), keys


def reference(folder):
    """sparsify's formulas, row by row, in float64."""
    config = json.loads((folder / CFG).read_text())
    weights = {n: w.double().numpy() for n, w in load_file(folder / WEIGHTS).items()}
    k = config["k"]

    def latents(x):
        read = x if config["transcode"] else x - weights["b_dec"]
        a = weights["encoder.weight"] @ read + weights["encoder.bias"]
        z = np.zeros_like(a)
        if config.get("signed"):
            kept = np.argsort(-np.abs(a))[:k]
            z[kept] = a[kept]
            return z
        a = np.maximum(a, 0)
        if config["activation"] == "groupmax":
            for group in np.split(np.arange(len(a)), k):
                kept = group[np.argmax(a[group])]
                z[kept] = a[kept]
            return z
        kept = np.argsort(-a)[:k]
        z[kept] = a[kept]
        return z

    def whole(x):
        z = np.stack([latents(row) for row in x])
        out = z @ weights["W_dec"] + weights["b_dec"]
        return z, out + (x @ weights["W_skip"].T if "W_skip" in weights else 0)

    return whole


def test_equals_sparsify(golden, case):
    """On files that sparsify wrote."""
    found = golden("sparsify", case)
    sae = load(found.place)
    found.check(sae)
    found.check(load(found.place, dtype="float64"))
    assert SparsifyOptions(path=str(found.place)).describe() == sae.facts
    assert SparsifyOptions.claims(str(found.place))


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_formula(write, shape, stored, kind):
    shape, keys = keys_of(kind, shape)
    folder = write(shape, stored, **keys)
    check_sae(load(folder), reference(folder))
    check_sae(load(folder, dtype="float64"), reference(folder), rtol=1e-9)


def test_fewer_than_k_are_active_where_fewer_are_positive(write):
    latents = load(write((8, 32, 24))).encode(torch.randn(50, 8))
    assert latents.counts.max() <= 24
    assert latents.counts.min() < 24
    assert (latents.values > 0).all()


# Today's library reads signed ones as if they were not: those are held against the formula alone.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "signed"])
def test_equals_the_installed_library(write, shape, kind):
    """Where sparsify is installed; the golden files made with it are compared everywhere."""
    sparsify = pytest.importorskip("sparsify")
    shape, keys = keys_of(kind, shape)
    folder, x = write(shape, **keys), torch.randn(40, shape[0])
    theirs, latents = sparsify.SparseCoder.load_from_disk(folder), load(folder).encode(x)
    with torch.no_grad():
        values, indices, _ = theirs.encode(x)
        dense = torch.zeros(40, shape[1]).scatter(1, indices, values)
        assert torch.equal(latents.dense() != 0, dense != 0)
        torch.testing.assert_close(latents.dense(), dense)
        torch.testing.assert_close(load(folder).reconstruct(latents), theirs(x).sae_out)


@pytest.mark.parametrize("groups", [1, 2, 5, 10])
def test_group_maxima(groups):
    a = torch.randn(7, 10)
    positions = group_maxima(a, groups)
    found = torch.zeros_like(a).flatten()
    found[positions] = a.flatten()[positions]
    expected = torch.zeros_like(a)
    for row in range(7):
        for start in range(0, 10, 10 // groups):
            part = a[row, start : start + 10 // groups]
            expected[row, start + int(part.argmax())] = max(0.0, float(part.max()))
    assert torch.equal(found.view(7, 10), expected)
    assert (positions.diff() > 0).all()
    assert len(group_maxima(a[:0], groups)) == 0


def test_num_latents_0_means_the_expansion_factor(write):
    folder = write((8, 32, 4), num_latents=0, expansion_factor=4)
    assert load(folder).facts.d_sae == 32
    assert load(write((8, 32, 4), num_latents=None, expansion_factor=4)).facts.d_sae == 32


@pytest.mark.parametrize(
    ("hookpoint", "transcode", "sites"),
    [
        ("layers.3", False, ("resid_post.3", None)),
        ("layers.3/seed1", False, ("resid_post.3", None)),
        ("model.layers.12", False, ("resid_post.12", None)),
        ("h.3.mlp", False, ("mlp_raw.3", None)),
        ("layers.3.attention", False, ("attn_raw.3", None)),
        ("layers.3.self_attn", False, ("attn_raw.3", None)),
        ("embed_tokens", False, ("embed", None)),
        ("layers.3.mlp.down_proj", False, (None, None)),
        ("layers.3.mlp", True, ("mlp_in.3", "mlp_raw.3")),
        ("layers.3", True, ("resid_pre.3", "resid_post.3")),
        ("layers.3.self_attn", True, (None, "attn_raw.3")),
    ],
)
def test_the_folder_says_where_it_belongs(write, hookpoint, transcode, sites):
    folder = write(hookpoint=hookpoint, transcode=transcode)
    for path, chosen in (
        (folder, None),
        (folder.parents[len(hookpoint.split("/")) - 1], hookpoint),
    ):
        facts = SparsifyOptions(path=str(path), hookpoint=chosen).describe()
        assert tuple(s and str(s) for s in (facts.site, facts.site_out)) == sites


def test_configurations_as_they_are_published(write):
    """EleutherAI/sae-pythia-70m-32k, sae-llama-3-8b-32x: keys of before sparsify 1.0."""
    old = {"activation": None, "multi_topk": None, "skip_connection": None, "transcode": None}
    folder = write((8, 32, 4), signed=False, **old)
    data = {**json.loads((folder / CFG).read_text()), "transcode": False, "activation": "topk"}
    facts = load(folder).facts
    assert (facts.architecture, facts.signed) == ("topk", False)
    sae, x = load(folder), torch.randn(9, 8)
    z, out = sae.encode(x).dense(), sae.reconstruct(sae.encode(x))
    (folder / CFG).write_text(json.dumps(data))
    expected, expected_out = reference(folder)(x.double().numpy())
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out, expected_out, rtol=1e-5, atol=1e-6)


def test_a_skip_connection_without_the_key_transcode_has_to_be_said(write):
    """EleutherAI/skip-transcoder-Llama-3.2-1B-131k: nothing in the file says if b_dec is taken."""
    folder = write(hookpoint="layers.5.mlp", skip_connection=True, transcode=None)
    for do in (load, lambda path: SparsifyOptions(path=str(path)).describe()):
        with pytest.raises(ModelError, match=r"no key transcode.*transcode = true if it predicts"):
            do(folder)
    said = {flag: load(folder, transcode=flag) for flag in (True, False)}
    x = torch.randn(9, 8)
    for flag, sae in said.items():
        data = json.loads((folder / CFG).read_text())
        (folder / CFG).write_text(json.dumps(data | {"transcode": flag, "activation": "topk"}))
        check_sae(sae, reference(folder), x)
        (folder / CFG).write_text(json.dumps(data))
    assert str(said[True].facts.site_out) == "mlp_raw.5"
    assert said[True].fingerprint != said[False].fingerprint


def refused(folder, message, **options):
    for do in (load, lambda path, **o: SparsifyOptions(path=str(path), **o).describe()):
        with pytest.raises(ModelError, match=message) as error:
            do(folder, **options)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"numlatents": 3}, "unknown key 'numlatents'.*Did you mean num_latents"),
        ({"activation": "jumprelu"}, "key activation is 'jumprelu'. Allowed: topk, groupmax"),
        ({"k": 33}, "key k is 33. Allowed: 1 to the number of latents, which is 32"),
        ({"k": None}, "key k is missing"),
        ({"k": True}, "key k is True"),
        ({"d_in": 9}, r"W_dec is \[32, 8\]. Expected \[32, 9\]"),
        ({"num_latents": 30}, r"Expected \[30, 8\] \(d_in 8 and 30 latents in cfg.json\)"),
        ({"activation": "groupmax", "k": 5}, "key k is 5. Allowed: a divisor"),
        ({"activation": "groupmax", "signed": True}, "key signed is True"),
        ({"embed_skip": True}, "key embed_skip is True. Allowed: false"),
        ({"gram_lookup": True}, "key gram_lookup is True. Allowed: false"),
        ({"transcode": "yes"}, "key transcode is 'yes'. Allowed: true, false"),
    ],
)
def test_keys_that_are_wrong(write, keys, message):
    refused(write(**keys), message)


def test_the_option_against_the_key(write):
    refused(write(), "key transcode is False, but the task says True", transcode=True)
    assert load(write(), transcode=False).facts.d_sae == 32


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"W_skip": torch.zeros(8, 8)}, "W_skip is one tensor too many"),
        ({"W_dec": torch.zeros(8, 32)}, r"W_dec is \[8, 32\], which is transposed"),
        ({"encoder.weight": torch.zeros(8, 32)}, r"encoder.weight is \[8, 32\], which is trans"),
        ({"b_dec": torch.zeros(8, dtype=torch.int64)}, "b_dec is stored as I64"),
    ],
)
def test_tensors_that_are_wrong(write, tensors, message):
    refused(write(tensors=tensors), message)


def test_a_missing_tensor(write):
    folder = write(skip_connection=True, tensors={})
    weights = load_file(folder / WEIGHTS)
    save_file({n: t for n, t in weights.items() if n != "W_skip"}, folder / WEIGHTS)
    refused(folder, "W_skip not found. Expected W_dec, W_skip, b_dec, encoder.bias, encoder.weight")


def test_values_that_are_not_finite(write, random):
    bias = random(32)
    bias[3] = torch.nan
    with pytest.raises(ModelError, match="b_enc has 1 values that are not finite, of 32"):
        load(write(tensors={"encoder.bias": bias}))


@pytest.mark.parametrize("kept", [5, -3])
def test_a_file_cut_off(write, kept):
    folder = write()
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:kept])
    refused(folder, "Expected a whole safetensors file")
    assert SparsifyOptions.claims(str(folder))


def test_a_configuration_cut_off(write):
    folder = write()
    (folder / CFG).write_text((folder / CFG).read_text()[:-3])
    refused(folder, "cfg.json: is no JSON")
    assert SparsifyOptions.claims(str(folder))


def test_several_in_a_folder(write, tmp_path):
    for hookpoint in ("layers.3", "layers.4", "layers.4.mlp/seed0"):
        write(hookpoint=hookpoint)
    root = tmp_path / "run"
    assert SparsifyOptions.claims(str(root))
    refused(root, 'holds 3 SAEs in folders: .*Choose one: hookpoint = "layers.3"')
    refused(root, "hookpoint 'layers.5' has no SAE. Allowed: .*Did you mean", hookpoint="layers.5")
    assert str(load(root, hookpoint="layers.4").facts.site) == "resid_post.4"
    assert str(load(root, hookpoint="layers.4.mlp/seed0").facts.site) == "mlp_raw.4"


def test_none_in_a_folder(write, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", f"has no {CFG} and no {WEIGHTS}. Expected a folder with")
    refused(write() / CFG, f"is a file. Expected a folder with {CFG} and {WEIGHTS}")
    refused(tmp_path / "gone", "no such folder or file, and no hub|no such folder or file. Allowed")
    assert not SparsifyOptions.claims(str(tmp_path / "empty"))
    assert not SparsifyOptions.claims(str(tmp_path / "gone"))


def test_a_revision_of_a_local_folder(write):
    refused(write(), "revision is set, but path is local", revision="main")


def test_another_format_is_not_claimed(write):
    folder = write()
    (folder / WEIGHTS).rename(folder / "sae_weights.safetensors")  # as SAELens names it
    assert not SparsifyOptions.claims(str(folder))


@pytest.mark.slow
def test_options_and_facts_need_no_torch(write):
    code = (
        "import sys; from harness_saes.formats.sparsify import SparsifyOptions\n"
        f"assert SparsifyOptions(path={str(write())!r}).describe().d_in == 8\n"
        "assert not {'torch', 'numpy', 'sparsify', 'huggingface_hub'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


@pytest.fixture
def hub(write, tmp_path, monkeypatch):
    """A cache of the hub that holds one hookpoint of a repository."""
    from huggingface_hub import constants

    write(hookpoint="layers.3")
    cache = tmp_path / "cache"
    repository = cache / "models--EleutherAI--sae-test"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots").mkdir()
    (tmp_path / "run").rename(repository / "snapshots" / "abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("hub")
def test_of_the_hub():
    options = SparsifyOptions(path="EleutherAI/sae-test", hookpoint="layers.3")
    assert options.needs().download is None
    assert options.describe() == load("EleutherAI/sae-test", hookpoint="layers.3").facts
    missing = SparsifyOptions(path="EleutherAI/sae-test", hookpoint="layers.4")
    assert missing.needs().download == "EleutherAI/sae-test"
    assert missing.describe().d_in is None
    with pytest.raises(ModelError, match=r"could not be downloaded|no file of"):
        Sparsify(missing).load("cpu")
    with pytest.raises(ModelError, match="Choose the SAE's folder with hookpoint"):
        load("EleutherAI/sae-test")
