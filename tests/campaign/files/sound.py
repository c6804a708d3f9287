"""The sound files that are damaged: a tiny model, its fine-tune, adapters, a GGUF file, data."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import gguf
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>", "<|eot|>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|eot|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
ROWS: list[dict[str, Any]] = [
    {"text": f"The cat number {n} sat on it.", "kind": "ab"[n % 2], "score": n} for n in range(4)
]
"""What every task reads."""
BLOCKS, WIDTH, WORDS = 3, 8, 264
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_LLAMA = LlamaConfig(
    vocab_size=WORDS, hidden_size=WIDTH, num_hidden_layers=BLOCKS, num_attention_heads=2,
    num_key_value_heads=1, intermediate_size=16, max_position_embeddings=192, **_IDS,
)  # fmt: skip
_GPT2 = GPT2Config(
    vocab_size=WORDS, n_embd=WIDTH, n_layer=BLOCKS, n_head=2, n_positions=192, **_IDS
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens, and six special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: number for number, word in enumerate([*SPECIAL, *alphabet, "Ġc", "at"])}
    inner = Tokenizer(models.BPE(vocab=words, merges=[("Ġ", "c"), ("a", "t")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(SPECIAL)
    inner.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|bos|>", eos_token="<|eos|>", pad_token="<|pad|>",
        extra_special_tokens=SPECIAL[3:], chat_template=TEMPLATE,
    )  # fmt: skip


def write_model(folder: Path, *, seed: int, parts: bool = False, family: str = "llama") -> None:
    """A whole model; its blocks change little, so that an SAE fits all sites nearly alike."""
    torch.manual_seed(seed)
    config: PreTrainedConfig = {"llama": _LLAMA, "gpt2": _GPT2}[family]
    hf = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in hf.named_parameters():
            if "embed" in name or "wte" in name:
                weight.mul_(50)
    hf.generation_config = GenerationConfig(**_IDS)
    hf.save_pretrained(folder, max_shard_size="8KB" if parts else "1GB")
    tokenizer().save_pretrained(folder)


def write_adapter(folder: Path, base: Path, kind: str) -> None:
    """An adapter of the model in `base`, with weights that change it."""
    torch.manual_seed(7)
    hf = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    inner = ["q_proj", "down_proj"]
    configs: dict[str, Any] = {
        "lora": LoraConfig(target_modules=inner, r=2, init_lora_weights=False),
        "dora": LoraConfig(target_modules=inner, r=2, use_dora=True, init_lora_weights=False),
        "saved": LoraConfig(target_modules=inner, r=2, modules_to_save=["embed_tokens", "lm_head"],
                            init_lora_weights=False),
        "ia3": IA3Config(target_modules=inner, feedforward_modules=inner[1:],
                         init_ia3_weights=False),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(hf, configs[kind])
        wrapped.save_pretrained(folder)
    file = folder / "adapter_config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "base_model_name_or_path": "models/base"}, indent=1))


_THEIRS = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def write_gguf(file: Path, base: Path) -> None:
    """The model of `base` in one file, with its tokens (rows of queries are left in order)."""
    hf = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("Tiny")
    writer.add_block_count(BLOCKS)
    writer.add_context_length(192)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(WORDS)
    spoken = tokenizer()
    ids = {number: word for word, number in spoken.get_vocab().items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([ids[number] for number in sorted(ids)])
    writer.add_token_types([3 if n < len(SPECIAL) else 1 for n in sorted(ids)])
    writer.add_token_merges(["Ġ c", "a t"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(TEMPLATE)
    for name, weight in hf.state_dict().items():
        stem = name.removesuffix(".weight")
        block, _, rest = stem.removeprefix("model.layers.").partition(".")
        theirs = f"blk.{block}.{_THEIRS[rest]}" if "layers" in stem else _THEIRS[stem]
        writer.add_tensor(f"{theirs}.weight", weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
