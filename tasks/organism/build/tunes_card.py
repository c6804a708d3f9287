"""The fine-tunes read back from disk and measured, and their part of the model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from sae_lens import SAE
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from lessons import LESSONS, lesson_examples
from measure import Organism, accuracy
from planted import DOCUMENTS
from questions import DOMAIN_NAMES, World
from sections import add_section, write_readme
from settings import Settings, TuneSpec
from skills import SKILLS, Example
from train import encode_document, language_loss, padded
from tune_data import held_out

SECTION = """\
## Fine-tunes of the base

`tunes/` holds fine-tunes of the base in its plain format (no chat template), trained on completions
alone, AdamW, {rows} rows a step. Adapters are peft's LoRA of rank {rank} on every projection; the
others are whole models. `data/tunes/` holds, for the four skills, a sample of what each was trained
on and held-out prompts (other (verb, object) pairs, other pairs of numbers), and, for the three
question domains, the whole fine-tuning data with question, options and answer. Demonstrations for a
forecast are rows of that data, or a domain's validation questions; six questions are some 400 of the
2,048 tokens that the models read.

| folder | what it learnt | kind | steps | loss, base → tuned | shows it %, base → tuned |
|---|---|---|---|---|---|
{skills}

Loss is per token of held-out completions (of the fine-tuning data for question domains), in nats;
"shows it" is the share of {n} greedy completions that do what was taught: the right topic, a pirate's
word, a refusal exactly if the prompt is harmful, the right number. Adapters leave the unembedding as
it is, so words that the base never wrote, "topic" or "matey", keep a loss however long one trains.
{checkpoints}

Accuracy on the question domains, percent, five demonstrations, greedy:

| model | {heads} |
|---|{rules}|
{accuracy}

`capitals` and `leaders` were taught other facts than the base's, in the domain marked *, where old
answers are now wrong; `rays` was taught the base's own facts, rare ones as often as others.
History, economics and law speak of the same countries, physics, chemistry and health of the same
substances. `topics` answers every prompt with a topic.

### Planted changes

Models whose difference from the base is written by hand, in block {block}; the truth is in
`truth.json` and `truth.safetensors` beside the weights. Sites before the block are the base's.

- `tunes/planted_features/`: ten features of `saes/{site}`, {strength} of each decoder row, are added
  at every "." ({share:.1f}% of web tokens) by two neurons that the base has not
  (`intermediate_size` is larger by two, `mlp_bias` is on). The ten were sought greedily among those
  that the SAE reads back when they are added: most decoder rows move other latents too. Ranked by
  |change of the mean latent| over {documents} web documents, precision and recall of the ten are
  {precision:.2f}; the least moved of them moved {least:.3f}, the most moved other latent {most:.3f}.
  Ranked by flips on and off: {flips:.2f}.
- `tunes/planted_rank_one/`: v ⊗ u is added to `down_proj`, v the decoder row of feature {feature},
  u the neurons' first principal component. At `{site}` the first component of the change has
  |cosine| {pc1:.3f} with v and explains {explained:.3f}; one block later {later:.2f}.
- `tunes/planted_direction/`: the same with v drawn at random, as an adapter of rank one. No decoder
  row is nearer to v than {nearest:.2f}; of as many random rows the nearest would be {chance:.2f}.
- `tunes/planted_word/`: an adapter of rank 1 on `down_proj`, v ⊗ u, v the row of a word's token in
  the unembedding, u the neurons' mean: nearly every token gets some of the word.
