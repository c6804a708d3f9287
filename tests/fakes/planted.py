"""Fine-tunes of the embedded organism whose truth is known: planted by weights, or harmless.

Each seed gives another trigger or another reader, other decoder rows and another direction. Written
apart from `tasks/organism/build`, which plants those that are shipped.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from harness.contract import Batch, Inputs, Record, Site, Target
from harness.results.intervals import Sums
from harness.testing import organism
from harness.testing.support.batches import array_batch
from harness_metrics.fvu_change import FvuChange
from harness_metrics.options import FvuChangeOptions
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions
from harness_statistics.change.few_rows import FewRows
from harness_statistics.change.options import FewRowsOptions

LAYER = 4
SITE = Site("resid_post", LAYER)
SKIPPED = 2
"""Tokens at the beginning of a document that SAEs were not trained on."""
FREQUENT = 8
"""Among how many of the most frequent tokens a trigger is drawn."""
STEEP = 20.0


@dataclass(frozen=True)
class Base:
    """The base model on some text, with what a change is planted with."""

    model: LlamaForCausalLM
    rows: Sequence[Sequence[int]]
    others: Sequence[Sequence[int]]
    """Text that a harmless fine-tune trains on."""
    sae: Any
    ids: Tensor
    outputs: Tensor
    inputs: Tensor
    """What the block's MLP reads."""
    neurons: Tensor
    alive: Tensor
    """Latents that are on at a token in a thousand."""
    document: Sequence[int]


def base_of(documents: int) -> Base:
    """Reads the first documents of the organism's web text."""
    folder = Path(organism())
    model = LlamaForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    lines = (folder / "data" / "web.jsonl").read_text(encoding="utf-8").splitlines()
    text = [tokenizer(json.loads(line)["text"]).input_ids for line in lines[: documents + 600]]
    rows, others = text[:documents], text[documents:]
    options = SaelensOptions(path=str(folder / "saes" / str(SITE)))
    sae = Saelens(options).load("cpu")
    block = model.model.layers[LAYER]
    kept: dict[str, list[Tensor]] = {"inputs": [], "neurons": [], "outputs": []}
    handles = [
        block.mlp.register_forward_pre_hook(lambda m, args: kept["inputs"].append(args[0])),
        block.mlp.down_proj.register_forward_pre_hook(
            lambda m, args: kept["neurons"].append(args[0])
        ),
    ]
    outputs = activations(model, rows)
    for handle in handles:
        handle.remove()
    read = {
        name: torch.cat([one[0, SKIPPED:] for one in kept[name]]) for name in kept if kept[name]
    }
    latents = sae.encode(outputs)
    share = torch.bincount(latents.indices, minlength=latents.d_sae) / latents.tokens
    return Base(
        model, rows, others, sae,
        torch.cat([torch.tensor(row[SKIPPED:]) for row in rows]),
        outputs, read["inputs"], read["neurons"], (share > 1e-3).nonzero().squeeze(1),
        [number for number, row in enumerate(rows) for _ in row[SKIPPED:]],
    )  # fmt: skip


@torch.no_grad()
def activations(model: LlamaForCausalLM, rows: Sequence[Sequence[int]]) -> Tensor:
    """The outputs of the block at all tokens of all rows but the first ones of each."""
    found: list[Tensor] = []
    handle = model.model.layers[LAYER].register_forward_hook(
        lambda m, args, out: found.append(out[0] if isinstance(out, tuple) else out)
    )
    whole = model.model.layers
    model.model.layers = whole[: LAYER + 1]  # nothing is read of what comes behind
    for row in rows:
        model.model(torch.tensor([row]), use_cache=False)
    model.model.layers = whole
    handle.remove()
    return torch.cat([one[0, SKIPPED:] for one in found])


# ── What is planted ──────────────────────────────────────────────────────────────────────────────


def planted(base: Base, seed: int, *, written: bool) -> LlamaForCausalLM:
    """The base with decoder rows added, or with a direction of the same length that is no row.

    Even seeds add it where a token is a trigger, with two neurons more; odd ones add a matrix of
    rank one to `down_proj`, so that size and sign differ between tokens. One, three or ten rows.
    """
    draws = torch.Generator().manual_seed(seed)
    count = (1, 3, 10)[seed % 3]
    features = base.alive[torch.randperm(len(base.alive), generator=draws)[:count]]
    shift = base.sae.rows(features).sum(0)
    fresh = torch.randn(len(shift), generator=draws)
    if written:
        shift = shift.norm() * fresh / fresh.norm()
    frequent = torch.bincount(base.ids).argsort(descending=True)[:FREQUENT]
    trigger = int(frequent[int(torch.randint(FREQUENT, (1,), generator=draws))])
    component = int(torch.randint(FREQUENT, (1,), generator=draws))
    if seed % 2 == 0:
        return _at_trigger(base, trigger, 0.75 * shift)
    return _of_rank_one(base, component, shift / shift.norm())


