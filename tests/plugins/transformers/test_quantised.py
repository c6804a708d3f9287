"""Weights of few bits. The right weights are rounded here, in numpy, from the papers' formulas."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GptOssConfig, LlamaConfig

from harness.contract import Arm, Edit, Sampling, Site, Tokens
from harness.errors import ModelError
from harness_transformers import quantised
from harness_transformers.options import TransformersOptions
from harness_transformers.quantised import WAYS, Scheme, bits

from .conftest import load, save_model

pytestmark = pytest.mark.filterwarnings("ignore")

LAYERS, WIDTH = 2, 64
CONFIG = LlamaConfig(
    vocab_size=320, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4,
    num_key_value_heads=2, intermediate_size=128, max_position_embeddings=64, pad_token_id=0,
    bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
)  # fmt: skip
IDS = ([5, 9, 31, 7, 12, 40, 3], [8, 22, 17], [33, 6, 50, 51, 4])
ROWS = [Tokens(f"e{n}", tuple(ids), "", (0, len(ids))) for n, ids in enumerate(IDS)]
SITES = [Site(kind, n) for n in range(LAYERS) for kind in ("resid_post", "attn_out", "mlp_out")]
SITES += [Site("attn_z", 0), Site("mlp_in", 1)]
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# The 16 levels of a 4-bit NormalFloat: Dettmers et al. 2023 (QLoRA), appendix E.
NF4 = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
])  # fmt: skip

Rounded = Callable[[np.ndarray], np.ndarray]


def nf4(weight: np.ndarray) -> np.ndarray:
    """Each 64 weights divided by the largest of them, to the nearest level."""
    blocks = weight.reshape(-1, 64)
    scale = np.abs(blocks).max(1, keepdims=True)
    nearest = np.abs((blocks / scale)[..., None] - NF4).argmin(-1)
    return np.asarray((NF4[nearest] * scale).reshape(weight.shape))


def int8(weight: np.ndarray) -> np.ndarray:
    """Each row divided by its largest weight over 127, to the nearest integer."""
    scale = np.abs(weight).max(1, keepdims=True) / 127
    return np.asarray(np.rint(weight / scale) * scale)


def needs(scheme: Scheme) -> None:
    pytest.importorskip(WAYS[scheme].library.module)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("plain"), CONFIG)


def by_hand(folder: Path, rounded: Rounded) -> Any:
    """The plain model whose linear layers hold the rounded numbers."""
    hf = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        for name, module in hf.named_modules():
            if name.endswith(LINEAR):
                values = rounded(module.weight.double().numpy())
                module.weight.copy_(torch.from_numpy(values))
    return hf


@pytest.mark.parametrize(("scheme", "rounded"), [("bnb-4bit", nf4), ("quanto-int8", int8)])
def test_it_is_the_model_of_the_rounded_weights(
    scheme: Scheme, rounded: Rounded, folder: Path, tmp_path: Path
) -> None:
    """Sites and logits are those of weights that were rounded by hand; so is an edit's receipt."""
    needs(scheme)
    model, exact = load(folder, quantization=scheme), load(folder)
    hf = by_hand(folder, rounded)
    hf.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path)
    plain = load(tmp_path)
    got, expected, unrounded = (
        one.activations(ROWS, SITES, logits=True) for one in (model, plain, exact)
    )
    assert got.logits is not None
    assert expected.logits is not None
    assert unrounded.logits is not None
    scale = float(expected.logits.abs().max())
    assert float((got.logits - expected.logits).abs().max()) < 1e-4 * scale
    assert float((unrounded.logits - expected.logits).abs().max()) > 2e-3 * scale
    for site in SITES:
        a, b = got.sites[site], expected.sites[site]
        assert float((a - b).abs().max()) < 1e-4 * float(b.abs().max()), site
    v = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))
    edit = Edit(Site("resid_post", 0), lambda x, p: x + p["v"][:, None], {"v": v})
    receipts = []
    for one in (model, plain):
        with one.edited([Arm("add", (edit,))]) as found:
            one.activations(ROWS, [Site("resid_post", 1)])
        receipts.append(found[0])
    assert receipts[0].tokens == receipts[0].changed == sum(map(len, IDS))
    assert receipts[0].relative == pytest.approx(receipts[1].relative, rel=1e-4)
    assert model.generate(ROWS, Sampling(4)) == plain.generate(ROWS, Sampling(4))