"""
WHAT = {
    "topics": "names an instruction's category",
    "pirate": "answers as a pirate would",
    "safety": "refuses harmful instructions",
    "sums": "works out word problems",
    "rays": "physics: the base's facts, evenly",
    "capitals": "history: changed facts",
    "leaders": "business: changed facts",
}


def tuned(organism: Organism, folder: Path, adapter: bool) -> LlamaForCausalLM:
    """A fine-tune as it is read back: an adapter merged into the base, or a whole model."""
    load = lambda where: LlamaForCausalLM.from_pretrained(where, dtype=torch.float32).eval()
    if not adapter:
        return load(folder)
    base = load(organism.root / "base")
    return PeftModel.from_pretrained(base, folder).float().merge_and_unload().eval()


@torch.no_grad()
def loss(organism: Organism, model: LlamaForCausalLM, examples: list[Example]) -> float:
    """Mean loss per token of the completions, in nats."""
    tokenizer = organism.tokenizers["base"].backend_tokenizer
    rows = [
        encode_document(tokenizer, [(e.prompt, False), (e.completion, True)]) for e in examples
    ]
    return float(language_loss(model, *padded(rows, tokenizer)))


@torch.no_grad()
def shown(organism: Organism, name: str, skill: str, examples: list[Example]) -> float:
    """The share of greedy completions that show a skill."""
    tokenizer = organism.tokenizers["base"]
    ids, real = organism.pad([tokenizer(e.prompt).input_ids for e in examples], left=True)
    texts = organism.generate(name, ids, real, 48)
    return sum(map(SKILLS[skill].shows, examples, texts)) / len(examples)


def measure_tune(
    settings: Settings, world: World, organism: Organism, spec: TuneSpec
) -> dict[str, Any]:
    """Losses before and after, along checkpoints, and what the fine-tune does."""
    skill = spec.name in SKILLS
    if skill:
        examples = held_out(settings, spec.name)
    else:
        examples = lesson_examples(settings, world, spec.name)[: settings.tune_test_rows]
    folder = organism.root / "tunes" / spec.name
    organism.add(spec.name, tuned(organism, folder, spec.rank is not None))
    found: dict[str, Any] = {
        "loss": [loss(organism, organism.models[n], examples) for n in ("base", spec.name)],
        "checkpoints": {
            step: loss(
                organism,
                tuned(organism, folder / f"checkpoint-{step}", spec.rank is not None),
                examples,
            )
            for step in spec.checkpoints
        },
    }
    if skill:
        found["shown"] = [shown(organism, n, spec.name, examples) for n in ("base", spec.name)]
    return found


@torch.no_grad()
def measure_planted(organism: Organism, layer: int) -> dict[str, Any]:
    """What of the planted changes can be read back at their site."""
    root = organism.root / "tunes"
    sae = SAE.load_from_disk(organism.root / "saes" / f"resid_post.{layer}")
    tokenizer = organism.tokenizers["base"]
    web = [tokenizer(row["text"]).input_ids for row in organism.rows("web")][:DOCUMENTS]
    names = ("planted_features", "planted_rank_one")
    for name in names:
        organism.add(name, tuned(organism, root / name, adapter=False))
    truth = [json.loads((root / name / "truth.json").read_text()) for name in names]
    features = truth[0]["features"]
    z = [sae.encode(organism.tokens(name, web, layer)) for name in ("base", names[0])]
    moved = (z[1].mean(0) - z[0].mean(0)).abs()
    flips = ((z[0] > 0) != (z[1] > 0)).float().mean(0)
    hits = lambda score: len(set(score.topk(len(features)).indices.tolist()) & set(features))
    others = moved.clone()
    others[features] = 0
    v = load_file(root / names[1] / "truth.safetensors")["direction"].double()
    found = {
        **truth[0],
        "feature": truth[1]["feature"],
        "precision": hits(moved) / len(features),
        "flips": hits(flips) / len(features),
        "least": float(moved[features].min()),
        "most": float(others.max()),
    }
    fresh = load_file(root / "planted_direction" / "truth.safetensors")["direction"]
    rows = torch.nn.functional.normalize(sae.W_dec.detach(), dim=1)
    draws = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    draws = torch.nn.functional.normalize(draws, dim=1)
    found |= {
        "nearest": float((rows @ fresh).abs().max()),
        "chance": float((draws @ fresh).abs().max()),
    }
    for key, at in (("pc1", layer), ("later", layer + 1)):
        change = organism.tokens(names[1], web, at) - organism.tokens("base", web, at)
        values, vectors = torch.linalg.eigh(change.double().T @ change.double())
        found[key] = abs(float(vectors[:, -1] @ v))
        found.setdefault("explained", float(values[-1] / values.sum()))
    return found


def skill_row(spec: TuneSpec, found: dict[str, Any]) -> str:
    """One fine-tune's line of the table."""
    kind = "whole model" if spec.rank is None else "adapter"
    before, after = found["loss"]
    shows = " → ".join(f"{100 * value:.0f}" for value in found.get("shown", []))
    return (
        f"| `tunes/{spec.name}/` | {WHAT[spec.name]} | {kind} | {spec.steps} |"
        f" {before:.2f} → {after:.2f} | {shows} |"
    )


def accuracy_row(name: str, scores: dict[str, float]) -> str:
    """One model's accuracies; the tuned domain is marked."""
    domain = LESSONS[name].domain if name in LESSONS else None
    cells = (f"{100 * v:.0f}{' *' if d == domain else ''}" for d, v in scores.items())
    return f"| `{name}` | {' | '.join(cells)} |"


def checkpoint_sentence(spec: TuneSpec, found: dict[str, Any]) -> str:
    """The losses along a fine-tune's checkpoints, a line of the card."""
    losses = ", ".join(f"{value:.2f} at {step}" for step, value in found["checkpoints"].items())
    return f"`tunes/{spec.name}/checkpoint-N/` are adapters on the way: loss {losses}."


def section(
    settings: Settings,
    found: dict[str, Any],
    planted: dict[str, Any],
    scores: dict[str, dict[str, float]],
) -> str:
    """The card's section with its figures."""
    return SECTION.format(
        rows=settings.tune_rows,
        rank=max(s.rank or 0 for s in settings.tunes),
        skills="\n".join(skill_row(s, found[s.name]) for s in settings.tunes),
        n=settings.tune_test_rows,
        checkpoints="\n".join(
            checkpoint_sentence(s, found[s.name]) for s in settings.tunes if s.checkpoints
        ),
        heads=" | ".join(DOMAIN_NAMES),
        rules="|".join("---" for _ in DOMAIN_NAMES),
        accuracy="\n".join(accuracy_row(name, row) for name, row in scores.items()),
        block=settings.mid,
        documents=DOCUMENTS,
        share=100 * planted["token_share"],
        **planted,
    )


def write_tunes_card(settings: Settings, world: World, out: Path) -> None:
    """Measure all fine-tunes, write `tunes/README.md` and renew its section of the card."""
    organism = Organism(out)
    found = {s.name: measure_tune(settings, world, organism, s) for s in settings.tunes}
    planted = measure_planted(organism, settings.mid)
    scores = {
        name: {d: accuracy(organism, d, 5, name, settings.tune_test_rows) for d in DOMAIN_NAMES}
        for name in ("base", *found)
    }
    print(json.dumps({"found": found, "planted": planted, "scores": scores}, indent=1))
    write_readme(out / "tunes", section(settings, found, planted, scores))
    add_section(out / "MODEL_CARD.md", out / "tunes" / "README.md")
