"""A crosscoder and an SAE of differences for the base and the chat model.

Trained with the trainers of science-of-finetuning's fork of dictionary_learning, which wrote the
crosscoders and difference SAEs that are published. The fork is in no package index: FORK says how
to install it. Both models read the same token ids, half of them web-like documents, half of them
conversations in the chat template.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from corpus import base_documents, conversations
from fork import trainers
from questions import World
from saes import SKIPPED, Outputs, batches
from settings import PairSaeSpec, Settings
from tokens import BOS, PAD
from train import encode_conversation

CHUNK = 512


def documents(settings: Settings, world: World, tokenizer: Tokenizer) -> Iterator[list[list[int]]]:
    """Token ids, a chunk at a time: base documents, then as many conversations in the template."""
    bos = tokenizer.token_to_id(BOS)
    plain = base_documents(settings, world, "pair saes")
    talks = conversations(settings, world, "pair saes")
    while True:
        texts = ["".join(text for text, _ in next(plain)) for _ in range(CHUNK)]
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        yield [[bos, *one.ids] for one in encoded]
        yield [encode_conversation(tokenizer, next(talks))[0] for _ in range(CHUNK)]


@torch.no_grad()
def collect_pair(
    settings: Settings, world: World, tokenizer: Tokenizer, models: list[LlamaForCausalLM]
) -> torch.Tensor:
    """Shuffled activations of both models at the same tokens, [tokens, 2, d_model]."""
    pad, layer = tokenizer.token_to_id(PAD), settings.mid
    parts: list[torch.Tensor] = []
    total = 0
    for rows in documents(settings, world, tokenizer):
        if total >= settings.pair_sae_tokens and len(parts) % 2 == 0:
            break
        found = []
        rows.sort(key=len)
        for start in range(0, len(rows), 32):
            block = rows[start : start + 32]
            length = max(map(len, block))
            ids = torch.tensor([row + [pad] * (length - len(row)) for row in block])
            mask = ids != pad
            mask[:, :SKIPPED] = False
            both = []
            for model in models:
                with Outputs(model, {layer}) as outputs:
                    model.model(input_ids=ids, use_cache=False)
                both.append(outputs.found[layer][mask])
            found.append(torch.stack(both, dim=1))
        parts.append(torch.cat(found))
        total += len(parts[-1])
    # As many tokens of either kind, so that neither decides what the latents are.
    plain, talk = (torch.cat(parts[kind::2]) for kind in (0, 1))
    generator = torch.Generator().manual_seed(settings.seed)
    least = min(len(plain), len(talk), settings.pair_sae_tokens // 2)
    kept = [x[torch.randperm(len(x), generator=generator)[:least]] for x in (plain, talk)]
    joined = torch.cat(kept)
    return joined[torch.randperm(len(joined), generator=generator)]


def common(settings: Settings, spec: PairSaeSpec, x: torch.Tensor) -> dict[str, Any]:
    """What both trainers are told; x are the activations as they will be read."""
    return {
        "activation_dim": settings.d_model,
        "dict_size": spec.width,
        "layer": settings.mid,
        "lm_name": "organism/base-organism/chat",
        "lr": spec.lr,
        "warmup_steps": spec.steps // 20,
        "seed": settings.seed,
        "device": "cpu",
        "activation_mean": x.mean(0),
        "activation_std": x.std(0, unbiased=False),
        "target_rms": settings.d_model**0.5,
    }


def crosscoder(settings: Settings, x: torch.Tensor) -> Any:
    """The fork's trainer of a crosscoder with an L1 penalty, the kind whose latents take sides."""
    spec = settings.crosscoder
    return trainers()[0](
        **common(settings, spec, x),
        l1_penalty=spec.l1,
        submodule_name=f"layer_{settings.mid}_out",
        # The same small row for both models: what a latent writes to one alone, it has learnt.
        dict_class_kwargs={"same_init_for_all_layers": True, "norm_init_scale": 0.1},
    )


def difference(settings: Settings, u: torch.Tensor) -> Any:
    """The fork's trainer of a BatchTopK SAE, for chat minus base."""
    spec = settings.difference
    trainer = trainers()[1](
        **common(settings, spec, u),
        steps=spec.steps,
        k=spec.k,
        decay_start=2 * spec.steps // 3,
        threshold_beta=0.99,
        threshold_start_step=spec.steps // 3,
    )
    # The trainer's own number is ten million tokens: nothing would be revived here.
    trainer.dead_feature_threshold = 100 * settings.sae_batch
    return trainer


def fit(trainer: Any, x: torch.Tensor, settings: Settings, steps: int) -> None:
    """Run the trainer's updates over shuffled batches, with a line of log now and then."""
    stream = batches(x, settings.sae_batch, settings.seed)
    # From 1: at 0 the SAE's trainer sets b_dec to a median that it takes before it normalises.
    for step in range(1, steps + 1):
        trainer.update(step, next(stream).clone())
        if step % 100 == 0:
            with torch.no_grad():
                rest = x[: settings.sae_batch]
                off = (rest - trainer.ae(rest.clone())).pow(2).sum()
                fvu = float(off / (rest - rest.mean(0)).pow(2).sum())
            print(f"  step {step}: fvu {fvu:.3f}", flush=True)


def save(trainer: Any, folder: Path, about: dict[str, object]) -> None:
    """The library's own layout of a copy on the hub, its weights in half precision."""
    trainer.ae.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    weights = folder / "model.safetensors"
    halved = {
        name: (value.half() if name.endswith(".weight") else value).contiguous()
        for name, value in load_file(weights).items()
    }
    save_file(halved, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    written = {"config.json": config, "trainer_config.json": {"trainer": trainer.config, **about}}
    for name, content in written.items():
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def train_pair_saes(
    settings: Settings,
    world: World,
    tokenizer: Tokenizer,
    models: list[LlamaForCausalLM],
    out: Path,
) -> None:
    """Write `crosscoder` and `difference` into `out`; `models` are the base and the chat model."""
    trainers()
    x = collect_pair(settings, world, tokenizer, models)
    about = {"buffer": {"tokens": len(x), "data": "generated by tasks/organism/build"}}
    change = x[:, 1] - x[:, 0]
    for name, trainer, activations, spec in (
        ("crosscoder", crosscoder(settings, x), x, settings.crosscoder),
        ("difference", difference(settings, change), change, settings.difference),
    ):
        print(f"{name}: {spec.width} latents, {len(x):,} tokens", flush=True)
        fit(trainer, activations, settings, spec.steps)
        save(trainer, out / name, about)