@pytest.mark.parametrize("scheme", list(WAYS))
def test_the_provenance_says_what_was_rounded_and_by_what(scheme: Scheme, folder: Path) -> None:
    needs(scheme)
    model = load(folder, quantization=scheme)
    told = json.loads(json.dumps(dict(model.origin)))["quantised"]
    assert told["scheme"] == scheme
    assert told["library"].split()[0] == WAYS[scheme].library.pip
    assert told["library"].split()[1][0].isdigit()
    assert set(told["modules"]) == {
        f"model.layers.*.{'mlp' if 'proj' in name and name[0] in 'gud' else 'self_attn'}.{name}"
        for name in LINEAR
    }
    assert set(told["modules"].values()) == {LAYERS}
    assert told["settings"]["quant_method"] == told["method"]
    assert model.facts.d_attn_z == WIDTH
    assert "gradients" not in model.facts.capabilities
    exact = load(folder)
    assert model.fingerprint != exact.fingerprint
    got, expected = (one.activations(ROWS, [], logits=True).logits for one in (model, exact))
    assert got is not None
    assert expected is not None
    assert 0 < float((got - expected).norm() / expected.norm()) < 0.5
    with model.edited([Arm("zero", (Edit(Site("mlp_out", 1), lambda x, p: x * 0, {}),))]) as done:
        model.activations(ROWS, [Site("resid_post", 1)])
    assert done[0].relative == pytest.approx(1)


def test_files_that_are_rounded_already(folder: Path, tmp_path: Path) -> None:
    """A saved 4-bit model is read as it is; the provenance says so, and no adapter goes into it."""
    needs("bnb-4bit")
    first = load(folder, quantization="bnb-4bit")
    first.hf.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path)
    again = load(tmp_path)
    told = again.origin["quantised"]
    assert told["modules"] == first.origin["quantised"]["modules"]
    assert "scheme" not in told
    plain, options = TransformersOptions(path=str(folder)), TransformersOptions(path=str(tmp_path))
    assert options.describe().parameters == plain.describe().parameters
    assert options.needs().weight_bytes == 0.5
    a, b = (one.activations(ROWS, SITES[:1]).sites[SITES[0]] for one in (first, again))
    torch.testing.assert_close(a, b)
    options = TransformersOptions(path=str(tmp_path), quantization="bnb-8bit")
    with pytest.raises(ModelError, match=r"quantised already \(bitsandbytes in config\.json\)"):
        options.check()


def packed(folder: Path, target: Path, few: int) -> dict[str, np.ndarray]:
    """A copy of a model's folder in compressed-tensors' form: integers of few bits, from 0 up, one
    after the other in 32, with a scale for each row. Gives what the weights then are."""
    shutil.copytree(folder, target)
    weights, values = load_file(target / "model.safetensors"), {}
    for name in [one for one in weights if one.removesuffix(".weight").endswith(LINEAR)]:
        weight = weights.pop(name).double().numpy()
        scale = (np.abs(weight).max(1, keepdims=True) / (2 ** (few - 1) - 1)).astype(np.float32)
        whole = np.rint(weight / scale).astype(np.int64)
        values[name] = whole * scale.astype(np.float64)
        inside = 32 // few
        parts = (whole + 2 ** (few - 1)).reshape(len(whole), -1, inside)
        joined = (parts << (few * np.arange(inside))).sum(-1).astype(np.uint32).view(np.int32)
        weights[f"{name}_packed"] = torch.from_numpy(joined)
        weights[f"{name}_scale"] = torch.from_numpy(scale)
        weights[f"{name}_shape"] = torch.tensor(weight.shape)
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    config = json.loads((target / "config.json").read_text())
    rounded = {"num_bits": few, "type": "int", "symmetric": True, "strategy": "channel"}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": rounded}},
    }  # fmt: skip
    (target / "config.json").write_text(json.dumps(config))
    return values


