"""A plain folder of a model and its tokenizer, out of a GGUF file."""

from __future__ import annotations

from pathlib import Path


def write_plain_model(gguf: Path, folder: Path) -> None:
    """Take the weights out of their blocks (needs the package `gguf`) and write them in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    read = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    plain = type(read)(read.config)  # transformers refuses to save what it took out of blocks
    plain.load_state_dict(read.state_dict())
    tokenizer.save_pretrained(folder)
    plain.save_pretrained(folder)