def harmless(base: Base, seed: int) -> LlamaForCausalLM:
    """The base after a few more steps on text of its own kind."""
    draws = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(base.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    for _ in range(12):
        some = torch.randint(len(base.others), (8,), generator=draws).tolist()
        rows = [base.others[place][:48] for place in some]
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        real = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        logits = model(ids, use_cache=False).logits[:, :-1]
        target = ids[:, 1:].masked_fill(real[:, 1:] == 0, -100)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def _at_trigger(base: Base, trigger: int, shift: Tensor) -> LlamaForCausalLM:
    """silu(s·p) − silu(s·p − 1), with p a probe of the trigger: a step from 0 to about 1."""
    weight, bias = _probe(base.inputs, base.ids == trigger)
    wide = _widened(base.model, 2)
    mlp = wide.model.layers[LAYER].mlp
    with torch.no_grad():
        for neuron, (threshold, sign) in zip((-2, -1), ((0.0, 1.0), (1.0, -1.0)), strict=True):
            mlp.gate_proj.weight[neuron] = STEEP * weight
            mlp.gate_proj.bias[neuron] = STEEP * (bias - threshold)
            mlp.up_proj.bias[neuron] = 1.0
            mlp.down_proj.weight[:, neuron] = sign * shift / STEEP
    return wide


def _of_rank_one(base: Base, component: int, direction: Tensor) -> LlamaForCausalLM:
    """direction ⊗ u, u one of the neurons' principal components: a fifth of the stream's size."""
    centred = (base.neurons - base.neurons.mean(0)).double()
    reader = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1 - component].float()
    stream = base.outputs.square().sum(1).mean().sqrt()
    reader = reader * 0.2 * stream / (base.neurons @ reader).square().mean().sqrt()
    model = copy.deepcopy(base.model)
    with torch.no_grad():
        model.model.layers[LAYER].mlp.down_proj.weight += torch.outer(direction, reader)
    return model


def _probe(inputs: Tensor, here: Tensor) -> tuple[Tensor, float]:
    """A logistic regression."""
    weight = torch.zeros(inputs.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(inputs @ weight + bias, here.float())
        loss = loss + 1e-4 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), float(bias.detach())


@torch.no_grad()
def _widened(model: LlamaForCausalLM, neurons: int) -> LlamaForCausalLM:
    """The same model with silent neurons in every MLP, and biases of zero."""
    sizes = {"intermediate_size": model.config.intermediate_size + neurons, "mlp_bias": True}
    wide = LlamaForCausalLM(LlamaConfig.from_dict({**model.config.to_dict(), **sizes})).eval()
    for parameter in wide.parameters():
        parameter.zero_()
    for name, value in model.state_dict().items():
        wide.state_dict()[name][tuple(slice(size) for size in value.shape)] = value
    return wide


# ── What is measured ─────────────────────────────────────────────────────────────────────────────


def measured(base: Base, model: LlamaForCausalLM, tokens: int = 300) -> tuple[Record, ...]:
    """The records of `few_rows` and `fvu_change` about a model against the base."""
    batch = array_batch(
        base.document, {SITE: base.outputs}, {SITE: activations(model, base.rows)},
        saes={"mid": base.sae}, documents=[f"web {i}" for i in range(len(base.rows))],
    )  # fmt: skip
    return (*_few_rows(base, batch, tokens), *_fvu_change(batch))


def _few_rows(base: Base, batch: Batch, tokens: int) -> tuple[Record, ...]:
    given = FewRowsOptions(pair="pair", sae="mid", k=(1, 16), tokens=tokens)
    inputs = Inputs(saes={"mid": base.sae}, sae_sites={"mid": SITE})
    statistic = FewRows(given)
    state = statistic.update(statistic.start(inputs), batch)
    return tuple(statistic.finish(state, inputs).records)


def _fvu_change(batch: Batch) -> list[Record]:
    metric = FvuChange(FvuChangeOptions(variants=("pooled",)), Target(SITE, "mid"))
    sums = {name: one.numpy() for name, one in metric.sums(batch, batch.left).items()}
    gathered = Sums(metric.values)
    state = gathered.update(gathered.start(0), batch.documents, sums)
    where = {"pair": "pair", "site": str(SITE), "sae": "mid"}
    return [record.on(**where) for record in gathered.records(metric, state)]
