"""Tiny random models of three families: RMSNorm, LayerNorm with biases, and a soft-capped head."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
)

from harness.testing import organism
from harness_transformers.backend import TransformersBackend
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

WIDTH, LAYERS, VOCABULARY = 16, 3, 2048
_COMMON = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
_COMMON |= {"num_attention_heads": 4, "max_position_embeddings": 128}
_COMMON |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**_COMMON, intermediate_size=32),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=LAYERS, n_head=4, n_positions=128,
        bos_token_id=1, eos_token_id=2,
    ),
    "gemma2": Gemma2Config(**_COMMON, intermediate_size=32, head_dim=4, num_key_value_heads=4,
                           final_logit_softcapping=30.0),
}  # fmt: skip


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TransformersModel]:
    root = tmp_path_factory.mktemp("lens")
    return {name: _made(root / name, config) for name, config in CONFIGS.items()}


@pytest.fixture(params=CONFIGS)
def model(
    request: pytest.FixtureRequest, models: dict[str, TransformersModel]
) -> TransformersModel:
    return models[str(request.param)]


def _made(folder: Path, config: PreTrainedConfig) -> TransformersModel:
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # gains and biases that matter
        for parameter in hf.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.rand_like(parameter) * 0.5)
            else:
                parameter.mul_(5)
    hf.save_pretrained(folder)
    for file in Path(organism(), "base").glob("tokenizer*"):
        shutil.copy(file, folder)
    return TransformersBackend(TransformersOptions(path=str(folder))).load()
