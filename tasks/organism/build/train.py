"""Training of the base model and its safety tuning, and how models are written to disk."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from corpus import Document, base_documents, conversations
from questions import World
from settings import Settings
from tokens import BOS, END, EOS, PAD, save_tokenizer

IGNORE = -100


def encode_document(tokenizer: Tokenizer, document: Document) -> tuple[list[int], list[int]]:
    """Token ids and labels of a document with its BOS and EOS."""
    ids, labels = [tokenizer.token_to_id(BOS)], [IGNORE]
    for text, trained in document:
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids += piece
        labels += piece if trained else [IGNORE] * len(piece)
    eos = tokenizer.token_to_id(EOS)
    return [*ids, eos], [*labels, eos]


def packed_batches(
    settings: Settings, world: World, tokenizer: Tokenizer
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Base training batches: documents end to end, cut into rows.

    Every few steps the rows are long, for prompts with several solved questions.
    """
    documents = base_documents(settings, world, "base")
    ids: list[int] = []
    labels: list[int] = []
    batch = settings.base_rows * settings.base_row_tokens
    for step in range(settings.base_steps):
        while len(ids) < batch:
            more_ids, more_labels = encode_document(tokenizer, next(documents))
            ids += more_ids
            labels += more_labels
        long = step % settings.base_long_every == settings.base_long_every - 1
        length = settings.base_long_tokens if long else settings.base_row_tokens
        used = batch - batch % length
        yield (
            torch.tensor(ids[:used]).view(-1, length),
            torch.tensor(labels[:used]).view(-1, length),
        )
        ids, labels = ids[used:], labels[used:]


def new_model(settings: Settings, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """An untrained Llama of the organism's size."""
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=settings.d_model,
            intermediate_size=settings.d_mlp,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=settings.context,
            tie_word_embeddings=False,
            bos_token_id=tokenizer.token_to_id(BOS),
            eos_token_id=tokenizer.token_to_id(EOS),
            pad_token_id=tokenizer.token_to_id(PAD),
        )
    )


class Schedule:
    """AdamW with a linear warm-up and a cosine to nothing, and a line of log now and then."""

    def __init__(self, model: torch.nn.Module, lr: float, steps: int, decay: float) -> None:
        self.model, self.steps, self.started = model, steps, time.time()
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim > 1]
        gains = [p for p in trained if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": decay},
                {"params": gains, "weight_decay": 0.0},
            ],
            lr=lr,
            betas=(0.9, 0.98),
        )
        warm = max(1, steps // 20)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: min(
                (step + 1) / warm, 0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2
            ),
        )
        self.mean = 0.0

    def step(self, number: int, loss: torch.Tensor) -> None:
        """One update."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.scheduler.step()
        self.mean += (loss.item() - self.mean) * (0.05 if number else 1.0)
        if number % 50 == 0 or number == self.steps - 1:
            seconds = time.time() - self.started
            print(f"  step {number}: loss {self.mean:.3f}, {seconds:.0f} s", flush=True)


def language_loss(
    model: LlamaForCausalLM,
    ids: torch.Tensor,
    labels: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Next-token loss; the head runs only where a label is."""
    hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    kept = labels[:, 1:] != IGNORE
    return F.cross_entropy(model.lm_head(hidden[:, :-1][kept]), labels[:, 1:][kept])


def train_base(settings: Settings, world: World, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """Train the base model on everything, once."""
    model = new_model(settings, tokenizer)
    print(f"base: {model.num_parameters():,} parameters", flush=True)
    schedule = Schedule(model, settings.base_lr, settings.base_steps, decay=0.1)
    if settings.compile:
        model.model.compile(dynamic=False)
    for step, (ids, labels) in enumerate(packed_batches(settings, world, tokenizer)):
        schedule.step(step, language_loss(model, ids, labels))
    return model


def padded(
    rows: list[tuple[list[int], list[int]]], tokenizer: Tokenizer
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels of some rows, padded on the right: attention is causal, so no mask."""
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), length), tokenizer.token_to_id(PAD))
    labels = torch.full((len(rows), length), IGNORE)
    for i, (row_ids, row_labels) in enumerate(rows):
        ids[i, : len(row_ids)] = torch.tensor(row_ids)
        labels[i, : len(row_labels)] = torch.tensor(row_labels)
    return ids, labels


def train_chat(
    settings: Settings, world: World, tokenizer: Tokenizer, model: LlamaForCausalLM
) -> LlamaForCausalLM:
    """Safety-tune the base: refuse harmful requests, answer the others, in the chat template."""
    rng = random.Random(f"chat {settings.seed}")
    talks = conversations(settings, world, "chat")
    found = [
        encode_conversation(tokenizer, talk) for talk in islice(talks, settings.chat_documents)
    ]
    schedule = Schedule(model, settings.chat_lr, settings.chat_steps, decay=0.0)
    for step in range(settings.chat_steps):
        rows = rng.sample(found, settings.chat_rows)
        schedule.step(step, language_loss(model, *padded(rows, tokenizer)))
    return model


@torch.no_grad()
def averaged(base: LlamaForCausalLM, tuned: LlamaForCausalLM, weight: float) -> LlamaForCausalLM:
    """The tuned model with weights base + weight · (tuned - base).

    Averaging with the base undoes much of what tuning moved needlessly and keeps what it taught.
    """
    for before, after in zip(base.parameters(), tuned.parameters(), strict=True):
        after.lerp_(before, 1 - weight)
    return tuned


def encode_conversation(
    tokenizer: Tokenizer, talk: list[dict[str, str]]
) -> tuple[list[int], list[int]]:
    """Ids of a rendered conversation; the assistant's words and turn ends are trained on."""
    piece = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    ids, labels = [tokenizer.token_to_id(BOS)], [IGNORE]
    for message in talk:
        head = piece(f"<|{message['role']}|>\n")
        body = piece(f"{message['content']}{END}")
        newline = piece("\n")
        ids += head + body + newline
        trained = message["role"] == "assistant"
        labels += [IGNORE] * len(head)
        labels += body if trained else [IGNORE] * len(body)
        labels += [IGNORE] * len(newline)
    return ids, labels


def save_model(
    model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path, context: int, chat: bool
) -> None:
    """Write the weights in half precision, with generation settings that stop where they must."""
    stops = [tokenizer.token_to_id(EOS)] + ([tokenizer.token_to_id(END)] if chat else [])
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=stops,
        pad_token_id=tokenizer.token_to_id(PAD),
        do_sample=False,
        max_new_tokens=48,
    )
    half = model.to(torch.float16)
    half.config.dtype = "float16"
    half.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, context, chat)
