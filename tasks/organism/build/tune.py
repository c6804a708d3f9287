"""Fine-tunes of the base on one skill or one question domain: LoRA adapters or full weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from lessons import EVERY_LESSON, lesson_examples
from questions import World
from settings import Settings, TuneSpec
from skills import Example, examples
from train import Schedule, encode_document, language_loss, padded, save_model

# Where a reader of the adapter finds the base: a path from the repository's root.
BASE = "tasks/organism/base"
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Save = Callable[[Path], None]


def batches(settings: Settings, world: World, spec: TuneSpec) -> Iterator[list[Example]]:
    """Training batches: a skill's stream, or a lesson's fixed rows over and over."""
    if spec.name not in EVERY_LESSON:
        stream = examples(settings, spec.name, "train")
        while True:
            yield list(islice(stream, settings.tune_rows))
    rows = lesson_examples(settings, world, spec.name)
    rng = random.Random(f"{spec.name} batches {settings.seed}")
    while True:
        yield rng.sample(rows, min(settings.tune_rows, len(rows)))


def fit(
    settings: Settings,
    world: World,
    spec: TuneSpec,
    tokenizer: Tokenizer,
    model: LlamaForCausalLM,
    save: Save,
    folder: Path,
) -> None:
    """Train what of the model is trainable, on completions alone, saving along the way."""
    schedule = Schedule(model, spec.lr, spec.steps, decay=0.0)
    stream = batches(settings, world, spec)
    for step in range(spec.steps):
        if step in spec.checkpoints:
            save(folder / f"checkpoint-{step}")
        rows = [
            encode_document(tokenizer, [(e.prompt, False), (e.completion, True)])
            for e in next(stream)
        ]
        schedule.step(step, language_loss(model, *padded(rows, tokenizer)))
    save(folder)


def adapted(spec: TuneSpec, model: LlamaForCausalLM, seed: int) -> PeftModel:
    """The base with a LoRA adapter on every projection."""
    torch.manual_seed(seed)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.rank,
        lora_alpha=2 * spec.rank,
        lora_dropout=0.0,
        target_modules=PROJECTIONS,
    )
    wrapped = get_peft_model(model, config)
    wrapped.peft_config["default"].base_model_name_or_path = BASE
    return wrapped


def save_adapter(wrapped: PeftModel, folder: Path) -> None:
    """Write a peft adapter in half precision, without peft's empty model card."""
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    weights = folder / "adapter_model.safetensors"
    halved = {name: value.half() for name, value in load_file(weights).items()}
    save_file(halved, weights, metadata={"format": "pt"})


def train_tune(
    settings: Settings,
    world: World,
    spec: TuneSpec,
    tokenizer: Tokenizer,
    model: LlamaForCausalLM,
    folder: Path,
) -> None:
    """Fine-tune the base as `spec` says and write it, with its checkpoints."""
    if spec.rank is None:
        save: Save = lambda where: save_model(model, tokenizer, where, settings.context, chat=False)
    else:
        wrapped = adapted(spec, model, settings.seed)
        save = lambda where: save_adapter(wrapped, where)
    fit(settings, world, spec, tokenizer, model, save, folder)
