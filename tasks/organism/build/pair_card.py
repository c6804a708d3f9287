"""The crosscoder and the SAE of differences, read back from disk and measured; their card section.

As in `measure`, nothing of the harness and nothing of the library that trained them is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from measure import Organism, edited, fvu, refused
from sections import add_section, write_readme
from settings import Settings

SECTION = """\
## SAEs of the pair

`pair_saes/` holds two SAEs that read `base` and `chat` together, at the output of block {layer}, in the
layout that the fork writes for the hub, weights in fp16 ({megabytes:.1f} MB). Both were trained with
the trainers of [science-of-finetuning's fork of dictionary_learning](\
https://github.com/science-of-finetuning/dictionary_learning)
(commit 173f7fa; `build/pair_saes.py` says how to install it) on {tokens:,} tokens that both models read,
half of them web-like documents, half conversations in the chat template; about four minutes of one core.

- `pair_saes/crosscoder/`: class CrossCoder, {cross_width} latents, L1 penalty {l1}, {cross_steps} steps.
- `pair_saes/difference/`: class BatchTopKSAE on chat minus base, {diff_width} latents, k = {k},
  {diff_steps} steps. {mean_share:.0f}% of the squared change is its mean, which lies in the normaliser.

| on | FVU base | FVU chat | L0 | FVU of the difference | its L0 |
|---|---|---|---|---|---|
{fits}

By the lengths of decoder rows (Δ_norm: chat's alone above 0.9, base's alone below 0.1, shared
within 0.1 of a half), {right} latents of the crosscoder are the chat model's alone, {left} the base's,
{shared} shared.
"""

CAUSES = """\
What tuning put into `chat` is that it refuses. Both find it. At the last prompt token of {n_train} harmful
training prompts, the latents of the chat model alone that write most are {first} (active on
{harm:.0f}% of harmful and {less:.0f}% of harmless prompts) and {second}; the next one writes
{times:.0f} times less than the first. The latents of the difference that tell harmful from harmless
prompts best are {best}. Taken out of the chat model as directions (ablation in all blocks, {n} held-out
harmful prompts):

| taken out | refused % | broken % |
|---|---|---|
{arms}

Added to harmless prompts, the crosscoder's two induce {induced:.0f}% refusals (the difference in means:
see above). With an L1 penalty some one-sided latents are artefacts of shrinkage (Minder et al.):
what they cause says which are not. A BatchTopK crosscoder (k = 32, 1,000 steps), tried once, explained more
(FVU 0.06 and 0.07) and had no latent of one model: Δ_norm from 0.27 to 0.80. The one that took all
refusals away had 0.70.
"""


@dataclass(frozen=True)
class Dictionary:
    """What both have in common once they are read: an encoder of tokens, and rows in raw units."""

    encode: Callable[[torch.Tensor], torch.Tensor]
    decode: Callable[[torch.Tensor], torch.Tensor]
    rows: torch.Tensor
    """What one unit of a latent adds: [latents, d], or [2, latents, d]."""
    lengths: torch.Tensor
    """Of the rows as they were trained."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a dictionary in float32."""
    found = load_file(folder / "model.safetensors")
    return {name: value.float() for name, value in found.items()}


def read_crosscoder(folder: Path) -> Dictionary:
    """f = ReLU(Σ_m x̃_m W_enc^m + b), x̂_m = (f W_dec^m + b^m)/g_m + mean_m; x is [tokens, 2, d]."""
    w = weights(folder)
    gain = w["activation_global_scale"][:, None]

    def encode(x: torch.Tensor) -> torch.Tensor:
        scaled = (x - w["activation_mean"]) * gain
        return torch.relu(
            torch.einsum("tld,ldn->tn", scaled, w["encoder.weight"]) + w["encoder.bias"]
        )

    def decode(f: torch.Tensor) -> torch.Tensor:
        out = torch.einsum("tn,lnd->tld", f, w["decoder.weight"]) + w["decoder.bias"]
        return out / gain + w["activation_mean"]

    rows = w["decoder.weight"]
    return Dictionary(encode, decode, rows / gain[..., None], rows.norm(dim=2))


