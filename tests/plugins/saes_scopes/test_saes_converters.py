"""Each kind of files in sae_lens' list: through its own converter, and through ours, in float64.

Files are made in the layout of the kind. `theirs` is sae_lens' object, by its converter; `ours` is
the release by name (their converter, our arithmetic) and the format that reads the files itself.
"""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from harness.errors import ModelError
from harness_saes.formats.circuit_tracer.load import CircuitTracer
from harness_saes.formats.circuit_tracer.options import CircuitTracerOptions
from harness_saes.formats.dictionary_learning.load import DictionaryLearning
from harness_saes.formats.dictionary_learning.options import DictionaryLearningOptions
from harness_saes.formats.gemma_scope import GemmaScopeOptions
from harness_saes.formats.goodfire import GoodfireOptions
from harness_saes.formats.load import GemmaScope, Goodfire
from harness_saes.formats.saelens.kinds import KINDS, SUMMED
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions
from harness_saes.formats.saelens.rules import OWN
from harness_saes.formats.tensors.load import Tensors
from harness_saes.formats.tensors.options import TensorsOptions

GOLDEN = Path(__file__).parents[1] / "saes_golden" / "dictionary_learning"
D, N = 8, 32
RTOL = 1e-12
"""Of the largest number: both compute in float64, in another order."""
R1 = "qresearch/DeepSeek-R1-Distill-Llama-8B-SAE-l19"
LLAMA = "Goodfire/Llama-3.1-8B-Instruct-SAE-l19"
LEARNED = ("topk", "batchtopk", "batchtopk_unfitted", "gated", "jumprelu", "matryoshka")
WIDTHS = {"d_in": D, "d_sae": N}


@dataclass(frozen=True)
class Hub:
    """A folder in place of the hub, and a list of releases with one entry."""

    root: Path
    theirs: Any
    list: Any

    def place(self, repository: str, path: str = "") -> Path:
        place = self.root / repository / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def ours(self, kind: str, repository: str, path: str, **overrides: Any) -> Any:
        """The release by name, in float64."""
        self.list(kind, repository, path, overrides)
        options = SaelensOptions(release="tests", id="one", dtype="float64")
        return Saelens(options).load("cpu")

    def converted(self, kind: str, repository: str, path: str, **overrides: Any) -> Any:
        """sae_lens' object, in float64."""
        loaders = importlib.import_module("sae_lens.loading.pretrained_sae_loaders")
        loader = loaders.NAMED_PRETRAINED_SAE_LOADERS[kind].__name__
        return self.theirs(loader, repository, path, **overrides).to(dtype=torch.float64)


@pytest.fixture
def hub(tmp_path, sae_lens_loads, monkeypatch):
    from sae_lens.loading import pretrained_saes_directory as directory

    def listed(kind, repository, path, overrides):
        entry = directory.PretrainedSAELookup(
            release="tests", repo_id=repository, model="m", conversion_func=kind,
            saes_map={"one": path}, expected_var_explained={}, expected_l0={}, neuronpedia_id={},
            norm_scaling_factor={}, config_overrides=overrides,
        )  # fmt: skip
        monkeypatch.setitem(directory.get_pretrained_saes_directory(), "tests", entry)

    return Hub(tmp_path, sae_lens_loads, listed)


@pytest.fixture
def canonical(weights):
    """Random weights as sae_lens has them."""
    found = weights(D, N)
    return {name: found[name] for name in ("W_enc", "W_dec", "b_enc", "b_dec")}


def same(ours, theirs, x, *, z=None, out=None):
    """The same latents are active; latents and reconstructions agree to RTOL of the largest."""
    x = x.double()
    with torch.no_grad():
        z = theirs.encode(x) if z is None else z
        out = theirs.forward(x) if out is None else out
    latents = ours.encode(x)
    dense = latents.dense()
    assert torch.equal(dense != 0, z != 0)
    assert z.count_nonzero() > len(x), "a test of latents needs some"
    assert (dense - z).abs().max() <= RTOL * z.abs().max()
    found = ours.reconstruct(latents)
    assert (found - out).abs().max() <= RTOL * out.abs().max()


