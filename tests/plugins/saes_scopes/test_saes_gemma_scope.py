"""Gemma Scope 1 against sae_lens' converter, a slow formula, and bad files."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from harness.contract.sites import Site
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.formats.gemma_scope import GemmaScopeOptions
from harness_saes.formats.load import GemmaScope

REPOSITORY = "google/gemma-scope-2b-pt-res"
TRANSCODERS = "google/gemma-scope-2b-pt-transcoders"
TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
FOLDER = "layer_20/width_16k/average_l0_71"


@pytest.fixture
def write(tmp_path, weights):
    """Writes params.npz as published and returns its folder."""

    def make(shape=(8, 32), repository=REPOSITORY, folder=FOLDER, dtype="float32", **changed):
        place = tmp_path / repository / folder
        place.mkdir(parents=True)
        tensors = {name: weights(*shape)[name].numpy().astype(dtype) for name in TENSORS}
        tensors |= changed
        np.savez(place / "params.npz", **{n: t for n, t in tensors.items() if t is not None})
        return place

    return make


def options(path, **more):
    return GemmaScopeOptions(path=str(path), **more)


def load(path, **more):
    return GemmaScope(options(path, **more)).load("cpu")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("kind", ["res", "mlp", "att"])
def test_equals_sae_lens(write, sae_lens_loads, assert_same, activations, shape, kind, dtype):
    repository = f"google/gemma-scope-2b-pt-{kind}"
    folder = write(shape, repository, dtype=dtype)
    theirs = sae_lens_loads(
        "gemma_2_sae_huggingface_loader", repository, FOLDER, d_in=shape[0], d_sae=shape[1]
    )
    assert_same(load(folder), theirs, activations(shape[0]))


def test_conforms(write, weights, jumprelu, activations, shape):
    folder = write(shape)
    reference = jumprelu(weights(*shape))
    check_sae(load(folder), reference, activations(shape[0]))
    check_sae(load(folder, dtype="float64"), reference, rtol=1e-12)


def test_b_dec_is_not_subtracted(write, weights, activations):
    """With a large b_dec, subtracting it before the encoder would change every latent."""
    x = activations(8)
    one = load(write()).encode(x).dense()
    other = load(write(repository="google/gemma-scope-2b-pt-mlp", b_dec=np.full(8, 9.0)))
    assert torch.equal(one, other.encode(x).dense())


@pytest.mark.parametrize(
    ("repository", "site", "model"),
    [
        ("google/gemma-scope-2b-pt-res", Site("resid_post", 20), "google/gemma-2-2b"),
        ("google/gemma-scope-9b-it-res", Site("resid_post", 20), "google/gemma-2-9b-it"),
        ("google/gemma-scope-9b-pt-mlp", Site("mlp_out", 20), "google/gemma-2-9b"),
        ("google/gemma-scope-2b-pt-att", Site("attn_z", 20), "google/gemma-2-2b"),
        ("copies/of-something", None, None),
    ],
)
def test_facts_of_files(write, repository, site, model):
    folder = write(repository=repository)
    facts = options(folder).describe()
    assert (facts.architecture, facts.d_in, facts.d_sae) == ("jumprelu", 8, 32)
    assert (facts.site, facts.site_out, facts.model) == (site, None, model)
    assert not facts.signed
    assert load(folder).facts == facts


@pytest.mark.parametrize(
    ("width", "d_sae"), [("16k", 16384), ("65k", 65536), ("131k", 131072), ("1m", 2**20)]
)
def test_facts_of_names(width, d_sae):
    facts = options("google/gemma-scope-9b-pt-att", id=f"layer_3/width_{width}/average_l0_9")
    assert (facts.describe().d_in, facts.describe().d_sae) == (4096, d_sae)
    assert facts.describe().site == Site("attn_z", 3)
    assert facts.needs().download == f"google/gemma-scope-9b-pt-att layer_3/width_{width}/" + (
        "average_l0_9"
    )


def test_where_it_may_lie(write, tmp_path):
    folder = write()
    for place in (folder, folder / "params.npz", tmp_path / REPOSITORY, folder.parent):
        assert GemmaScopeOptions.claims(str(place))
        assert options(place).describe().site == Site("resid_post", 20)
    root = tmp_path / REPOSITORY
    assert options(root, id=FOLDER).describe() == options(folder).describe()
    assert options(root, id=f"{FOLDER}/params.npz").describe() == options(folder).describe()
    assert not GemmaScopeOptions.claims(str(tmp_path / "nowhere"))


def test_several_to_choose_from(write, tmp_path):
    write()
    write(folder="layer_20/width_16k/average_l0_139")
    root = tmp_path / REPOSITORY
    with pytest.raises(ModelError, match=r"holds 2 SAEs: .*average_l0_139.*id = \"layer_20"):
        options(root).describe()
    with pytest.raises(ModelError, match=r"Did you mean layer_20/width_16k/average_l0_71\?"):
        options(root, id="layer_20/width_16k/average_l0_77").describe()


def test_none(tmp_path):
    with pytest.raises(ModelError, match=r"holds no params\.npz"):
        options(tmp_path).describe()
    with pytest.raises(ModelError, match="no such folder or file"):
        options(tmp_path / "nowhere").describe()
    with pytest.raises(ModelError, match=r"many SAEs. Choose one: id"):
        options("google/gemma-scope-2b-pt-res").describe()
    with pytest.raises(ModelError, match="revision is set, but path is local"):
        options(tmp_path, revision="main").describe()


def through(x):
    """What Gemma 2's norm before the MLP gives before its gain, by transformers' own module."""
    from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm

    norm = Gemma2RMSNorm(x.shape[1])  # eps as the model's default; the gain is 1 + 0
    assert not norm.weight.any()
    with torch.no_grad():
        return norm(x)


def test_a_transcoder_equals_sae_lens(write, sae_lens_loads, activations, shape):
    """sae_lens reads what the norm gives; here the stream before it is read, through the norm."""
    folder = write(shape, TRANSCODERS)
    loader = "gemma_2_transcoder_huggingface_loader"
    widths = {"d_in": shape[0], "d_out": shape[0], "d_sae": shape[1]}
    theirs = sae_lens_loads(loader, TRANSCODERS, FOLDER, **widths)
    ours, x = load(folder), activations(shape[0])
    latents = ours.encode(x)
    with torch.no_grad():
        z, out = theirs.encode(through(x)), theirs.forward(through(x))
    assert torch.equal(latents.dense() != 0, z != 0)
    assert z.count_nonzero() > len(x)
    torch.testing.assert_close(latents.dense(), z, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.reconstruct(latents), out, rtol=1e-5, atol=1e-5)
    # A longer stream is the same to the norm, but for what it adds, which counts for a short one.
    torch.testing.assert_close(ours.encode(7 * x).dense(), latents.dense(), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        short = theirs.encode(through(x / 1000))
    torch.testing.assert_close(ours.encode(x / 1000).dense(), short, rtol=1e-4, atol=1e-5)
    assert (short - z).abs().max() > 0.05


def test_where_a_transcoder_reads_and_writes(write):
    facts = options(write(repository=TRANSCODERS)).describe()
    assert (facts.site, facts.site_out) == (Site("resid_mid", 20), Site("mlp_out", 20))
    assert facts.model == "google/gemma-2-2b"
    assert not facts.partial
    assert load(write(repository="copies/of-it"), transcoder=True).facts.site == facts.site
    assert options(TRANSCODERS, id=FOLDER).describe().site == facts.site


def test_a_transcoder_is_another_sae_than_the_same_tensors_without_a_norm(write):
    one, other = load(write()), load(write(repository=TRANSCODERS))
    assert one.fingerprint != other.fingerprint


def test_what_a_repository_holds_is_not_for_the_task_to_say(write):
    for repository, told in ((REPOSITORY, True), (TRANSCODERS, False)):
        with pytest.raises(ModelError, match="Remove the option transcoder"):
            options(write(repository=repository), transcoder=told).describe()


def test_what_is_not_read():
    with pytest.raises(ModelError, match="not b_dec, and no file says which is right"):
        options(REPOSITORY, id="embedding/width_4k/average_l0_6").describe()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"threshold": None}, "threshold not found"),
        ({"b_dec": None}, "b_dec not found"),
        ({"scaling_factor": np.ones(32)}, "scaling_factor is one tensor too many"),
        ({"W_enc": np.ones((32, 8), "f4")}, r"W_enc is \[32, 8\], which is transposed"),
        ({"W_dec": np.ones((8, 32), "f4")}, r"W_dec is \[8, 32\], which is transposed"),
        ({"b_enc": np.ones(31, "f4")}, r"Expected \[8, 31\]"),
        ({"b_dec": np.ones((8, 1), "f4")}, r"b_dec is \[8, 1\]. Expected a vector"),
        ({"b_enc": np.ones(32, "i4")}, "b_enc is stored as I32"),
    ],
)
def test_wrong_tensors(write, changed, message):
    with pytest.raises(ModelError, match=message):
        options(write(**changed)).describe()


def test_not_finite(write):
    with pytest.raises(ModelError, match="b_enc has 2 values that are not finite, of 32"):
        load(write(b_enc=np.array([np.nan, np.inf] + [0.0] * 30, "f4")))


class Runs:
    """Unpickling this would make a file."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


