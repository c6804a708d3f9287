"""Models in GGUF files: issue 14, item 2. The right weights are dequantised in numpy, by hand."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from peft import LoraConfig, get_peft_model
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from harness.contract import Example, Prompt, Sampling
from harness.contract.sites import parse_site
from harness.errors import ModelError
from harness_transformers.backend import TransformersBackend
from harness_transformers.gguf_header import read_header
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

from .conftest import CONFIGS, LAYERS, WIDTH

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
HEADS = {"q_proj": 4, "k_proj": 2}


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """The rows of a query or key as llama.cpp rotates them: (0, 1), (2, 3) and not (0, d/2)."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def halved(weight: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of `interleaved`."""
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(weight.shape))


def their_name(name: str) -> str:
    stem = name.removesuffix(".weight")
    if stem.startswith("model.layers."):
        _, _, block, rest = stem.split(".", 3)
        return f"blk.{block}.{NAMES[rest]}.weight"
    return f"{NAMES[stem]}.weight"


def write(
    file: Path,
    weights: Mapping[str, np.ndarray],
    kind: Type,
    *,
    architecture: str = "llama",
    leave_out: str = "",
    more: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Writes a tiny Llama; returns the weights that the file holds, dequantised with numpy."""
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("Tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(96)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // 4)
    writer.add_vocab_size(320)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{i}" for i in range(320)])
    for key, value in (more or {}).items():
        writer.add_string(key, value) if isinstance(value, str) else writer.add_uint32(key, value)
    held = {}
    for name, weight in weights.items():
        if name == leave_out:
            continue
        heads = next((n for part, n in HEADS.items() if part in name), 0)
        stored = interleaved(weight, heads) if heads else weight
        as_type = kind if weight.ndim == 2 else Type.F32
        data = quantize(stored, as_type)
        writer.add_tensor(their_name(name), data, raw_dtype=as_type)
        back = dequantize(data, as_type).reshape(weight.shape).astype(np.float32)
        held[name] = halved(back, heads) if heads else back
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


@pytest.fixture(scope="module")
def weights(folders: dict[str, Path]) -> dict[str, np.ndarray]:
    hf = AutoModelForCausalLM.from_pretrained(folders["llama"], dtype=torch.float32)
    return {name: value.numpy() for name, value in hf.state_dict().items()}


@pytest.fixture
def tiny(tmp_path: Path, weights: dict[str, np.ndarray]) -> Path:
    write(tmp_path / "tiny.gguf", weights, Type.Q8_0)
    return tmp_path / "tiny.gguf"


def load(file: Path, folders: dict[str, Path], **more: Any) -> TransformersModel:
    voice = str(folders["llama"])
    options = TransformersOptions(gguf=str(file), **{"tokenizer": voice, **more})
    return TransformersBackend(options).load()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.Q8_0, Type.Q4_1])
def test_it_is_the_model_of_the_dequantised_weights(
    kind: Type, tmp_path: Path, weights: dict[str, np.ndarray], folders: dict[str, Path]
) -> None:
    """Issue 14, item 2: logits and activations are those of plain transformers."""
    held = write(tmp_path / "tiny.gguf", weights, kind)
    assert (kind == Type.F32) == all(np.array_equal(held[n], weights[n]) for n in weights)
    expected = LlamaForCausalLM(CONFIGS["llama"]).eval()
    expected.load_state_dict({name: torch.from_numpy(value) for name, value in held.items()})
    model = load(tmp_path / "tiny.gguf", folders)
    sites = [parse_site("resid_post.0"), parse_site("resid_post.2"), parse_site("attn_z.1")]
    tokens = model.render([Example("a", "The capital of Tuha is", {})], Prompt(template="{text}"))
    found = model.activations(tokens, sites, logits=True)
    ids = torch.tensor([tokens[0].ids])
    with torch.no_grad():
        inner = {}
        attention = expected.model.layers[1].self_attn.o_proj
        hook = attention.register_forward_pre_hook(lambda _, args: inner.update(z=args[0]))
        out = expected(ids, output_hidden_states=True)
        hook.remove()
        stream = expected.model.layers[2]
        assert found.logits is not None
        torch.testing.assert_close(found.logits, out.logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.sites[sites[0]], out.hidden_states[1])
        torch.testing.assert_close(found.sites[sites[1]], stream(
            out.hidden_states[2],
            position_embeddings=expected.model.rotary_emb(
                out.hidden_states[2], torch.arange(len(ids[0]))[None]
            ),
        ))  # fmt: skip
        torch.testing.assert_close(found.sites[sites[2]], inner["z"])
    assert model.dtype == "float32"
    assert not model.notes


@pytest.mark.slow
def test_facts_are_read_from_the_header(tiny: Path, folders: dict[str, Path]) -> None:
    """`check` knows sizes, and no heavy module is imported."""
    told = TransformersOptions(gguf=str(tiny), tokenizer=str(folders["llama"])).describe()
    assert told == load(tiny, folders).facts
    assert (told.layers, told.d_model, told.vocabulary, told.context) == (LAYERS, WIDTH, 320, 96)
    code = (
        "import sys\n"
        "from harness_transformers.options import TransformersOptions\n"
        f"options = TransformersOptions(gguf={str(tiny)!r})\n"
        "options.check(), options.names(), options.needs()\n"
        "assert options.describe().layers == 3\n"
        "heavy = {'torch', 'transformers', 'peft', 'numpy', 'gguf'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_costs_as_the_folder(tiny: Path, folders: dict[str, Path]) -> None:
    folder = TransformersOptions(path=str(folders["llama"]))
    for device in ("cpu", "cuda"):
        file = TransformersOptions(gguf=str(tiny), device=device)
        assert file.needs() == folder.model_copy(update={"device": device}).needs()


def test_provenance_names_the_file_and_how_it_is_stored(
    tiny: Path, folders: dict[str, Path], weights: dict[str, np.ndarray]
) -> None:
    model = load(tiny, folders)
    flat = sum(w.size for w in weights.values() if w.ndim == 1)
    assert model.origin == {
        "gguf": "tiny.gguf",
        "sha256": hashlib.sha256(tiny.read_bytes()).hexdigest(),
        "stored": {"Q8_0": sum(w.size for w in weights.values()) - flat, "F32": flat},
    }


@pytest.mark.slow
def test_the_fingerprint_is_that_of_the_content(
    tiny: Path, tmp_path: Path, folders: dict[str, Path], weights: dict[str, np.ndarray]
) -> None:
    shutil.copyfile(tiny, tmp_path / "renamed.gguf")
    write(tmp_path / "other.gguf", weights, Type.Q4_1)
    one, same, other = (
        load(tmp_path / f"{name}.gguf", folders).fingerprint
        for name in ("tiny", "renamed", "other")
    )
    assert one == same != other
    assert load(tiny, folders, dtype="bfloat16").fingerprint != one


def test_it_computes_in_the_dtype_that_is_asked_for(tiny: Path, folders: dict[str, Path]) -> None:
    assert load(tiny, folders, dtype="bfloat16").dtype == "bfloat16"


def save_adapter(folder: Path, base: Path, *, width: int = WIDTH) -> None:
    torch.manual_seed(1)
    config = CONFIGS["llama"].to_dict() | {"hidden_size": width, "head_dim": width // 4}
    hf = LlamaForCausalLM(type(CONFIGS["llama"])(**config))
    with warnings.catch_warnings(action="ignore"):  # of peft and transformers among themselves
        tuned = get_peft_model(hf, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    tuned.save_pretrained(folder)


@pytest.mark.slow
def test_an_adapter_on_top(
    tmp_path: Path, weights: dict[str, np.ndarray], folders: dict[str, Path]
) -> None:
    """The change is B·A·α/r on the dequantised weights, in transformers' order of rows."""
    held = write(tmp_path / "tiny.gguf", weights, Type.Q4_1)
    save_adapter(tmp_path / "lora", folders["llama"])
    model = load(tmp_path / "tiny.gguf", folders, adapter=str(tmp_path / "lora"))
    from safetensors.numpy import load_file

    lora = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    scale = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    for name in ("model.layers.1.self_attn.q_proj", "model.layers.2.mlp.down_proj"):
        a, b = (lora[f"base_model.model.{name}.lora_{x}.weight"].astype(np.float64) for x in "AB")
        expected = held[f"{name}.weight"] + b @ a * scale["lora_alpha"] / scale["r"]
        found = model.hf.get_submodule(name).weight.numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert model.generate(
        model.render([Example("a", "Why?", {})], Prompt(template="{text}")),
        Sampling(max_new_tokens=2),
    )


def test_an_adapter_of_another_model(tiny: Path, tmp_path: Path, folders: dict[str, Path]) -> None:
    save_adapter(tmp_path / "lora", folders["llama"], width=64)
    with pytest.raises(ModelError, match=r"adapter .*lora: it does not fit the model"):
        load(tiny, folders, adapter=str(tmp_path / "lora"))


def test_its_own_tokenizer(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """Without `tokenizer` the file's own is used, and a rule of splitting that is strange warns."""
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    more = {"tokenizer.chat_template": template, "tokenizer.ggml.pre": "strange"}
    more |= {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}
    write_with_merges(tmp_path / "tiny.gguf", weights, more)
    options = TransformersOptions(gguf=str(tmp_path / "tiny.gguf"))
    assert options.describe().chat_template is True
    model = TransformersBackend(options).load()
    assert model.encode("ab", special=False) == [5]
    assert any("'strange'" in note and "tokenizer = " in note for note in model.notes)
    assert model.facts.chat_template is True
    names = (model.hf.name_or_path, model.hf.config._name_or_path, model.tokenizer.name_or_path)
    assert set(names) == {str(tmp_path / "tiny.gguf")}


def write_with_merges(file: Path, weights: Mapping[str, np.ndarray], more: dict[str, Any]) -> None:
    """A file whose vocabulary is a, b, and ab by one merge."""
    add = gguf.GGUFWriter.add_token_list

    def tokens(self: Any, _: Any) -> None:
        add(self, ["<unk>", "<s>", "</s>", "a", "b", "ab", *(f"t{i}" for i in range(314))])
        self.add_token_merges(["a b"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf.GGUFWriter, "add_token_list", tokens)
        write(file, weights, Type.F32, more=more)


# ── What is wrong with a file ────────────────────────────────────────────────────────────────────


def refused(file: Path, **more: Any) -> str:
    with pytest.raises(ModelError) as caught:
        TransformersOptions(gguf=str(file), **more).check()
    return str(caught.value)


@pytest.mark.parametrize("kept", [0.999, 0.6, 0.2, 0.001])
def test_a_file_that_is_cut_off(tiny: Path, kept: float) -> None:
    whole = tiny.read_bytes()
    tiny.write_bytes(whole[: int(len(whole) * kept)])
    assert "no whole GGUF file" in refused(tiny)
    assert "Download it again" in refused(tiny)


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04" * 50, b"{}"])
def test_a_file_that_is_no_gguf(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    assert "is no GGUF file" in refused(tmp_path / "x.gguf")


@pytest.mark.slow
@pytest.mark.parametrize("at", range(4, 400, 7))
def test_a_damaged_header_is_never_our_own_error(tiny: Path, at: int) -> None:
    content = bytearray(tiny.read_bytes())
    content[at : at + 8] = b"\xff" * 8
    tiny.write_bytes(content)
    options = TransformersOptions(gguf=str(tiny))
    with suppress(ModelError):
        options.check(), options.describe(), options.needs(), options.names()


@pytest.mark.parametrize(
    ("offset", "says"), [(39, "which is no multiple of 32"), (0, "the one before it ends at")]
)
def test_tensors_that_share_bytes(tiny: Path, offset: int, says: str) -> None:
    """transformers reads the bytes of another tensor then, without a word."""
    content = bytearray(tiny.read_bytes())
    name = b"blk.1.attn_k.weight"
    at = content.index(name) + len(name) + 4 + 2 * 8 + 4
    content[at : at + 8] = offset.to_bytes(8, "little")
    tiny.write_bytes(content)
    assert f"begins at {offset}" in refused(tiny) or offset == 0
    assert says in refused(tiny)


def test_bytes_too_many(tiny: Path) -> None:
    """All tensors behind them are moved, or something else is in the file."""
    whole = tiny.read_bytes()
    for content in (whole + bytes(8), whole[:-500] + bytes(8) + whole[-500:]):
        tiny.write_bytes(content)
        assert f"should have {len(whole)} bytes and has {len(whole) + 8}" in refused(tiny)


def test_a_hash_that_is_another(tiny: Path, folders: dict[str, Path]) -> None:
    right = hashlib.sha256(tiny.read_bytes()).hexdigest()
    load(tiny, folders, sha256=right)
    with pytest.raises(ModelError, match=f"sha256 is {right}.*task says {'0' * 64}"):
        load(tiny, folders, sha256="0" * 64)


def test_an_architecture_that_transformers_does_not_know(
    tmp_path: Path, weights: dict[str, np.ndarray], folders: dict[str, Path]
) -> None:
    write(tmp_path / "x.gguf", weights, Type.F32, architecture="unheard")
    TransformersOptions(gguf=str(tmp_path / "x.gguf")).check()
    with pytest.raises(ModelError, match=r"cannot read it .*unheard, stored as F32.*path"):
        load(tmp_path / "x.gguf", folders)


def test_a_type_that_transformers_does_not_know(tiny: Path, folders: dict[str, Path]) -> None:
    content = tiny.read_bytes()
    name = b"blk.0.ffn_up.weight"
    at = content.index(name) + len(name) + 4 + 2 * 8
    assert content[at : at + 4] == (8).to_bytes(4, "little")
    # A type whose blocks take no more bytes, so that the tensors still lie one behind the other.
    tiny.write_bytes(content[:at] + (24).to_bytes(4, "little") + content[at + 4 :])  # I8
    with pytest.raises(ModelError, match=r"cannot read it .*I8.*Allowed"):
        load(tiny, folders)


def test_a_weight_that_is_missing(
    tmp_path: Path, weights: dict[str, np.ndarray], folders: dict[str, Path]
) -> None:
    """transformers would fill it with random numbers."""
    lost = "model.layers.1.mlp.up_proj.weight"
    write(tmp_path / "x.gguf", weights, Type.F32, leave_out=lost)
    with pytest.raises(ModelError, match=r"1 weights are not in its files.*up_proj"):
        load(tmp_path / "x.gguf", folders)


def test_positions_that_transformers_does_not_scale(
    tmp_path: Path, weights: dict[str, np.ndarray], folders: dict[str, Path]
) -> None:
    write(tmp_path / "x.gguf", weights, Type.F32, more={"llama.rope.scaling.type": "yarn"})
    model = load(tmp_path / "x.gguf", folders)
    assert any("rope.scaling.type = yarn" in note for note in model.notes)


@pytest.mark.parametrize(
    ("more", "says"),
    [({"split.count": 3}, "one of 3 parts"), ({"general.type": "adapter"}, "no model")],
)
def test_a_part_of_a_model(
    tmp_path: Path, weights: dict[str, np.ndarray], more: dict[str, Any], says: str
) -> None:
    write(tmp_path / "x.gguf", weights, Type.F32, more=more)
    assert says in refused(tmp_path / "x.gguf")


def test_the_package_is_missing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_transformers.gguf_file.find_spec", lambda _: None)
    assert "pip install 'sae-harness[gguf]'" in refused(tiny)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gguf": "x.gguf", "path": "acme/x"}, "exactly one of path and gguf, not path and gguf"),
        ({}, "exactly one of path and gguf, not neither"),
        ({"path": "acme/x", "sha256": "0" * 64}, "made_with"),
        ({"gguf": "x.gguf", "revision": "main"}, "revision belongs to path"),
        ({"gguf": "x.gguf", "sha256": "abc"}, "pattern"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TransformersOptions(**options)  # type: ignore[arg-type]


def test_a_gguf_file_as_path(tiny: Path) -> None:
    with pytest.raises(ModelError, match=r'is given as gguf = "…"'):
        TransformersOptions(path=str(tiny)).describe()


def test_false_takes_an_inherited_key_away(tiny: Path) -> None:
    """Issue 14, item 1: the hub's weights instead of the file's, with `--set`."""
    options = TransformersOptions(path="acme/x", gguf=False, sha256=False)  # type: ignore[arg-type]
    assert (options.gguf, options.sha256) == (None, None)


@pytest.mark.slow
def test_other_weights_than_those_of_the_task_are_warned_of(
    tiny: Path, folders: dict[str, Path]
) -> None:
    """Issue 14, item 1: the task states its sha256, other weights are warned of."""
    right = hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert not load(tiny, folders, made_with=right).notes
    (note,) = load(tiny, folders, made_with="0" * 64).notes
    assert right in note
    assert "0" * 64 in note
    folder = TransformersOptions(path=str(folders["llama"]), made_with=right)
    (note,) = TransformersBackend(folder).load().notes
    own = hashlib.sha256((folders["llama"] / "model.safetensors").read_bytes()).hexdigest()
    assert own in note
    assert right in note
    same = folder.model_copy(update={"made_with": own})
    assert not TransformersBackend(same).load().notes


def test_the_header_is_that_of_the_package(tiny: Path) -> None:
    theirs = gguf.GGUFReader(tiny)
    mine = read_header(tiny, "model")
    assert {t.name: (t.shape, t.type) for t in mine.tensors} == {
        t.name: (tuple(int(n) for n in reversed(t.shape)), t.tensor_type.name)
        for t in theirs.tensors
    }
    plain = {k: f.contents() for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    tokens = plain.pop("tokenizer.ggml.tokens")
    assert mine.values == {**plain, "tokenizer.ggml.tokens": len(tokens)}
