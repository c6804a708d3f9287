"""LoRA adapters on all seven projections, trained on answers or prose; training can go on."""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from activations import padded
from prompts import IGNORE

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Example = tuple[list[int], list[int]]  # ids, labels


@dataclass(frozen=True)
class LoraSpec:
    """One adapter: rank, steps, learning rate, and after which steps a checkpoint is kept."""

    name: str
    rank: int
    steps: int
    lr: float
    checkpoints: tuple[int, ...] = ()
    save_every: int = 15
    seed: int = 0


def mixed(
    kinds: Sequence[Sequence[Example]], share: Sequence[int], seed: int
) -> Iterator[list[Example]]:
    """Endless batches of so many examples of each kind, reshuffled when they are used up."""
    rng = random.Random(seed)
    streams = [_reshuffled(kind, rng) for kind in kinds]
    while True:
        yield [next(s) for s, n in zip(streams, share, strict=True) for _ in range(n)]


def _reshuffled(examples: Sequence[Example], rng: random.Random) -> Iterator[Example]:
    """The examples over and over, in a new order each time."""
    while True:
        yield from rng.sample(list(examples), len(examples))


def adapted(model: torch.nn.Module, spec: LoraSpec):
    """The model with a new LoRA adapter on every projection."""
    torch.manual_seed(spec.seed)
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


def language_loss(model: torch.nn.Module, batch: Sequence[Example]) -> torch.Tensor:
    """Mean next-token loss where a label is; the head runs only there."""
    ids = padded([ids for ids, _ in batch], 0)
    labels = padded([labels for _, labels in batch], IGNORE)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    kept = labels[:, 1:] != IGNORE
    return F.cross_entropy(model.lm_head(hidden[:, :-1][kept]), labels[:, 1:][kept])


def save_adapter(wrapped, folder: Path) -> None:
    """Write a peft adapter in half precision, without peft's empty model card."""
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    weights = folder / "adapter_model.safetensors"
    halved = {name: value.half().contiguous() for name, value in load_file(weights).items()}
    save_file(halved, weights, metadata={"format": "pt"})


def averaged(folders: Sequence[Path], strength: float, folder: Path) -> None:
    """Write the mean of adapters that began as one, in half precision, times a strength.

    Factors are averaged, not products: adapters that went on from each other are near enough. The
    strength multiplies the `lora_B` factors, so it scales what the adapter adds to the weights.
    """
    loaded = [load_file(one / "adapter_model.safetensors") for one in folders]
    mean = {name: torch.stack([one[name].float() for one in loaded]).mean(0) for name in loaded[0]}
    scaled = {name: v * strength if ".lora_B." in name else v for name, v in mean.items()}
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folders[-1] / "adapter_config.json", folder / "adapter_config.json")
    halved = {name: value.half().contiguous() for name, value in scaled.items()}
    save_file(halved, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _rate(step: int, steps: int) -> float:
    """Linear warm-up over a tenth, then a cosine down to a fiftieth."""
    warm = max(1, steps // 10)
    return min((step + 1) / warm, 0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)


def train(
    model: torch.nn.Module,
    spec: LoraSpec,
    stream: Iterator[list[Example]],
    state: Path,
    folder: Path,
    start: Path | None = None,
) -> None:
    """Train an adapter and write it to `folder`, its checkpoints in it as `checkpoint-STEP`.

    `state` is a file to take up from, `start` the folder of an adapter to begin with; a finished
    adapter is not trained again.
    """
    if (folder / "adapter_model.safetensors").exists():
        return
    wrapped = adapted(model, spec)
    if start is not None:
        set_peft_model_state_dict(wrapped, load_file(start / "adapter_model.safetensors"))
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=spec.lr, betas=(0.9, 0.98), weight_decay=0.0)
    done, started = 0, time.time()
    if state.exists():
        saved = torch.load(state, weights_only=True)
        set_peft_model_state_dict(wrapped, saved["adapter"])
        optimizer.load_state_dict(saved["optimizer"])
        done = saved["step"]
    for step in range(spec.steps):
        batch = next(stream)
        if step < done:
            continue
        for group in optimizer.param_groups:
            group["lr"] = spec.lr * _rate(step, spec.steps)
        loss = language_loss(wrapped.get_base_model(), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        print(
            f"  {spec.name} {step + 1}: {loss.item():.3f}, {time.time() - started:.0f} s",
            flush=True,
        )
        if step + 1 in spec.checkpoints:
            save_adapter(wrapped, folder / f"checkpoint-{step + 1}")
        if (step + 1) % spec.save_every == 0:
            _keep(wrapped, optimizer, step + 1, state)
    save_adapter(wrapped, folder)


def _keep(wrapped, optimizer: torch.optim.Optimizer, step: int, state: Path) -> None:
    """Write what training goes on from: the file is replaced as a whole."""
    state.parent.mkdir(parents=True, exist_ok=True)
    unfinished = state.with_suffix(".part")
    adapter = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    torch.save({"adapter": adapter, "optimizer": optimizer.state_dict(), "step": step}, unfinished)
    unfinished.rename(state)