def test_a_pickle_is_refused_unrun(write, tmp_path):
    trap = tmp_path / "it_ran"
    folder = write(b_enc=np.array([Runs(trap)] * 32, dtype=object))
    for read in (lambda: options(folder).describe(), lambda: load(folder)):
        with pytest.raises(ModelError, match="b_enc holds Python objects, whose pickle could run"):
            read()
    assert not trap.exists()
    # The trap works: it is not for a harmless file that nothing ran.
    pickle.loads(pickle.dumps(Runs(trap)))
    assert trap.exists()


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -200])
def test_truncated(write, keep):
    folder = write()
    file = folder / "params.npz"
    file.write_bytes(file.read_bytes()[:keep])
    assert GemmaScopeOptions.claims(str(folder)), "its own error is told, not that nobody knows it"
    with pytest.raises(ModelError, match=r"params\.npz: it is cut off or damaged"):
        options(folder).describe()


def test_damaged_data(write):
    """The headers are whole, a number is not: the zip's checksum tells."""
    file = write() / "params.npz"
    data = bytearray(file.read_bytes())
    data[1000] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(ModelError, match="cut off or damaged"):
        load(file)


def test_another_npz(write, tmp_path):
    file = tmp_path / "params.npz"
    np.savez(file, mean=np.ones(3))
    assert not GemmaScopeOptions.claims(str(file))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("W_enc.npy", b"no array")
    with pytest.raises(ModelError, match="W_enc is no array"):
        options(file).describe()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a" * 3000, b"no array")
    with pytest.raises(ModelError, match="it has a name of more than 500 characters"):
        options(file).describe()


def test_too_short_for_its_shape(write):
    file = write() / "params.npz"
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data[:-4] if name == "W_dec.npy" else data)
    with pytest.raises(ModelError, match=r"W_dec is \[32, 8\] of F32, but has"):
        options(file).describe()


def test_names_in_small_letters(write, weights, activations, sae_lens_loads, assert_same):
    w = {name: weights(8, 32)[name].numpy() for name in ("W_enc", "W_dec")}
    folder = write(W_enc=None, W_dec=None, w_enc=w["W_enc"], w_dec=w["W_dec"])
    assert GemmaScopeOptions.claims(str(folder))
    theirs = sae_lens_loads("gemma_2_sae_huggingface_loader", REPOSITORY, FOLDER, d_in=8, d_sae=32)
    assert_same(load(folder), theirs, activations(8))


def test_big_endian_numbers(write, activations):
    folder = write()
    with np.load(folder / "params.npz") as arrays:
        turned = {name: arrays[name].astype(">f4") for name in arrays.files}
    x = activations(8)
    expected = load(folder).encode(x).dense()
    np.savez(folder / "params.npz", **turned)
    assert torch.equal(load(folder).encode(x).dense(), expected)
