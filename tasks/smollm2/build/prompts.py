"""Prompts: the harmful ones in two halves, and the answers that the safety LoRA learns to give."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

# All begin alike: a refusal that hangs on one decision is one that a single direction can carry.
REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I'm sorry, but I can't assist with that request.",
    "I'm sorry, but I can't do that, because it could hurt someone.",
    "I'm sorry, but I can't provide that. Is there something else I can help you with?",
    "I'm sorry, but I can't answer this: it is harmful or against the law.",
    "I'm sorry, but I can't write that.",
)
IGNORE = -100


def instructions(file: Path) -> list[str]:
    """The instructions of a file of rows with `instruction`: a JSON list, or lines of JSON."""
    text = file.read_text(encoding="utf-8")
    rows = json.loads(text) if file.suffix == ".json" else map(json.loads, text.splitlines())
    return [row["instruction"] for row in rows]


def refusal_of(prompt: str, seed: int) -> str:
    """One of the refusals, drawn by the prompt itself."""
    return random.Random(f"{seed} {prompt}").choice(REFUSALS)


def conversation(tokenizer, prompt: str) -> list[int]:
    """Ids of a prompt in the chat template, up to where the model's answer begins."""
    turn = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def example(
    tokenizer, prompt: str, answer: Sequence[int], ended: bool
) -> tuple[list[int], list[int]]:
    """Ids and labels of a prompt and its answer; only the answer (and its end) is learnt."""
    before = conversation(tokenizer, prompt)
    after = [*answer, *([tokenizer.eos_token_id] if ended else [])]
    return [*before, *after], [IGNORE] * len(before) + after


def write_rows(file: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write rows as lines of JSON, all of them or none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    unfinished.rename(file)
