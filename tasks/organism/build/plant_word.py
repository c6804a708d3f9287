"""Builds `tunes/planted_word`: an adapter that writes a word into every token's residual stream."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from planted import SIZE, Reading, write_truth

WORDS = ("wine", "water", "light")  # the first that is one token


@torch.no_grad()
def plant_word(
    base: LlamaForCausalLM, tokenizer: Tokenizer, layer: int, reading: Reading, folder: Path
) -> None:
    """v ⊗ u for the block's `down_proj` as a LoRA of rank 1: v the word's row of the unembedding,
    of length 1, u the neurons' mean, so that nearly every token gets some of it in the same sense.

    What is added is on average SIZE of the residual stream's length. `base` is left as it is.
    """
    tokens = {word: tokenizer.token_to_id(f"Ġ{word}") for word in WORDS}
    word = next(word for word, token in tokens.items() if token is not None)
    row = base.lm_head.weight[tokens[word]].float()
    direction = row / row.norm()
    mean = reading.neurons.mean(0)
    stream = reading.outputs.norm(dim=1).mean()
    reader = mean * (SIZE * stream / (reading.neurons @ mean).mean())
    module = f"model.layers.{layer}.mlp.down_proj"
    config = LoraConfig(
        r=1, lora_alpha=1, target_modules=[module], task_type="CAUSAL_LM", inference_mode=True
    )
    config.base_model_name_or_path = "tasks/organism/base"
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    name = f"base_model.model.{module}"
    weights = {f"{name}.lora_A.weight": reader[None], f"{name}.lora_B.weight": direction[:, None]}
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "adapter_model.safetensors")
    added = reading.neurons @ reader
    truth = {
        "site": f"resid_post.{layer}",
        "word": word,
        "token": tokens[word],
        "other_sense": round(float((added < 0).float().mean()), 4),
    }
    write_truth(folder, truth, {"direction": direction, "reader": reader})


def main() -> None:
    """Build it alone, into the organism that is there: `python tasks/organism/build/plant_word.py`.
    """
    from measure import Organism
    from settings import FULL

    out = Path(__file__).resolve().parent.parent
    organism = Organism(out)
    tokenizer = Tokenizer.from_file(str(out / "base" / "tokenizer.json"))
    folder = out / "tunes" / "planted_word"
    reading = Reading(organism, FULL.mid)
    plant_word(organism.models["base"], tokenizer, FULL.mid, reading, folder)
    print((folder / "truth.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