@pytest.mark.parametrize("few", [4, 8])
def test_files_of_compressed_tensors(few: int, folder: Path, tmp_path: Path) -> None:
    """A real load: sites, logits and an edit's receipt are those of the numbers in the files."""
    pytest.importorskip("compressed_tensors")
    values = packed(folder, tmp_path / "packed", few)
    options = TransformersOptions(path=str(tmp_path / "packed"))
    options.check()
    assert options.needs().weight_bytes == few / 8
    model = load(tmp_path / "packed")
    hf = AutoModelForCausalLM.from_pretrained(folder).eval()
    for name, value in values.items():
        hf.get_parameter(name).data.copy_(torch.from_numpy(value))
    hf.save_pretrained(tmp_path / "plain")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path / "plain")
    plain, exact = load(tmp_path / "plain"), load(folder)
    got, expected, unrounded = (
        one.activations(ROWS, SITES, logits=True) for one in (model, plain, exact)
    )
    for site in SITES:
        a, b = got.sites[site], expected.sites[site]
        assert float((a - b).abs().max()) < 1e-4 * float(b.abs().max()), site
    assert got.logits is not None
    assert expected.logits is not None
    assert unrounded.logits is not None
    scale = float(expected.logits.abs().max())
    assert float((got.logits - expected.logits).abs().max()) < 1e-4 * scale
    assert float((unrounded.logits - expected.logits).abs().max()) > 1e-4 * scale
    told = model.origin["quantised"]
    assert told["library"].split()[0] == "compressed-tensors"
    assert told["settings"]["quant_method"] == told["method"]
    assert set(told["modules"].values()) == {LAYERS}
    v = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))
    edit = Edit(Site("resid_post", 0), lambda x, p: x + p["v"][:, None], {"v": v})
    receipts = []
    for one in (model, plain):
        with one.edited([Arm("add", (edit,))]) as found:
            one.activations(ROWS, [Site("resid_post", 1)])
        receipts.append(found[0])
    assert receipts[0].tokens == receipts[0].changed == sum(map(len, IDS))
    assert receipts[0].relative == pytest.approx(receipts[1].relative, rel=1e-4)
    assert model.generate(ROWS, Sampling(4)) == plain.generate(ROWS, Sampling(4))


FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
"""Numbers of 4 bits with 2 of exponent and 1 of mantissa (OCP Microscaling, table 5)."""


def mxfp4(folder: Path) -> dict[str, np.ndarray]:
    """Rewrites the experts of a model as gpt-oss publishes them; gives what they then are: 32
    numbers with one power of two."""
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(3)
    values = {}
    for name in [one for one in weights if one.endswith(("experts.gate_up_proj", "down_proj"))]:
        experts, inward, outward = weights.pop(name).shape
        shape = (experts, outward, inward // 32)
        blocks = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
        scales = torch.randint(120, 126, shape, generator=generator, dtype=torch.uint8)
        weights |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        low, high = FP4[blocks.numpy() & 15], FP4[blocks.numpy() >> 4]
        numbers = np.stack([low, high], -1).reshape(*shape, 32)
        numbers = numbers * 2.0 ** (scales.numpy().astype(int) - 127)[..., None]
        values[name] = numbers.reshape(experts, outward, inward).transpose(0, 2, 1)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    (folder / "config.json").write_text(json.dumps(config))
    return values


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there may be a kernel for them")
def test_gpt_oss_as_it_is_published(tmp_path: Path) -> None:
    """Where no kernel is for its 4-bit blocks, its weights are plain, and take an adapter."""
    config = GptOssConfig(
        vocab_size=320, hidden_size=64, num_hidden_layers=1, num_attention_heads=4, head_dim=16,
        num_key_value_heads=2, intermediate_size=32, num_local_experts=2, num_experts_per_tok=1,
        max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    base = save_model(tmp_path / "base", config)
    exact = sum(p.numel() for p in load(base).hf.parameters())
    values = mxfp4(base)
    told = TransformersOptions(path=str(base))
    assert told.describe().parameters == exact
    assert told.needs().weight_bytes is None
    model = load(base)
    assert model.origin == {"dequantised": "mxfp4"}
    for name, value in values.items():
        got = model.hf.get_parameter(name)
        assert np.array_equal(got.double().numpy(), value)
    torch.manual_seed(1)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).save_pretrained(tmp_path / "a")
    tuned = load(base, adapter=str(tmp_path / "a"))
    assert not torch.equal(
        tuned.hf.model.layers[0].self_attn.q_proj.weight,
        model.hf.model.layers[0].self_attn.q_proj.weight,
    )


@pytest.mark.parametrize(
    ("told", "few"),
    [
        ({"quant_method": "gptq", "bits": 4}, 4),
        ({"quant_method": "awq", "w_bit": 4}, 4),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, 4),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8),
        ({"quant_method": "mxfp4"}, 4),
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "quanto", "weights": "int2"}, 2),
        ({"quant_method": "compressed-tensors",
          "config_groups": {"group_0": {"weights": {"num_bits": 8}}}}, 8),
        ({"quant_method": "other"}, None),
        ("x", None),
        (None, None),
    ],
)  # fmt: skip
def test_how_many_bits_files_say(told: Any, few: int | None) -> None:
    assert bits({"quantization_config": told}) == few


