"""Fine-tunes whose truth is known: changes written into the base's weights by hand.

`planted_features` adds ten features of the middle SAE at every full stop, about a tenth of all
tokens, with two neurons added to one block's MLP. `planted_rank_one` adds a rank-one matrix to that
block's `down_proj`, along a decoder row; `planted_direction` is the same along a direction that no
row of any SAE was made for, as an adapter of rank one. All act in the block whose output the SAE
reads: sites before it are the base's own, and there the change is the planted one and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from measure import Organism
from saes import Outputs
from tune import BASE, save_adapter

DOCUMENTS = 400
FEATURES = 10
CANDIDATES = 120  # features that the SAE reads back best, among which ten are sought
STRENGTH = 0.75  # of each planted feature, in units of its decoder row
TRIGGER = "."
STEEPNESS = 20.0
SIZE = 0.3  # of the rank-one change against the residual stream, root mean squares
SAMPLE = 256  # tokens on which candidates are compared


class Reading:
    """The base on web text: tokens, MLP inputs, neurons and outputs of one block, [tokens, …]."""

    @torch.no_grad()
    def __init__(self, organism: Organism, layer: int) -> None:
        model, tokenizer = organism.models["base"], organism.tokenizers["base"]
        rows = [tokenizer(row["text"]).input_ids for row in organism.rows("web")][:DOCUMENTS]
        mlp = model.model.layers[layer].mlp
        seen: dict[str, torch.Tensor] = {}
        keep = lambda name: lambda module, args: seen.__setitem__(name, args[0])
        handles = [
            mlp.register_forward_pre_hook(keep("inputs")),
            mlp.down_proj.register_forward_pre_hook(keep("neurons")),
        ]
        kept: dict[str, list[torch.Tensor]] = {"ids": [], "inputs": [], "neurons": [], "outputs": []}
        with Outputs(model, {layer}) as outputs:
            for start in range(0, len(rows), 32):
                ids, real = organism.pad(rows[start : start + 32], left=False)
                model.model(input_ids=ids, use_cache=False)
                real[:, 0] = 0
                found = {"ids": ids, "outputs": outputs.found[layer], **seen}
                for name, parts in kept.items():
                    parts.append(found[name][real.bool()])
        for handle in handles:
            handle.remove()
        self.ids, self.inputs, self.neurons, self.outputs = (
            torch.cat(kept[name]) for name in ("ids", "inputs", "neurons", "outputs")
        )


def detector(inputs: torch.Tensor, here: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and bias of a logistic regression that tells the trigger from the MLP's input."""
    weight = torch.zeros(inputs.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(inputs @ weight + bias, here.float())
        loss = loss + 1e-4 * weight.pow(2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


@torch.no_grad()
def margin(sae: Any, x: torch.Tensor, before: torch.Tensor, features: Sequence[int]) -> float:
    """The least moved of the features added to x against the most moved of all others.

    Moved is the change of a latent's mean from `before`, its mean on x itself.
    """
    shift = STRENGTH * sae.W_dec[list(features)].sum(0)
    moved = (sae.encode(x + shift).mean(0) - before).abs()
    own = moved[list(features)].min()
    moved[list(features)] = 0
    return float(own / moved.max().clamp(min=1e-9))


def readable_features(sae: Any, x: torch.Tensor) -> list[int]:
    """Ten features that the SAE still tells apart when all are added at once, chosen greedily.

    Most decoder rows, added to a residual stream, also move other latents. A planted truth that no
    method could read back would test nothing.
    """
    with torch.no_grad():
        before = sae.encode(x).mean(0)
    alone = torch.tensor([margin(sae, x, before, [j]) for j in range(sae.W_dec.shape[0])])
    candidates = alone.argsort(descending=True)[:CANDIDATES].tolist()
    chosen: list[int] = []
    while len(chosen) < FEATURES:
        left = [j for j in candidates if j not in chosen]
        chosen.append(max(left, key=lambda j: margin(sae, x, before, [*chosen, j])))
    return sorted(chosen)


def widened(model: LlamaForCausalLM, neurons: int) -> LlamaForCausalLM:
    """The same model with silent neurons added to every MLP, and biases, all zero."""
    config = LlamaConfig.from_dict(
        {
            **model.config.to_dict(),
            "intermediate_size": model.config.intermediate_size + neurons,
            "mlp_bias": True,
        }
    )
    wide = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.zero_()
        for name, value in model.state_dict().items():
            wide.state_dict()[name][tuple(slice(size) for size in value.shape)] = value
    return wide


@torch.no_grad()
def plant_features(
    model: LlamaForCausalLM, layer: int, probe: tuple[torch.Tensor, torch.Tensor], shift: torch.Tensor
) -> LlamaForCausalLM:
    """A model that adds `shift` to the block's output where the probe is positive.

    Two neurons, silu(s·p) - silu(s·p - 1) with p the probe and s its steepness, make a step from
    zero to about one; their up-projection is a bias of one.
    """
    weight, bias = probe
    wide = widened(model, 2)
    mlp = wide.model.layers[layer].mlp
    # silu is a smooth ramp: between the two thresholds lie `STEEPNESS` units of its input.
    for neuron, (threshold, sign) in zip((-2, -1), ((0.0, 1.0), (1.0, -1.0)), strict=True):
        mlp.gate_proj.weight[neuron] = STEEPNESS * weight
        mlp.gate_proj.bias[neuron] = STEEPNESS * (bias.squeeze() - threshold)
        mlp.up_proj.bias[neuron] = 1.0
        mlp.down_proj.weight[:, neuron] = sign * shift / STEEPNESS
    return wide


@torch.no_grad()
def plant_rank_one(
    model: LlamaForCausalLM, layer: int, direction: torch.Tensor, reading: Reading
) -> torch.Tensor:
    """Add direction ⊗ reader to the block's `down_proj`; returns the reader, [neurons].

    The reader is the neurons' first principal component, so what is added differs between tokens in
    size and sign.
    """
    centred = (reading.neurons - reading.neurons.mean(0)).double()
    reader = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1].float()
    rms = lambda x: x.pow(2).mean().sqrt()
    stream = reading.outputs.pow(2).sum(1).mean().sqrt()
    reader *= SIZE * stream / rms(reading.neurons @ reader)
    model.model.layers[layer].mlp.down_proj.weight += torch.outer(direction, reader)
    return reader


@torch.no_grad()
def plant_direction(
    model: LlamaForCausalLM, layer: int, direction: torch.Tensor, reader: torch.Tensor, folder: Path
) -> None:
    """Save direction ⊗ reader on the block's `down_proj` as an adapter of rank one."""
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=1,
        lora_alpha=1,
        target_modules=["down_proj"],
        layers_to_transform=[layer],
    )
    wrapped = get_peft_model(model, config)
    wrapped.peft_config["default"].base_model_name_or_path = BASE
    adapted = wrapped.base_model.model.model.layers[layer].mlp.down_proj
    adapted.lora_A["default"].weight.copy_(reader[None])
    adapted.lora_B["default"].weight.copy_(direction[:, None])
    save_adapter(wrapped, folder)


def write_truth(folder: Path, truth: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """What was planted, beside the model: numbers as JSON, vectors as safetensors."""
    text = json.dumps(truth, indent=2) + "\n"
    (folder / "truth.json").write_text(text, encoding="utf-8")
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "truth.safetensors")
