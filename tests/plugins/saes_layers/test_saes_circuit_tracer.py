"""circuit-tracer's folders against its own objects, a slow formula, and bad files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.contract import SaeFacts
from harness.contract.sites import Site
from harness.errors import ModelError
from harness.testing import check_sae
from harness_saes.drawn import D, N, doubles, drawn, each
from harness_saes.formats.circuit_tracer.load import CircuitTracer
from harness_saes.formats.circuit_tracer.options import CircuitTracerOptions
from harness_saes.formats.circuit_tracer.samples import (
    LAYERS,
    cross_tensors,
    layer_alone,
    set_tensors,
    single_layer,
    write_cross,
    write_set,
    write_settings,
)
from harness_saes.formats.gemma_scope_2.samples import layer_tensors

SINGLE = "circuit_tracer.transcoder.single_layer_transcoder"
CROSS = "circuit_tracer.transcoder.cross_layer_transcoder"
HOOKS = ("hook_resid_mid", "hook_mlp_out")


def options(path, **more):
    return CircuitTracerOptions(**{"path": str(path), "layer": 1, **more})


def load(path, **more):
    return CircuitTracer(options(path, **more)).load("cpu")


def same(ours, z, out, x):
    """Same support, and values that differ by rounding alone."""
    latents = ours.encode(x)
    assert torch.equal(latents.dense() != 0, z != 0)
    assert z.count_nonzero() > len(x)
    assert (latents.dense() - z).abs().max() <= 1e-5 * z.abs().max()
    assert (ours.reconstruct(latents) - out).abs().max() <= 1e-5 * out.abs().max()


# ── Against the library and the formula ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize("skips", [False, True])
def test_a_set_equals_circuit_tracer(tmp_path, library, activations, jumps, skips):
    """Its own objects write the files, and its own loader reads them again."""
    single, cpu = library(SINGLE), torch.device("cpu")
    own = library("circuit_tracer.transcoder.activation_functions")
    made = {}
    for layer in range(LAYERS):
        tensors = set_tensors(layer, jumps=jumps, skips=skips)
        act = torch.nn.functional.relu
        if jumps:
            act = own.JumpReLU(tensors["activation_function.threshold"])
        one = single.SingleLayerTranscoder(
            D, N, act, layer, skip_connection=skips, device=cpu, dtype=torch.float32
        )
        one.load_state_dict(tensors)
        made[layer] = one
    write_settings(tmp_path, model_kind="transcoder_set")
    single.TranscoderSet(made, *HOOKS).to_safetensors(str(tmp_path))
    files = {n: str(tmp_path / f"layer_{n}.safetensors") for n in range(LAYERS)}
    theirs = single.load_transcoder_set(files, "scan", *HOOKS, device=cpu)
    for layer in range(LAYERS):
        with torch.no_grad():
            z = theirs.encode_layer(activations, layer)
            out = theirs[layer](activations)
        same(load(tmp_path, layer=layer), z, out, activations)


@pytest.mark.parametrize("jumps", [False, True])
def test_a_cross_layer_transcoder_equals_circuit_tracer(tmp_path, library, activations, jumps):
    """Latents of each layer, and what this layer alone writes into its own block."""
    cross, cpu = library(CROSS), torch.device("cpu")
    theirs = cross.CrossLayerTranscoder(
        LAYERS, N, D, "jump_relu" if jumps else "relu", lazy_decoder=False, device=cpu,
        dtype=torch.float32,
    )  # fmt: skip
    state = {}
    parts = [cross_tensors(layer, jumps=jumps) for layer in range(LAYERS)]
    for name in ("W_enc", "b_enc", "b_dec"):
        state[name] = torch.stack([enc[f"{name}_{n}"] for n, (enc, _) in enumerate(parts)])
    if jumps:
        limits = [enc[f"threshold_{n}"] for n, (enc, _) in enumerate(parts)]
        state["activation_function.threshold"] = torch.stack(limits)[:, None]
    state |= {f"W_dec.{n}": dec[f"W_dec_{n}"] for n, (_, dec) in enumerate(parts)}
    theirs.load_state_dict(state)
    write_settings(tmp_path, model_kind="cross_layer_transcoder")
    theirs.to_safetensors(str(tmp_path))
    again = cross.load_clt(str(tmp_path), device=cpu, dtype=torch.float32)
    stream = activations.expand(LAYERS, *activations.shape)
    with torch.no_grad():
        everything = again.encode(stream)
        for layer in range(LAYERS):
            z = again.encode_layer(activations, layer)
            assert torch.allclose(z, everything[layer], atol=1e-5)
            alone = torch.zeros_like(everything)
            alone[layer] = z
            same(load(tmp_path, layer=layer), z, again.decode(alone)[layer], activations)


@pytest.mark.parametrize("kind", ["npz", "w_enc"])
def test_entries_of_gemma_scope_equal_circuit_tracer(tmp_path, library, activations, kind):
    """A list of files as google published them, of either generation."""
    single, cpu = library(SINGLE), torch.device("cpu")
    raw = layer_tensors(0, affine=kind == "w_enc")
    raw["w_dec"] = raw["w_dec"][:, 0].contiguous()
    if kind == "npz":
        file = tmp_path / "params.npz"
        names = {"w_enc": "W_enc", "w_dec": "W_dec"}
        np.savez(file, **{names.get(name, name): t.numpy() for name, t in raw.items()})
        theirs = single.load_gemma_scope_transcoder(str(file), 0, device=cpu)
    else:
        file = tmp_path / "params.safetensors"
        save_file(raw, file)
        theirs = single.load_gemma_scope_2_transcoder(str(file), 0, device=cpu)
    write_settings(tmp_path, model_kind="transcoder_set", transcoders=f"[{file.name}]")
    with torch.no_grad():
        z, out = theirs.encode(activations), theirs(activations)
    same(load(tmp_path, layer=None), z, out, activations)


@pytest.mark.parametrize("jumps", [False, True])
def test_conforms(tmp_path, jumps):
    """The formula in float64, without the library: a set with a skip, and a cross-layer one."""
    write_set(tmp_path / "set", jumps=jumps, skips=True)
    w = doubles(set_tensors(1, jumps=jumps, skips=True))
    check_sae(load(tmp_path / "set"), partial(each, partial(single_layer, w, None)))
    write_cross(tmp_path / "clt", jumps=jumps)
    both = {k[:-2]: t for part in cross_tensors(1, jumps=jumps) for k, t in part.items()}
    reference = partial(each, partial(layer_alone, doubles(both)))
    check_sae(load(tmp_path / "clt"), reference)
    check_sae(load(tmp_path / "clt", dtype="float64"), reference, rtol=1e-12)


def test_latents_of_a_layer_need_no_other_layer(tmp_path, activations):
    """The decoder of a cross-layer transcoder is no part of what its latents are."""
    write_cross(tmp_path, jumps=True)
    before = load(tmp_path).encode(activations).dense()
    for name in ("W_enc_0", "W_enc_2", "W_dec_0", "W_dec_2"):
        (tmp_path / f"{name}.safetensors").unlink()
    assert torch.equal(load(tmp_path).encode(activations).dense(), before)


# ── What it says of itself ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("hooks", "read", "written"),
    [
        (("hook_resid_mid", "hook_mlp_out"), "resid_mid", "mlp_out"),
        (("mlp.hook_in", "mlp.hook_out"), "mlp_in", "mlp_raw"),
        (("ln2.hook_normalized", "hook_mlp_out"), "resid_mid", "mlp_out"),
        (("hook_resid_pre", "hook_resid_post"), "resid_pre", "resid_post"),
    ],
)
def test_where_it_reads_and_writes(tmp_path, hooks, read, written):
    hooks = dict(zip(("feature_input_hook", "feature_output_hook"), hooks, strict=True))
    facts = options(write_set(tmp_path, jumps=True, skips=False, **hooks)).describe()
    assert facts == SaeFacts(
        "jumprelu_transcoder", D, N, Site(read, 1), Site(written, 1), model="google/gemma-2-2b"
    )
    assert load(tmp_path).facts == facts


def test_a_cross_layer_transcoder_is_a_part(tmp_path):
    write_cross(tmp_path, jumps=False)
    for layer, reach in ((0, "and the 2 after it"), (2, "which is the last")):
        sae = load(tmp_path, layer=layer)
        assert sae.facts.partial
        assert sae.facts.blocks == 3
        assert sae.facts == options(tmp_path, layer=layer).describe()
        assert reach in sae.notes[0]
        assert "Nothing is summed into a reconstruction" in sae.notes[0]
    write_set(tmp_path / "set", jumps=False, skips=False)
    assert not load(tmp_path / "set").facts.partial
    assert load(tmp_path / "set").facts.blocks is None
    assert load(tmp_path / "set").notes == ()


def test_the_norm_of_another_model_is_said_by_the_task(tmp_path, message, activations):
    told = {"feature_input_hook": "ln2.hook_normalized", "model_name": "EleutherAI/pythia-70m"}
    write_set(tmp_path, jumps=False, skips=False, **told)
    assert 'norm = "rms" or "layer"' in message(load, tmp_path)
    ours = load(tmp_path, norm="layer", norm_epsilon=1e-5)
    normed = torch.nn.functional.layer_norm(activations, (D,), eps=1e-5)
    write_set(tmp_path / "plain", jumps=False, skips=False, feature_input_hook="hook_resid_mid")
    plain = load(tmp_path / "plain").encode(normed).dense()
    torch.testing.assert_close(ours.encode(activations).dense(), plain, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="belong together"):
        options(tmp_path, norm="rms")


# ── Where it lies ────────────────────────────────────────────────────────────────────────────────


def test_exactly_one_format_claims_a_folder(tmp_path, claiming):
    write_set(tmp_path / "set", jumps=True, skips=True)
    write_cross(tmp_path / "clt", jumps=True)
    for name in ("set", "clt"):
        assert claiming(tmp_path / name) == ["circuit_tracer"]
        (tmp_path / name / "config.yaml").write_text("a: [")
        assert claiming(tmp_path / name) == ["circuit_tracer"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.yaml").write_text("model: 1\n")
    assert claiming(tmp_path / "other") == []


def test_one_of_several_folders(tmp_path):
    write_set(tmp_path / "a", jumps=False, skips=False)
    write_cross(tmp_path / "b", jumps=False)
    assert load(tmp_path, folder="b").facts.partial
    with pytest.raises(ModelError, match=r"holds 2 SAEs in folders: a, b\. Choose one: folder"):
        load(tmp_path)


def test_a_repository_of_the_hub_is_read_layer_by_layer(tmp_path, snapshot, monkeypatch):
    """First the configuration, then the files of the layer alone; the plan says what is missing."""
    write_cross(tmp_path / "there", jumps=True)
    here, asked = snapshot("acme/clt"), []

    def fetch(repository, patterns, revision, where, **_):
        asked.append((repository, tuple(patterns), revision))
        for name in patterns:
            (here / name).write_bytes((tmp_path / "there" / name).read_bytes())
        return here

    for module in ("places", "hub_files"):
        monkeypatch.setattr(f"harness_saes.files.{module}.fetch", fetch)
    monkeypatch.setattr("harness_saes.formats.circuit_tracer.options.fetch", fetch)
    nothing = options("acme/clt")
    assert nothing.describe() == SaeFacts()
    assert nothing.needs().download == "acme/clt"
    (here / "config.yaml").write_bytes((tmp_path / "there/config.yaml").read_bytes())
    assert nothing.describe() == SaeFacts(
        site=Site("resid_mid", 1), site_out=Site("mlp_out", 1), model="google/gemma-2-2b",
        partial=True,
    )  # fmt: skip
    assert nothing.needs().download == "acme/clt"
    sae = load("acme/clt")
    files = ("W_enc_1.safetensors", "W_dec_1.safetensors")
    assert asked[1:] == [("acme/clt", files, None)]
    assert sae.facts == nothing.describe()
    assert nothing.needs().download is None
    with pytest.raises(ModelError, match="Choose one: layer = its number"):
        options("acme/clt", layer=None).describe()


def test_entries_on_the_hub_are_files_of_another_repository(tmp_path, snapshot, monkeypatch):
    here, there, asked = snapshot("acme/set"), snapshot("google/scope"), []
    entry = "hf://google/scope/a/params.safetensors?revision=main"
    write_settings(here, model_kind="transcoder_set", transcoders=f"['{entry}']")

    def fetch(repository, patterns, revision, where, **_):
        asked.append((repository, tuple(patterns), revision))
        if repository == "google/scope":
            (there / "a").mkdir()
            save_file(set_tensors(0, jumps=True, skips=False), there / patterns[0])
        return there

    monkeypatch.setattr("harness_saes.formats.circuit_tracer.options.fetch", fetch)
    assert load("acme/set", layer=0).facts.d_sae == N
    assert asked == [("google/scope", ("a/params.safetensors",), "main")]


@pytest.mark.parametrize("entry", ["/etc/passwd", "../../other/layer_0.safetensors"])
def test_a_repository_cannot_name_files_of_this_machine(snapshot, message, entry):
    write_settings(snapshot("acme/set"), model_kind="transcoder_set", transcoders=f"['{entry}']")
    said = message(partial(load, layer=0), "acme/set")
    assert "Allowed: hf://…, or a file of the repository" in said


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_kind": "sae"}, "key model_kind is 'sae'. Allowed: transcoder_set, cross_layer"),
        ({"model_kind": None}, "key model_kind is missing"),
        ({"top_k": 3}, "unknown key 'top_k', which could change the numbers"),
        ({"feature_input_hook": None}, "key feature_input_hook is missing"),
        ({"feature_input_hook": "hook_foo"}, "the hook 'blocks.1.hook_foo' is not known"),
        ({"feature_input_hook": "hook_mlp_in"}, "before the norm in TransformerLens"),
        ({"feature_output_hook": "mlp.hook_post"}, "the hook 'blocks.1.mlp.hook_post' is not kn"),
        ({"transcoders": "[]"}, "key transcoders is []"),
        ({"transcoders": "[{layer: 0}]"}, "lists of tables were circuit-tracer's before"),
        ({"transcoders": "[b, 'hf://owner/name']"}, "Allowed: hf://owner/name/file"),
        ({"transcoders": "[b, 'hf://owner/name/../x']"}, "Allowed: hf://owner/name/file"),
        ({"transcoders": "[a.safetensors, b]"}, "b of layer 1 is not"),
        ({"model_name": "[1]"}, "key model_name is [1]"),
    ],
)
def test_a_configuration_that_is_not_read(tmp_path, message, settings, said):
    write_set(tmp_path, jumps=False, skips=False)
    write_settings(tmp_path, **{"model_kind": "transcoder_set", **settings})
    assert said in message(load, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML of plain values"),
        ("- 1", "is no YAML mapping"),
        ("", "is no YAML mapping"),
        ("a: 1\na: 1", "the key 'a' comes twice"),
        ("a: &x [1]\nb: *x", "it has an alias"),
        ("a: !!python/object/apply:os.system [ls]", "it has a value of the type"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("1: a", "the key '1' is no text"),
        ("a: " + "[" * 3000, "is"),
    ],
)
def test_yaml_that_is_not_read(tmp_path, message, text, said):
    write_set(tmp_path, jumps=False, skips=False)
    (tmp_path / "config.yaml").write_text(text)
    assert said in message(load, tmp_path)


@pytest.mark.parametrize("kind", ["set", "clt"])
def test_a_layer_that_is_not_there(tmp_path, message, kind):
    write = write_set if kind == "set" else write_cross
    write(tmp_path, jumps=False, **({"skips": False} if kind == "set" else {}))
    assert "no layer 3. Allowed: layer = 0 to 2" in message(partial(load, layer=3), tmp_path)
    assert "has 3 layers" in message(partial(load, layer=None), tmp_path)
    first = "layer" if kind == "set" else "W_enc"
    (tmp_path / f"{first}_1.safetensors").unlink()
    assert "no layer 1. Allowed: layer = 0, 2" in message(load, tmp_path)
    for layer in (0, 2):
        (tmp_path / f"{first}_{layer}.safetensors").unlink()
    assert f"has no {first}_0.safetensors, nor that of any other" in message(load, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"W_enc": None}, "W_enc not found"),
        ({"W_enc": torch.ones(D, N)}, "W_enc is [8, 32], which is transposed. Expected [32, 8]"),
        ({"W_dec": torch.ones(N, D + 1)}, "W_dec is [32, 9]. Expected [32, 8]"),
        ({"b_enc": torch.ones(N, 1)}, "b_enc is [32, 1]. Expected a vector"),
        ({"W_enc": torch.full((N, D), torch.nan)}, "W_enc has 256 values that are not finite"),
        ({"more": torch.ones(1)}, "more is one tensor too many"),
        ({"log_thresholds": torch.ones(N)}, "has log_thresholds"),
        ({"activation_function.threshold": -torch.ones(N)}, "32 thresholds are below 0"),
        ({"W_enc": torch.ones(N, D, dtype=torch.int64)}, "W_enc is stored as I64"),
    ],
)
def test_weights_of_a_set_that_are_not_read(tmp_path, message, change, changes, said):
    write_set(tmp_path, jumps=True, skips=False)
    change(tmp_path / "layer_1.safetensors", changes)
    assert said in message(load, tmp_path)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("enc", {"b_dec_1": None}, "b_dec_1 not found"),
        ("enc", {"W_enc_1": torch.ones(D, N)}, "which is transposed"),
        ("enc", {"W_skip_1": torch.ones(D, D)}, "W_skip_1 is one tensor too many"),
        ("enc", {"threshold_1": torch.full((N,), torch.nan)}, "threshold has 32 values that are"),
        ("dec", {"W_dec_1": torch.ones(N, D)}, "W_dec_1 is [32, 8]. Expected [latents, blocks"),
        ("dec", {"W_dec_1": None, "W_dec_2": torch.ones(N, 2, D)}, "W_dec_1 is not found"),
        ("dec", {"W_dec_1": torch.ones(N - 1, 2, D)}, "W_dec_1 is [31, 2, 8]. Expected [32, 2, 8]"),
        ("dec", {"W_dec_1": torch.full((N, 2, D), torch.inf)}, "W_dec has 256 values"),
    ],
)
def test_weights_of_a_cross_layer_one_that_are_not_read(
    tmp_path, message, change, file, changes, said
):
    write_cross(tmp_path, jumps=False)
    change(tmp_path / f"W_{file}_1.safetensors", changes)
    assert said in message(load, tmp_path)


@pytest.mark.parametrize("name", ["W_enc_1", "W_dec_1"])
def test_half_a_file(tmp_path, message, name):
    write_cross(tmp_path, jumps=False)
    file = tmp_path / f"{name}.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "Expected a whole safetensors file" in message(load, tmp_path)


def test_a_layer_without_its_decoder(tmp_path, message):
    write_cross(tmp_path, jumps=False)
    (tmp_path / "W_dec_1.safetensors").unlink()
    assert "config.yaml is there, and W_dec_1.safetensors of layer 1 is not" in message(
        load, tmp_path
    )


def test_a_cross_layer_one_with_entries_is_another_format(tmp_path, message):
    write_settings(tmp_path, model_kind="cross_layer_transcoder", transcoders="[a, b]")
    assert 'format = "gemma_scope_2_clt"' in message(load, Path(tmp_path))


def test_a_change_of_weights_changes_the_fingerprint(tmp_path, change):
    write_cross(tmp_path, jumps=False)
    before = load(tmp_path).fingerprint
    assert load(tmp_path).fingerprint == before
    change(tmp_path / "W_dec_1.safetensors", {"W_dec_1": drawn(99, N, 2, D)})
    assert load(tmp_path).fingerprint != before