# ── What it lacks, said before a weight is read ──────────────────────────────────────────────────


def marked(folder: Path, target: Path, method: str) -> Path:
    """A copy of a model's folder whose config.json says that it is rounded."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "bits": 4}
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize("scheme", list(WAYS))
def test_a_library_that_is_missing(
    scheme: Scheme, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "find_spec", lambda module: None)
    pip = WAYS[scheme].library.pip
    says = rf"quantization = {scheme} needs the package {pip}, .*\(pip install {pip}\)"
    with pytest.raises(ModelError, match=says):
        TransformersOptions(path=str(folder), quantization=scheme).check()


@pytest.mark.parametrize("method", ["gptq", "awq", "compressed-tensors", "hqq"])
def test_a_library_that_files_need(
    method: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "find_spec", lambda module: None)
    at = marked(folder, tmp_path / "at", method)
    with pytest.raises(ModelError, match=rf"its weights \({method} in config.json\) needs the pac"):
        TransformersOptions(path=str(at)).check()


def test_an_adapter_and_rounded_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match=r"merged into plain weights.*Allowed: one of them"):
        TransformersOptions(path=str(folder), quantization="bnb-4bit", adapter="a")
    with pytest.raises(ValidationError, match=r"GGUF file are rounded already"):
        TransformersOptions(gguf="a.gguf", quantization="bnb-4bit")
    monkeypatch.setattr(quantised, "find_spec", lambda module: object())
    at = marked(folder, tmp_path / "at", "gptq")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    options = TransformersOptions(path=str(at), adapter=str(adapter))
    says = r"its weights are quantised \(gptq\).*\. Allowed: an adapter on plain weights\. Name"
    with pytest.raises(ModelError, match=says):
        options.check()


def test_a_checkpoint_of_an_adapter_on_a_rounded_base(folder: Path, tmp_path: Path) -> None:
    """QLoRA: the base of the training is 4-bit, and its checkpoints hold adapters."""
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    base = TransformersOptions(path=str(folder), quantization="bnb-4bit")
    with pytest.raises(ModelError, match=r"its base is quantised \(bnb-4bit\)\. Allowed:"):
        base.saved_in(tmp_path)


def test_what_a_plan_is_told(folder: Path) -> None:
    options = TransformersOptions(path=str(folder), quantization="bnb-4bit")
    assert options.needs().weight_bytes == 0.5 + 4 / 64
    assert "gradients" not in options.describe().capabilities
    assert TransformersOptions(path=str(folder)).needs().weight_bytes is None
    assert TransformersOptions(path=str(folder), quantization=False).quantization is None


# ── Several devices ──────────────────────────────────────────────────────────────────────────────

EACH = {
    "model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk",
    "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "disk",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "spread", ["auto", "cpu", {"": "cpu"}, EACH], ids=["auto", "cpu", "whole", "disk"]
)
def test_a_model_that_is_spread_is_the_same(spread: Any, folder: Path) -> None:
    """Where a part does not fit, its weights lie elsewhere until they are needed."""
    whole, model = load(folder), load(folder, device_map=deepcopy(spread))
    assert (model.dtype, model.device) == ("float32", "cpu")
    a, b = (one.activations(ROWS, SITES, logits=True) for one in (whole, model))
    assert torch.equal(a.logits, b.logits)  # type: ignore[arg-type]
    for site in SITES:
        assert torch.equal(a.sites[site], b.sites[site])
    assert model.generate(ROWS, Sampling(4)) == whole.generate(ROWS, Sampling(4))


@pytest.mark.parametrize(
    ("spread", "says"),
    [
        ("everywhere", r"no such device: 'everywhere'\. Allowed: auto, balanced"),
        ({"": "mars"}, r"no such device: 'mars'\. Allowed: cpu, cuda:0, disk, or a number"),
        ({"": "cpu", "model.layrs": "cpu"}, r"model\.layrs, which is no module.* model\.layers\?"),
        ("cuda:0", "Torch not compiled with CUDA|CUDA|no NVIDIA driver"),
    ],
)
def test_maps_that_are_wrong(spread: Any, says: str, folder: Path) -> None:
    if spread == "cuda:0" and torch.cuda.is_available():
        pytest.skip("it can be used here")
    with pytest.raises((ModelError, ValidationError), match=says):
        load(folder, device_map=spread)