def tensors(file, **keys):
    options = {"path": str(file), "dtype": "float64", "activation": "relu", **keys}
    return Tensors(TensorsOptions.model_validate(options)).load("cpu")


def named(tensors_of):
    keys = ("encoder", "decoder", "encoder_bias", "decoder_bias")
    return dict(zip(keys, tensors_of, strict=True))


CANONICAL = named(("W_enc", "W_dec", "b_enc", "b_dec"))


# ── SAEs ─────────────────────────────────────────────────────────────────────────────────────────


def learned(hub, case):
    """A golden SAE of dictionary_learning in the hub: repository, path, and its width."""
    repository, path = "canrager/lm_sae", f"sweep_{case}/resid_post_layer_3/trainer_0"
    folder = hub.place(repository, path)
    shutil.copytree(GOLDEN / case / "resid_post_layer_3" / "trainer_0", folder)
    width = json.loads((folder / "config.json").read_text())["trainer"]["activation_dim"]
    options = DictionaryLearningOptions(path=str(folder), dtype="float64")
    return repository, path, width, DictionaryLearning(options).load("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("case", LEARNED)
def test_dictionary_learning(hub, activations, case):
    repository, path, width, ours = learned(hub, case)
    x = activations(width)
    theirs = hub.converted("dictionary_learning_1", repository, path)
    same(ours, theirs, x)
    same(hub.ours("dictionary_learning_1", repository, path), theirs, x)


def test_dictionary_learning_autoencoder(hub, activations):
    """Its library makes decoder rows length 1 when it loads one, and sae_lens does not: other
    latents, by the rows' lengths, and the same reconstruction."""
    repository, path, width, ours = learned(hub, "autoencoder")
    x = activations(width).double()
    theirs = hub.converted("dictionary_learning_1", repository, path)
    same(hub.ours("dictionary_learning_1", repository, path), theirs, x)
    with torch.no_grad():
        z = theirs.encode(x) * theirs.W_dec.norm(dim=1)
    same(ours, theirs, x, z=z)
    assert "decoder rows" in ours.notes[0]


def test_dictionary_learning_autoencoder_new(hub):
    """sae_lens' converter knows no name of its b_dec; our own format reads it."""
    repository, path, _, ours = learned(hub, "autoencoder_new")
    assert ours.facts.architecture == "standard"
    with pytest.raises(ModelError, match=r"converter dictionary_learning_1 finds no b_dec"):
        hub.ours("dictionary_learning_1", repository, path)


def test_goodfire(hub, canonical, activations):
    file = hub.place(LLAMA, "Llama-3.1-8B-Instruct-SAE-l19.pth")
    w = canonical
    stored = {
        "encoder_linear.weight": w["W_enc"].T.contiguous(),
        "encoder_linear.bias": w["b_enc"],
        "decoder_linear.weight": w["W_dec"].T.contiguous(),
        "decoder_linear.bias": w["b_dec"],
    }
    torch.save(stored, file)
    theirs = hub.converted("goodfire", LLAMA, file.name, **WIDTHS)
    x = activations(D)
    same(Goodfire(GoodfireOptions(path=str(file), dtype="float64")).load("cpu"), theirs, x)
    same(hub.ours("goodfire", LLAMA, file.name, **WIDTHS), theirs, x)
    away = GoodfireOptions(path="Goodfire/Llama-3.1-8B-Instruct-SAE-l19")
    assert str(away.describe().site) == "resid_post.19"


def test_deepseek_r1(hub, canonical, activations):
    """A file that no format of ours knows: a task spells it out."""
    file = hub.place(R1, "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt")
    w = canonical
    stored = {
        "encoder.weight": w["W_enc"].T.contiguous(),
        "encoder.bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T.contiguous(),
        "decoder.bias": w["b_dec"],
    }
    torch.save(stored, file)
    theirs = hub.converted("deepseek_r1", R1, file.name, **WIDTHS)
    names = named(("encoder.weight", "decoder.weight", "encoder.bias", "decoder.bias"))
    x = activations(D)
    same(tensors(file, subtract_decoder_bias=False, **names), theirs, x)
    ours = hub.ours("deepseek_r1", R1, file.name, **WIDTHS)
    same(ours, theirs, x)
    assert str(ours.facts.site) == "resid_post.19"


def test_connor_rob_hook_z(hub, canonical, activations):
    repository, name = "ckkissane/attn-saes-gpt2-small-all-layers", "gpt2-small_L4_Hcat_z_v9"
    config = {"act_size": D, "dict_size": N, "act_name": "blocks.4.attn.hook_z"}
    hub.place(repository, f"{name}_cfg.json").write_text(json.dumps(config))
    file = hub.place(repository, f"{name}.pt")
    torch.save(canonical, file)
    theirs = hub.converted("connor_rob_hook_z", repository, file.name)
    x = activations(D)
    same(tensors(file, subtract_decoder_bias=True, **CANONICAL), theirs, x)
    ours = hub.ours("connor_rob_hook_z", repository, file.name)
    same(ours, theirs, x)
    assert str(ours.facts.site) == "attn_z.4"


def test_temporal(hub, activations):
    repository, path = "canrager/temporalSAEs", "gemma-2-2B/layer_12/temporal"
    rules = {"n_heads": 2, "n_attn_layers": 1, "bottleneck_factor": 4, "sae_diff_type": "topk",
             "kval_topk": 5, "tied_weights": True}  # fmt: skip
    config = {"llm": {"dimin": D}, "data": {"dtype": "float32"},
              "sae": {"exp_factor": N / D, "scaling_factor": 0.5, **rules}}  # fmt: skip
    hub.place(repository, f"{path}/conf.yaml").write_text(yaml.safe_dump(config))
    generator = torch.Generator().manual_seed(3)
    shapes = OWN["temporal"].shapes(D, N, rules)
    drawn = {name: torch.randn(*shape, generator=generator) * 0.3 for name, shape in shapes.items()}
    stored = {{"W_dec": "D", "b_dec": "b"}.get(name, name): t for name, t in drawn.items()}
    save_file(stored, hub.place(repository, f"{path}/latest_ckpt.safetensors"))
    theirs = hub.converted("temporal", repository, path, model_name="gemma-2-2b")
    x = activations(D).double()
    with torch.no_grad():
        z, out = theirs.encode(x[None])[0], theirs.forward(x[None])[0]
    ours = hub.ours("temporal", repository, path, model_name="gemma-2-2b")
    same(ours, theirs, x, z=z, out=out)
    assert str(ours.facts.site) == "resid_post.12"


# ── Transcoders ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mwhanna_transcoder(hub, canonical, activations):
    repository = "mwhanna/qwen3-4b-transcoders"
    wandb = {"d_model": {"value": D}, "d_feature": {"value": N}, "batch_size": {"value": 64}}
    hub.place(repository, "wandb-config.yaml").write_text(yaml.safe_dump(wandb))
    hub.place(repository, "config.yaml").write_text("model_name: Qwen/Qwen3-4B\n")
    file = hub.place(repository, "layer_3.safetensors")
    save_file({**canonical, "W_enc": canonical["W_enc"].T.contiguous()}, file)
    theirs = hub.converted("mwhanna_transcoder", repository, file.name)
    x = activations(D)
    same(tensors(file, site_out="mlp_out.3", **CANONICAL), theirs, x)
    ours = hub.ours("mwhanna_transcoder", repository, file.name)
    same(ours, theirs, x)
    with (file.parent / "config.yaml").open("a") as more:
        more.write("feature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\n")
        more.write("model_kind: transcoder_set\n")
    options = CircuitTracerOptions(path=str(file.parent), layer=3, dtype="float64")
    same(CircuitTracer(options).load("cpu"), theirs, x)
    assert (str(ours.facts.site), str(ours.facts.site_out)) == ("mlp_in.3", "mlp_out.3")


def test_gemma_2_transcoder(hub, canonical, weights, activations):
    repository, path = "google/gemma-scope-2b-pt-transcoders", "layer_3/width_16k/average_l0_76"
    stored = canonical | {"threshold": weights(D, N)["threshold"]}
    file = hub.place(repository, f"{path}/params.npz")
    np.savez(file, **{name: tensor.numpy() for name, tensor in stored.items()})
    widths = WIDTHS | {"d_out": D}
    theirs = hub.converted("gemma_2_transcoder", repository, path, **widths)
    keys = CANONICAL | {"activation": "jumprelu", "threshold": "threshold"}
    x = activations(D).double()
    same(tensors(file, site_out="mlp_out.3", **keys), theirs, x)
    # It reads what the model's norm gives before its gain, which is made of the stream here.
    normed = x / (x.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
    with torch.no_grad():
        z, out = theirs.encode(normed), theirs.forward(normed)
    options = GemmaScopeOptions(path=str(file), dtype="float64")
    for ours in (
        hub.ours("gemma_2_transcoder", repository, path, **widths),
        GemmaScope(options).load("cpu"),
    ):
        same(ours, theirs, x, z=z, out=out)
        sites = str(ours.facts.site), str(ours.facts.site_out)
        assert sites == ("resid_mid.3", "mlp_out.3")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_layer_of_a_clt(hub, canonical, activations):
    """Latents are those of the layer; that its decoders were added up is noted, and by name."""
    repository = "mntss/clt-gemma-2-2b-2.5M"
    config = "model_name: m\nfeature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\n"
    hub.place(repository, "config.yaml").write_text(config)
    rows = torch.randn(N, 3, D, generator=torch.Generator().manual_seed(1))
    first = {"W_enc_0": canonical["W_enc"].T.contiguous(), "b_enc_0": canonical["b_enc"],
             "b_dec_0": canonical["b_dec"]}  # fmt: skip
    save_file(first, hub.place(repository, "W_enc_0.safetensors"))
    save_file({"W_dec_0": rows}, hub.place(repository, "W_dec_0.safetensors"))
    theirs = hub.converted("mntss_clt_layer_transcoder", repository, "0")
    same(hub.ours("mntss_clt_layer_transcoder", repository, "0"), theirs, activations(D))
    options = SaelensOptions(release="mntss-gemma-2-2b-2.5m-clt-as-per-layer", id="layer_0")
    assert options.listed().note == SUMMED


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_note_of_the_list_is_on_what_was_loaded(hub, canonical):
    """By the real name of a release, with files of its kind."""
    from sae_lens.loading import pretrained_saes_directory as directory

    name = "mntss-gemma-2-2b-2.5m-clt-as-per-layer"
    test_files = {"W_enc_0": canonical["W_enc"].T.contiguous(), "b_enc_0": canonical["b_enc"],
                  "b_dec_0": canonical["b_dec"]}  # fmt: skip
    repository = directory.get_pretrained_saes_directory()[name].repo_id
    hub.place(repository, "config.yaml").write_text(
        "model_name: m\nfeature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\n"
    )
    save_file(test_files, hub.place(repository, "W_enc_0.safetensors"))
    save_file({"W_dec_0": torch.ones(N, 3, D)}, hub.place(repository, "W_dec_0.safetensors"))
    sae = Saelens(SaelensOptions(release=name, id="layer_0")).load("cpu")
    assert sae.notes == (SUMMED,)
    assert sae.facts.partial


def test_every_kind_is_compared_somewhere():
    """Here, or with the formats of the scopes beside this file; sparsify's converter is broken,
    and no release of the list uses it."""
    here = Path(__file__).parent
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(here.glob("test_*.py")))
    loaders = importlib.import_module("sae_lens.loading.pretrained_sae_loaders")
    for kind in KINDS.keys() - {"sae_lens", "sparsify"}:
        name = loaders.NAMED_PRETRAINED_SAE_LOADERS[kind].__name__
        assert f'"{kind}"' in text or f'"{name}"' in text, kind