def read_difference(folder: Path) -> Dictionary:
    """f = ReLU((ũ − b_dec) W_enc + b) above the threshold; u is [tokens, d]."""
    w = weights(folder)
    gain = w["activation_global_scale"]

    def encode(u: torch.Tensor) -> torch.Tensor:
        scaled = (u - w["activation_mean"]) * gain - w["b_dec"]
        f = torch.relu(scaled @ w["encoder.weight"].T + w["encoder.bias"])
        return f * (f > w["threshold"])

    def decode(f: torch.Tensor) -> torch.Tensor:
        return (f @ w["decoder.weight"].T + w["b_dec"]) / gain + w["activation_mean"]

    rows = w["decoder.weight"].T
    return Dictionary(encode, decode, rows / gain, rows.norm(dim=1))


@torch.no_grad()
def at_last(organism: Organism, prompts: list[str], layer: int) -> torch.Tensor:
    """Both models at the last token of the chat model's prompts, [prompts, 2, d]."""
    both = [organism.last("chat", prompts, layer, model=model) for model in ("base", "chat")]
    return torch.stack(both, dim=1)


def ablated(organism: Organism, rows: torch.Tensor, prompts: list[str]) -> dict[str, float]:
    """Refusals left, and broken completions, of the chat model without what the rows span."""
    units = (rows / rows.norm(dim=1, keepdim=True)).double()
    basis = torch.linalg.svd(units, full_matrices=False).Vh.float()
    model = organism.models["chat"]
    blocks = list(model.model.layers)
    branches = [part for block in blocks for part in (block.self_attn, block.mlp)]
    with edited(model, blocks + branches, blocks, lambda x: x - (x @ basis.T) @ basis):
        texts = organism.complete("chat", prompts)
    return rates(organism, texts)


def rates(organism: Organism, texts: list[str]) -> dict[str, float]:
    """The shares of refusals and of broken text, in percent."""
    broken = organism.degenerate(texts)
    return {
        "refused": 100 * sum(map(refused, texts)) / len(texts),
        "broken": 100 * sum(broken) / len(broken),
    }


def fit_row(name: str, x: torch.Tensor, both: Dictionary, change: Dictionary) -> str:
    """How well the two explain activations [tokens, 2, d], as a line of the table."""
    f, u = both.encode(x), x[:, 1] - x[:, 0]
    g, hat = change.encode(u), both.decode(f)
    numbers = [fvu(x[:, side], hat[:, side]) for side in (0, 1)]
    active = [float((z > 0).float().sum(1).mean()) for z in (f, g)]
    numbers = [*numbers, active[0], fvu(u, change.decode(g)), active[1]]
    return f"| {name} | {numbers[0]:.3f} | {numbers[1]:.3f} | {numbers[2]:.1f} | " + (
        f"{numbers[3]:.3f} | {numbers[4]:.1f} |"
    )


def numbered(features: Sequence[int]) -> str:
    """Features in words."""
    return ", ".join(str(one) for one in features)


def leaning(both: Dictionary) -> torch.Tensor:
    """Δ_norm of each latent: 0 is the base model's alone, 1 the chat model's."""
    left, right = both.lengths
    return 0.5 * ((right - left) / torch.maximum(left, right) + 1)


@torch.no_grad()
def fitted(
    settings: Settings, organism: Organism, both: Dictionary, change: Dictionary
) -> dict[str, Any]:
    """How well both explain the models, and whose the crosscoder's latents are."""
    layer = settings.mid
    base, chat = organism.tokenizers["base"], organism.tokenizers["chat"]
    texts = {
        "web": [base(row["text"]).input_ids for row in organism.rows("web")][:200],
        "conversations": [
            chat.apply_chat_template(row["messages"])["input_ids"] for row in organism.rows("chat")
        ][:200],
    }
    fits = []
    for name, rows in texts.items():
        x = torch.stack([organism.tokens(m, rows, layer) for m in ("base", "chat")], dim=1)
        fits.append(fit_row(name, x, both, change))
        u = x[:, 1] - x[:, 0]
        mean_share = 100 * float(u.mean(0).pow(2).sum() / u.pow(2).sum(1).mean())

    lean = leaning(both)
    counts = {
        "right": int((lean > 0.9).sum()),
        "left": int((lean < 0.1).sum()),
        "shared": int(((lean - 0.5).abs() <= 0.1).sum()),
    }
    return {"fits": "\n".join(fits), "mean_share": mean_share, **counts}


