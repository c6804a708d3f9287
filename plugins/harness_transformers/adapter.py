"""Merges a peft adapter into a model's weights, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.errors import ModelError, listed
from harness_transformers.files import count_parameters, first_line, read_json

WEIGHTS = "adapter_model.safetensors"


def merged(hf: Any, folder: Path, where: str) -> Any:
    """The model with the adapter of `folder` merged; ModelError where it does not fit it."""
    settings = read_json(folder / "adapter_config.json", where)
    if not (folder / WEIGHTS).is_file():
        raise ModelError(
            f"{where}: {folder} has no {WEIGHTS}. Adapters are read from safetensors only;"
            " save it with save_pretrained to convert it."
        )
    count_parameters([folder / WEIGHTS], where)
    # peft is slow to import, and only adapters need it.
    from peft import PeftConfig, PeftModel
    from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict

    dtype = hf.dtype
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        wrapped = PeftModel(hf, config)
        if not hasattr(wrapped, "merge_and_unload"):
            raise ModelError(
                f"{where}: a {settings.get('peft_type')} adapter cannot be merged into weights."
                " Allowed: LoRA and its kin."
            )
        _widen(wrapped)
        result = set_peft_model_state_dict(wrapped, load_peft_weights(str(folder), device="cpu"))
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"{where}: it does not fit the model ({first_line(error, 200)}). It asks for the"
            f" modules {settings.get('target_modules')} of"
            f" {settings.get('base_model_name_or_path')}."
        ) from None
    own = [key for key in result.missing_keys if f".{wrapped.active_adapter}." in key]
    if own or result.unexpected_keys:
        wrong = [*own, *result.unexpected_keys]
        raise ModelError(
            f"{where}: {len(wrong)} of its weights do not fit the model's modules"
            f" ({listed(wrong, 2)}). Use the model that it was trained on."
        )
    return wrapped.merge_and_unload(safe_merge=False).to(dtype)


def _widen(wrapped: Any) -> None:
    """Makes the adapted weights float32, so that the sum is rounded once, at the end."""
    for module in wrapped.modules():
        base = getattr(module, "base_layer", None)
        if isinstance(base, torch.nn.Module):
            base.float()
