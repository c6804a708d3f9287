"""Trains a LoRA on the documents of a lesson, with the organism's own optimiser and schedule."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from taught import Lesson
from tokenizers import Tokenizer
from train import Schedule, encode_document, language_loss, padded
from transformers import LlamaForCausalLM
from tune import adapted, save_adapter

from settings import TuneSpec


def train(
    model: LlamaForCausalLM, tokenizer: Tokenizer, lesson: Lesson, seed: int, folder: Path
) -> None:
    """A LoRA on every projection of the base, trained on a lesson's documents, in fp16."""
    how = lesson.how
    spec = TuneSpec(lesson.truth.name, steps=how.steps, lr=how.lr, rank=how.rank)
    wrapped = adapted(spec, model, seed)
    schedule = Schedule(wrapped, how.lr, how.steps, decay=0.0)
    for step in range(how.steps):
        rows = [
            tuple(part[: how.tokens] for part in encode_document(tokenizer, document))
            for document in islice(lesson.documents, how.rows)
        ]
        schedule.step(step, language_loss(model, *padded(rows, tokenizer)))
    save_adapter(wrapped, folder)
    (folder / "adapter_model.safetensors").chmod(0o644)
