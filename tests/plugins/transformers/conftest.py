"""Tiny random models of eight families, saved as ordinary folders, and a tiny tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GenerationConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from harness.contract.values import Example
from harness_transformers.backend import TransformersBackend
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>", "<|system|>", "<|eot|>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|eot|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TEXT = [
    "Tell me how to bake a small cake.\nThen eat it.",
    "The capital of Tuha is Pave. What is it?",
    "I cannot help with that, I am sorry!\n\nWhy?",
]
LAYERS, WIDTH = 3, 32
_COMMON = {"vocab_size": 320, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
_COMMON |= {"num_attention_heads": 4, "max_position_embeddings": 96}
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_GLU = {**_COMMON, **_IDS, "intermediate_size": 64, "num_key_value_heads": 2}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**_GLU),
    "mistral": MistralConfig(**_GLU, sliding_window=8, head_dim=8),
    "qwen2": Qwen2Config(**_GLU),
    "qwen3": Qwen3Config(**_GLU, head_dim=16),
    "gemma2": Gemma2Config(**_GLU, head_dim=16, sliding_window=8),
    "gemma3": Gemma3TextConfig(**_GLU, head_dim=16, sliding_window=8),
    "phi": PhiConfig(**_GLU),
    "gpt_neox": GPTNeoXConfig(**_COMMON, **_IDS, intermediate_size=64),
    "gpt2": GPT2Config(
        vocab_size=320, n_embd=WIDTH, n_layer=LAYERS, n_head=4, n_positions=96, **_IDS
    ),
}


def make_tokenizer(*, template: str | None = TEMPLATE, bos: bool = True) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    # Without the regular expression, so that ".\n" can become one token, as in Llama 3 and Qwen.
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([*TEXT, *["?\n", ".\n"] * 9], trainer)
    if bos:
        inner.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", special_tokens=[("<|bos|>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<|bos|>",
        eos_token="<|eos|>",
        pad_token="<|pad|>",
        extra_special_tokens=SPECIAL[3:],
        chat_template=template,
    )


def save_model(folder: Path, config: PreTrainedConfig, **tokenizer: object) -> Path:
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # norms with gains that matter, weights large enough to see
        for name, parameter in hf.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.rand_like(parameter) * 0.5)
            elif "embed" not in name:
                parameter.mul_(3)
    hf.generation_config = GenerationConfig(**_IDS)
    hf.save_pretrained(folder)
    make_tokenizer(**tokenizer).save_pretrained(folder)  # type: ignore[arg-type]
    return folder


def load(folder: Path, **options: object) -> TransformersModel:
    return TransformersBackend(TransformersOptions(path=str(folder), **options)).load()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: save_model(root / name, config) for name, config in CONFIGS.items()}


@pytest.fixture(scope="session")
def loaded(folders: dict[str, Path]) -> dict[str, TransformersModel]:
    return {name: load(folder) for name, folder in folders.items()}


@pytest.fixture(params=CONFIGS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(loaded: dict[str, TransformersModel], family: str) -> TransformersModel:
    return loaded[family]


@pytest.fixture
def llama(loaded: dict[str, TransformersModel]) -> TransformersModel:
    return loaded["llama"]


@pytest.fixture
def examples() -> list[Example]:
    texts = ["Tell me how to bake a small cake.", "Why?", "The capital of Tuha is Pave. And then"]
    return [Example(f"e{i}", text, {"instruction": text}) for i, text in enumerate(texts)]
