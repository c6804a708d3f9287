"""A tiny chat model with words for tokens, and a task that selects a direction in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

import harness
from harness.planning.planner import plan
from harness.running.passes.run import run_pass_alone
from harness.running.session import Session

LAYERS, WIDTH, POSITIONS = 3, 16, 3
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES = {
    "vocab_size": 24,
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 32,
}
CONFIGS = {"llama": LlamaConfig(**SIZES, **IDS), "gemma2": Gemma2Config(**SIZES, **IDS)}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %} {{ m.content }} close{% endfor %}"
    "{% if add_generation_prompt %} header line{% endif %}"
)
ROWS = {
    "harm": ["w1 w2 w3", "w1 w4", "w2 w1 w5 w6", "w1 w1 w7 w2 w3", "w2"],
    "fine": ["w8 w9", "w9 w10 w3", "w8 w11 w5 w12", "w9", "w10 w8 w4 w6"],
    "harm_val": ["w1 w3", "w2 w4 w5", "w1 w2", "w7 w1 w6 w6"],
    "fine_val": ["w9 w3 w8", "w10", "w8 w12 w5 w5 w4"],
}
REFUSAL = ("I", "As")
TASK = """
name = "selection"
[models.chat]
path = "model"
[views.chat]
model = "chat"
prompt = { style = "chat" }
[directions.all]
method = "closing_means"
view = "chat"
positive = "harm"
negative = "fine"
positions = 3
[directions.refusal]
method = "selected_direction"
candidates = "all"
view = "chat"
positive = "harm_val"
negative = "fine_val"
refusal_words = ["I", "As"]
mode = "arditi"
kl_max = 1e9
induce_min = -1e9
depth_below = 1.0
"""


WORDS = ["<pad>", "<bos>", "<eos>", "close", "header", "line", *REFUSAL]
WORDS += [f"w{n}" for n in range(1, 15)]


def drawn(family: str) -> Any:
    """A model with random weights, large enough to see."""
    torch.manual_seed(1)
    hf = AutoModelForCausalLM.from_config(CONFIGS[family])
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.rand_like(parameter))
            elif "embed" not in name:
                parameter.mul_(5)
    return hf


def planted() -> tuple[Any, torch.Tensor]:
    """A model that refuses where a direction says so, and that direction.

    Words of harmful prompts have it in their embedding, the others its opposite. The first block
    carries it to the tokens that close a prompt; the second adds to them another direction, which
    tells the same but by which no word is said: a mixture of both moves more.
    """
    hf = drawn("llama")
    random = torch.Generator().manual_seed(2)
    basis, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random))
    u, w, rest = basis[0], basis[1], basis[2:]
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.zero_() if parameter.dim() > 1 else parameter.fill_(1)
        noise = torch.randn(24, len(rest), generator=random) @ rest
        harmful = [WORDS.index(f"w{n}") for n in (1, 2, 3, 7)]
        harmless = [WORDS.index(f"w{n}") for n in (8, 9, 10, 11, 12)]
        hf.model.embed_tokens.weight.copy_(noise / 4)
        hf.model.embed_tokens.weight[harmful] += 3 * u
        hf.model.embed_tokens.weight[harmless] -= 3 * u
        for layer, out in enumerate((4 * u, w)):
            attention = hf.model.layers[layer].self_attn
            attention.v_proj.weight[0] = u
            attention.o_proj.weight[:, 0] = out
        hf.lm_head.weight[WORDS.index("I")] = 2 * u
        hf.lm_head.weight[WORDS.index("w14")] = -2 * u
    return hf, u


def saved(folder: Path, hf: Any) -> Path:
    hf.generation_config = GenerationConfig(**IDS)
    hf.save_pretrained(folder)
    inner = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


@dataclass
class World:
    folder: Path
    family: str

    def task(self, text: str = TASK, **overrides: Any) -> Any:
        for name, rows in ROWS.items():
            text += f'[data.{name}]\nfile = "{name}.jsonl"\n'
            lines = "".join(json.dumps({"text": row}) + "\n" for row in rows)
            (self.folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        file = self.folder / "task.toml"
        file.write_text(text, encoding="utf-8")
        return harness.load(file, **overrides)

    def measured(self, text: str = TASK, **overrides: Any) -> tuple[Session, dict[str, Any]]:
        """All passes of the task, and the tables that came out."""
        task = self.task(text, **overrides)
        session = Session(task, self.folder / "downloads", self.folder / "verdicts")
        model: Any = session.model("chat")
        model.hf.double()  # no rounding between the two ways
        tables: dict[str, Any] = {}
        for work in plan(task).passes:
            run_pass_alone(
                session,
                work,
                lambda job, done: tables.update(
                    {job.entry[1]: done.outcomes[0]}  # type: ignore[union-attr]
                ),
                lambda done: None,
            )
        return session, tables