@torch.no_grad()
def causes(settings: Settings, organism: Organism, both: Dictionary, change: Dictionary) -> str:
    """What happens without the latents that tell both models apart; empty where there are none."""
    layer, lean = settings.mid, leaning(both)
    n_train = 128
    harmful, harmless = (
        at_last(organism, organism.prompts(f"{kind}_train")[:n_train], layer)
        for kind in ("harmful", "harmless")
    )
    f, g = both.encode(harmful), both.encode(harmless)
    written = f.mean(0) * both.rows[1].norm(dim=1)
    own = (lean > 0.9).nonzero().flatten()
    own = own[written[own].argsort(descending=True)]
    if len(own) < 3:
        return ""
    alike = ((lean - 0.5).abs() <= 0.1).nonzero().flatten()
    alike = alike[written[alike].argsort(descending=True)]
    moved = [change.encode(x[:, 1] - x[:, 0]).mean(0) for x in (harmful, harmless)]
    best = ((moved[0] - moved[1]) * change.rows.norm(dim=1)).argsort(descending=True)[:4]

    test = organism.prompts("harmful_test")
    arms = {"nothing": rates(organism, organism.complete("chat", test))}
    for k in (1, 2):
        name = f"crosscoder, chat's alone: {numbered(own[:k].tolist())}"
        arms[name] = ablated(organism, both.rows[1][own[:k]], test)
    for k in (1, 2):
        name = f"crosscoder, shared, that write most: {numbered(alike[:k].tolist())}"
        arms[name] = ablated(organism, both.rows[1][alike[:k]], test)
    for k in (1, 2, 4):
        name = f"difference: {numbered(best[:k].tolist())}"
        arms[name] = ablated(organism, change.rows[best[:k]], test)
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(5, settings.d_model, generator=generator)
    random = [ablated(organism, one[None], test) for one in drawn]
    arms["a random direction (lowest of 5)"] = min(random, key=lambda arm: arm["refused"])

    push = (written[own[:2], None] * torch.nn.functional.normalize(both.rows[1][own[:2]])).sum(0)
    model = organism.models["chat"]
    with edited(model, [model.model.layers[layer]], [], lambda x: x + push):
        induced = rates(organism, organism.complete("chat", organism.prompts("harmless_test")))
    values = {
        "first": int(own[0]),
        "second": int(own[1]),
        "harm": 100 * float((f[:, own[0]] > 0).float().mean()),
        "less": 100 * float((g[:, own[0]] > 0).float().mean()),
        "times": float(written[own[0]] / written[own[2]]),
        "best": numbered(best.tolist()),
        "arms": "\n".join(
            f"| {name} | {arm['refused']:.0f} | {arm['broken']:.0f} |" for name, arm in arms.items()
        ),
        "induced": induced["refused"],
        "n": len(test),
        "n_train": n_train,
    }
    return "\n" + CAUSES.format(**values)


def write_pair_card(settings: Settings, out: Path) -> None:
    """Measure both, and write their section beside them and into the model card."""
    folder = out / "pair_saes"
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    organism = Organism(out)
    both, change = read_crosscoder(folder / "crosscoder"), read_difference(folder / "difference")
    section = SECTION.format(
        layer=settings.mid,
        megabytes=size / 1e6,
        tokens=settings.pair_sae_tokens,
        cross_width=settings.crosscoder.width,
        cross_steps=settings.crosscoder.steps,
        l1=settings.crosscoder.l1,
        diff_width=settings.difference.width,
        diff_steps=settings.difference.steps,
        k=settings.difference.k,
        **fitted(settings, organism, both, change),
    )
    write_readme(folder, section + causes(settings, organism, both, change))
    add_section(out / "MODEL_CARD.md", folder / "README.md")
