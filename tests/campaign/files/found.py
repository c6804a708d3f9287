"""Every damage on which this campaign has found a fault. All are tried in each run of the tests."""

from __future__ import annotations

import codecs
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from campaign.files.row_damage import pack
from campaign.files.told import Owed, Told


@dataclass(frozen=True)
class Found:
    """A damage that broke a promise once."""

    subject: str
    file: str
    what: str
    change: Callable[[Path], object]
    owed: Owed = "a refusal"

    def damage(self, file: Path, chance: random.Random) -> Told:
        """Damages the file; chance has no part in it."""
        self.change(file)
        return Told(self.what, self.owed)


def _json(**new: Any) -> Callable[[Path], object]:
    """Keys of a JSON object; None takes one away."""

    def change(file: Path) -> None:
        told = json.loads(file.read_text("utf-8")) | new
        kept = {key: value for key, value in told.items() if value is not None}
        file.write_text(json.dumps(kept), "utf-8")

    return change


def _header(name: str, **new: Any) -> Callable[[Path], object]:
    """What a safetensors file says of a tensor; the bytes stay."""

    def change(file: Path) -> None:
        content = file.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        header[name] = {**header.get(name, {}), **new}
        text = json.dumps(header).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])

    return change


def _tensor(name: str, new: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], object]:
    def change(file: Path) -> None:
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file)
        state[name] = new(state[name]).clone()
        if file.suffix == ".safetensors":
            save_file(state, file, {"format": "pt"})
        else:
            torch.save(state, file)

    return change


def _gguf(after: bytes, skip: int, new: bytes) -> Callable[[Path], object]:
    """Bytes that stand so far behind the first place of some others."""

    def change(file: Path) -> None:
        content = bytearray(file.read_bytes())
        at = content.index(after) + len(after) + skip
        content[at : at + len(new)] = new
        file.write_bytes(content)

    return change


def _put(content: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content())


def _long_name(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("a" * 3000, b"")


def _compressed(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


_A = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"
_NPZ = "s/google/gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_71/params.npz"
_LINE = b"a" * 10**6
FOUND = [
    Found("model llama", "m/config.json", "vocab_size is a list", _json(vocab_size=[[1]])),
    Found("model llama", "m/config.json", "no num_attention_heads",
          _json(num_attention_heads=None)),
    Found("model llama", "m/config.json", "a mark of UTF-8 before it",
          lambda file: file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())),
    Found("model llama", "m/model.safetensors", "a shape of nothing",
          _header("model.norm.weight", shape=[])),
    Found("model llama", "m/model.safetensors", "one row less",
          _tensor("lm_head.weight", lambda w: w[:-1])),
    Found("model llama", "m/generation_config.json", "eos_token_id is a text",
          _json(eos_token_id="5.24.0")),
    Found("adapter lora", "a/adapter_model.safetensors", "two tensors in the same bytes",
          _header("another", dtype="F32", shape=[2], data_offsets=[0, 8])),
    Found("adapter lora", "a/adapter_model.safetensors", "truth values",
          _tensor(_A, lambda w: w.bool())),
    Found("tokenizer asked", "t/tokenizer.json", "a processor that is none",
          _json(post_processor="x")),
    Found("tokenizer of words", "t/merges.txt", "no UTF-8",
          lambda file: file.write_bytes(file.read_bytes() + b"\xff \xfe\n")),
    Found("tokenizer asked", "t/tokenizer_config.json", "model_max_length is a text",
          _json(model_max_length="1000")),
    Found("template settings", "t/tokenizer_config.json", "templates that are texts",
          _json(chat_template=["{{ 1 }}"])),
    Found("gguf alone", "m.gguf", "100,000 heads",
          _gguf(b"llama.attention.head_count", 4, (10**5).to_bytes(4, "little"))),
    Found("gguf alone", "m.gguf", "two tensors in the same bytes",
          _gguf(b"blk.1.attn_k.weight", 4 + 2 * 8 + 4, bytes(8))),
    Found("data rows.jsonl.zst read", "rows.jsonl.zst", "one line of a gigabyte",
          _put(lambda: pack(_LINE, ".zst") * 1000)),
    Found("data rows.csv.bz2 read", "rows.csv.bz2", "two million blank lines",
          _put(lambda: pack(b"text\n" + b"\n" * 2 * 10**6, ".bz2"))),
    Found("data rows.parquet.gz read", "rows.parquet.gz", "a gigabyte of one letter",
          _put(lambda: pack(_LINE, ".gz") * 1000)),
    Found("data rows.jsonl asked", "rows.jsonl", "turns of another form",
          _put(lambda: b'{"text": [{"speaker": "human", "words": "Bake"}]}\n')),
    Found("data rows.parquet read", "rows.parquet", "a byte is missing near its end",
          lambda file: file.write_bytes(file.read_bytes()[:-80] + file.read_bytes()[-79:])),
    Found("labels .csv", "taxonomy.json", "no UTF-8", _put(lambda: b'{"clusters": "\xeb"}')),
    Found("sae openai 1", "s/resid_post_mlp_v4_32k/autoencoders/1.pt", "compressed weights",
          _compressed),
    Found("sae saelens 5", "s/skip_transcoder/cfg.json", "it writes nowhere",
          _json(metadata={"hook_name": "blocks.1.hook_mlp_in", "hook_name_out": " x"})),
    Found("gguf alone", "m.gguf", "eight bytes too many",
          lambda file: file.write_bytes(file.read_bytes()[:-99] + bytes(8)
                                        + file.read_bytes()[-99:])),
    Found("sae crosscoder 3", "s/BatchTopKCrossCoder-NONE/config.json", "it says nothing",
          _json(trainer={})),
    Found("sae crosscoder 5", "s/CrossCoder-CROSSCODER/model_final.pt", "an infinite setting",
          _tensor("target_rms", lambda w: w - float("inf"))),
    Found("sae gemma_scope 0", _NPZ, "a name of 3,000 letters", _long_name),
]  # fmt: skip
