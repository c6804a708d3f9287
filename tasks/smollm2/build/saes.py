"""TopK SAEs on stored activations, trained by sae-lens' own trainer and written as it does."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from activations import layer_tensors

STATE = "trainer_state.pt"


@dataclass(frozen=True)
class SaeSpec:
    """One SAE: the block whose output it reads, its width, its latents a token, its training."""

    layer: int
    width: int = 4096
    k: int = 64
    steps: int = 1300
    batch: int = 1024
    lr: float = 8e-4
    seed: int = 0

    @property
    def name(self) -> str:
        """The SAE's folder."""
        return f"resid_post.{self.layer}"


def batches(
    activations: torch.Tensor, size: int, seed: int, done: int = 0
) -> Iterator[torch.Tensor]:
    """Endless batches in float32, reshuffled every epoch; the first `done` are passed over."""
    generator, number = torch.Generator().manual_seed(seed), 0
    while True:
        order = torch.randperm(len(activations), generator=generator)
        for start in range(0, len(order) - size + 1, size):
            number += 1
            if number > done:
                yield activations[order[start : start + size]].float()


def untrained(spec: SaeSpec, activations: torch.Tensor):
    """An SAE whose decoder bias is the activations' mean, scaled as the trainer scales them."""
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    d_model = activations.shape[1]
    sae = TopKTrainingSAE(
        TopKTrainingSAEConfig(
            d_in=d_model,
            d_sae=spec.width,
            k=spec.k,
            use_sparse_activations=False,
            # The factor is folded into the weights at the end: the SAE reads raw activations.
            normalize_activations="expected_average_only_in",
            metadata=SAEMetadata(
                model_name="HuggingFaceTB/SmolLM2-135M-Instruct",
                hook_name=f"blocks.{spec.layer}.hook_resid_post",
                hook_layer=spec.layer,
                dataset_path="see tasks/smollm2/MODEL_CARD.md",
                context_size=128,
                prepend_bos=False,
                excluded_positions=[0],
            ),
        )
    )
    sample = activations[:16384].float()
    with torch.no_grad():
        sae.b_dec.copy_(sample.mean(0) * d_model**0.5 / sample.norm(dim=1).mean())
    return sae


def trainer_of(spec: SaeSpec, activations: torch.Tensor, checkpoints: Path):
    """sae-lens' trainer, taken up where its last checkpoint ended."""
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(spec.seed)
    random.seed(spec.seed)
    sae = untrained(spec, activations)
    config = SAETrainerConfig(
        total_training_samples=spec.steps * spec.batch,
        train_batch_size_samples=spec.batch,
        lr=spec.lr,
        lr_end=spec.lr / 20,
        lr_scheduler_name="constant",
        lr_warm_up_steps=50,
        lr_decay_steps=spec.steps // 2,
        dead_feature_window=100,
        feature_sampling_window=500,
        n_batches_for_norm_estimate=30,
        n_checkpoints=spec.steps // 400,
        checkpoint_path=str(checkpoints),
        logger=LoggingConfig(log_to_wandb=False),
    )
    found = sorted(checkpoints.glob(f"*/{STATE}"), key=lambda p: int(p.parent.name))
    done = 0
    if found:
        sae.load_state_dict(load_file(found[-1].parent / "sae_weights.safetensors"))
        done = int(found[-1].parent.name) // spec.batch
    trainer = SAETrainer(config, sae, batches(activations, spec.batch, spec.seed, done))
    if found:
        trainer.load_trainer_state(found[-1].parent)
        trainer.checkpoint_thresholds = [
            t for t in trainer.checkpoint_thresholds if t > trainer.n_training_samples
        ]
    return trainer


def loaded(folders: list[Path], layer: int) -> torch.Tensor:
    """One site's stored activations in half precision, [tokens, d]; they fit into memory."""
    return torch.cat(list(layer_tensors(folders, layer)))


def train_sae(spec: SaeSpec, activations: torch.Tensor, checkpoints: Path, folder: Path) -> None:
    """Train one SAE, unless it is there, and write its inference form in half precision."""
    if (folder / "cfg.json").exists():
        return
    sae = trainer_of(spec, activations, checkpoints).fit()
    unfinished = folder.with_name(folder.name + ".part")
    sae.save_inference_model(unfinished)
    halve(unfinished)
    unfinished.rename(folder)


def halve(folder: Path) -> None:
    """Store the weights in half precision; sae-lens reads them back as `dtype` in cfg.json says."""
    weights = folder / "sae_weights.safetensors"
    save_file({k: v.half().contiguous() for k, v in load_file(weights).items()}, weights)
    cfg = folder / "cfg.json"
    cfg.write_text(json.dumps(json.loads(cfg.read_text()), indent=2) + "\n")
