"""A change of rank one as a peft adapter: v uᵀ, added to the `down_proj` of one block."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from tune import BASE


def write_rank_one(folder: Path, layer: int, direction: torch.Tensor, reader: torch.Tensor) -> None:
    """The adapter of v = `direction` [d_model], of length 1, and u = `reader` [neurons], fp16."""
    module = f"model.layers.{layer}.mlp.down_proj"
    config = LoraConfig(
        r=1, lora_alpha=1, target_modules=[module], task_type="CAUSAL_LM", inference_mode=True
    )
    config.base_model_name_or_path = BASE
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    name = f"base_model.model.{module}"
    weights = {f"{name}.lora_A.weight": reader[None], f"{name}.lora_B.weight": direction[:, None]}
    halved = {name: value.half().contiguous() for name, value in weights.items()}
    weights_file = folder / "adapter_model.safetensors"
    save_file(halved, weights_file, metadata={"format": "pt"})
    weights_file.chmod(0o644)
