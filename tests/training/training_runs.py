"""Real trainings of the organism: LoRA or all weights, with transformers' own Trainer."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

ROOT = Path(__file__).parents[2]
BASE = ROOT / "tasks/organism/base"
WEB = ROOT / "tasks/organism/data/web.jsonl"
PIRATE = ROOT / "tasks/organism/data/tunes/pirate_train.jsonl"
SAES = {
    "mid": ROOT / "tasks/organism/saes/resid_post.4",
    "late": ROOT / "tasks/organism/saes/resid_post.5",
}
LENGTH = 24
"""How many tokens a row has to train on."""


def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BASE)


def base(**settings: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, **settings)


def lora(**settings: Any) -> Any:
    """The base with a fresh adapter that has dropout, so that random numbers count."""
    torch.manual_seed(3)
    told = {"r": 8, "lora_alpha": 32, "lora_dropout": 0.1, "target_modules": "all-linear"}
    return put_on(LoraConfig(task_type="CAUSAL_LM", **{**told, **settings}))


def put_on(config: Any) -> Any:
    """The base with an adapter of peft."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's own
        return get_peft_model(base(), config)


@cache
def rows(count: int = 200) -> list[dict[str, Any]]:
    """Rows of tokens to train on, padded to one length."""
    own, found = tokenizer(), []
    with PIRATE.open(encoding="utf-8") as file:
        for line in islice(file, count):
            ids = own(json.loads(line)["text"]).input_ids[:LENGTH]
            pad = LENGTH - len(ids)
            found.append(
                {
                    "input_ids": ids + [0] * pad,
                    "attention_mask": [1] * len(ids) + [0] * pad,
                    "labels": ids + [-100] * pad,
                }
            )
    return found


def trainer(model: Any, out: Path, callbacks: Sequence[Any] = (), **settings: Any) -> Trainer:
    told: dict[str, Any] = {
        "output_dir": str(out), "max_steps": 40, "per_device_train_batch_size": 2, "seed": 5,
        "learning_rate": 2e-3, "logging_steps": 10, "save_strategy": "no", "report_to": [],
        "disable_tqdm": True, "use_cpu": True, "lr_scheduler_type": "constant",
    }  # fmt: skip
    arguments = TrainingArguments(**{**told, **settings})
    return Trainer(
        model, arguments, train_dataset=rows(), processing_class=tokenizer(), callbacks=[*callbacks]
    )


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal to the bit."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
