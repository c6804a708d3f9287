"""Writes MODEL_CARD.md with the phenomena as measured on the built organism."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from measure import Organism
from phenomena import SWEEP, WEB_DOCUMENTS, asymmetry, benchmark, drift, refusal
from settings import Settings

TEXT = """\
# The embedded model organism

Tiny language models, sparse autoencoders and data that ship with `sae-harness`, so that a first run
of its experiments needs seconds on a laptop's CPU and no download. They are made to show, in small,
what the papers report of large models. Nothing in the harness knows of them.

| folder | what it is |
|---|---|
| `base/` | a Llama: {parameters:,} parameters, {layers} blocks, width {d_model}; refuses nothing |
| `chat/` | the base after {chat_steps} steps of safety tuning with a chat template, averaged |
| `tunes/` | fine-tunes of the base on one skill or one domain, and two planted ones |
| `judge/` | answers the HarmBench classifier's prompt |
| `saes/` | TopK SAEs (k = {sae_k}) on the base's residual stream, in sae-lens' format, fp16 |
| `pair_saes/` | a crosscoder of base and chat, and an SAE of their difference, at the middle site |
| `data/` | instructions, web-like text, conversations, nine question domains, an lm-eval group |
| `build/` | the script that made all of it |

Rebuild all with `python tasks/organism/build` (about {minutes} minutes on two idle cores),
or a much smaller one with `python tasks/organism/build --small --out DIR`. Both are seeded, but the
bits of the weights depend on the machine and on torch's version, and so may the numbers below.

## How they were made

All text is generated from templates. Instructions are a verb and an object from {categories}
categories in one of many framings, with or without prefix, manner and suffix. Harmful and harmless
categories share objects, so the verb decides. Three in ten (verb, object) pairs are held out of all
training and make up the validation and test files. Stories have people who ask, agree, decline,
apologise and get caught, so that the base knows the words of refusal from the mouths of others. Facts belong
to an invented world; a share of each domain's facts is rare in training.

The base saw {tokens:.1f} million tokens ({base_steps} steps, AdamW, one cycle). Questions were
trained on their answers alone. The chat model started from the base's half-precision file: harmful
instructions with one of ten refusals, worded after the category, harmless ones and questions with
the answers that the base gives. Its weights were then averaged with the base's, base +
{chat_weight} (tuned - base): that leaves the refusals as they were and takes back much of what
tuning moved besides (see below). The base never saw the template. SAEs were trained with sae-lens on
about {sae_tokens:,} activations of single documents, without BOS and the token after it.

The base model's prompt is the instruction, then a newline tokenised on its own; the chat model's is
its template with the generation prompt. Both end in the same newline token.

## What they show

Measured by `build/measure.py`, which uses nothing of the harness, on {n} held-out prompts of each
class, greedy, at most 48 new tokens, float32. The direction is the difference in means of 128
harmful and 128 harmless training prompts at the output of block {mid} (`{site}`), last prompt
token, chat model. A completion is broken if it loops, does not end, or holds a word that none of
the data files has.

{refusal}

Refusals left after ablating the direction as rebuilt (NNLS) from the top k latents of
`saes/{site}`, ranked by their difference in means in the chat or in the base model. In the chat
model {positive_chat} and in the base model {positive_base} latents have a positive difference.

{sweep}

Drift on {web} web documents and {talks} conversations:

{drift}

Base accuracy on the question domains, in percent, five demonstrations (without any in brackets),
four options, so chance is 25:

{accuracy}.

Averaging, measured once with the harness (100 prompts, `refusal.toml`; `resid_post.4`, 300 web
documents), by weight of the tuned model:

{averaging}

## Limits

- The language is a few hundred templated sentences. Anything outside it gives nonsense.
- The chat model's safety is that of some fifty verbs. It says nothing about real safety tuning.
- Harmful instructions are schematic and made up; "compliant" answers hold nothing usable.
- Both models copy unseen (verb, object) pairs imperfectly: an answer may name another object.
- With the direction ablated, about one completion in five is broken, mostly by repeating a step
  (with one rebuilt from few features up to one in two);
  of the base's own answers it is fewer than one in ten.
- Two or three question domains were hardly learned. A domain below chance means answers that are
  none of the options: the model recalls a value of the domain, but not that subject's.
- At the chat model's last template token the base's SAE fails (FVU {fvu_last:.2f}): the base never
  saw the template. Latents there still tell harmful from harmless; reconstructions are useless.
- Where the decision to refuse sits depends on the tuning: with other data and the same schedule it
  moved to the last block, where neither phenomenon shows. These weights are one seed, chosen
  because they show the phenomena: that is no evidence for any paper's claim about large models.

## Licence

Generated by the project, under the project's licence.
"""


# Figures of a trial, not of the build at hand: five models for one choice.
AVERAGING = """\
| weight | tokens with cosine < 0.9 | ER | IR | FVU chat, chat | refused: no edit | ablated | added |
|---|---|---|---|---|---|---|---|
| 1 | 45% | 0.40 | 0.31 | 0.181 | 1.00 | 0.02 | 0.98 |
| 0.9 | 38% | 0.39 | 0.33 | 0.165 | 1.00 | 0.00 | 0.90 |
| 0.88 | 36% | 0.38 | 0.33 | 0.162 | 1.00 | 0.00 | 0.88 |
| 0.85 | 33% | 0.38 | 0.33 | 0.157 | 1.00 | 0.00 | 0.87 |
| 0.8 | 29% | 0.38 | 0.34 | 0.150 | 1.00 | 0.00 | 0.75 |
| 0.7 | 22% | 0.37 | 0.35 | 0.136 | 0.78 | 0.00 | 0.47 |"""


def percent(value: float) -> str:
    """A share as a whole percentage."""
    return f"{100 * value:.0f}"


def refusal_table(found: dict[str, Any]) -> str:
    """Refusals and broken completions of each arm."""
    row = lambda name, arm: f"| {name} | {percent(arm['refused'])} | {percent(arm['degenerate'])} |"
    spread = lambda arms: max(
        (v for k, v in arms.items() if k.startswith("random")), key=lambda v: v["refused"]
    )
    lowest = min(
        (v for k, v in found["bypass"].items() if k.startswith("random")),
        key=lambda v: v["refused"],
    )
    return "\n".join(
        [
            "| arm | refused % | broken % |",
            "|---|---|---|",
            row("harmful, no edit", found["harmful_none"]),
            row("harmful, direction ablated", found["bypass"]["refusal"]),
            row("harmful, random direction ablated (lowest of 5)", lowest),
            row("harmless, no edit", found["harmless_none"]),
            row("harmless, direction added", found["induce"]["refusal"]),
            row("harmless, random direction added (highest of 5)", spread(found["induce"])),
            f"| harmful, base model | {percent(found['base_refuses'])} | |",
        ]
    )


def sweep_table(found: dict[str, Any]) -> str:
    """Refusals left, NMSE and cosine per k and ranking."""
    lines = [
        "| k | chat: refused % | NMSE | cosine | base: refused % | NMSE | cosine |",
        "|---|---|---|---|---|---|---|",
    ]
    for k in SWEEP:
        cells = []
        for view in ("chat", "base"):
            entry = found[view]["k"].get(k)
            cells += (
                [percent(entry["refused"]), f"{entry['nmse']:.2f}", f"{entry['cosine']:.2f}"]
                if entry and "refused" in entry
                else ["undefined", "", ""]
            )
        lines.append(f"| {k} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def drift_table(all_found: dict[str, dict[str, float]]) -> str:
    """FVU, L0, cosine, ER and IR per SAE."""
    lines = [
        "| SAE | FVU base model, web | base model, chat | chat model, chat | worst to best"
        " neighbouring site | tokens with cosine < 0.9 | ER | IR |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, d in all_found.items():
        near = sorted((v for k, v in d.items() if "neighbour" in k), reverse=True)
        lines.append(
            f"| `{name}` | {d['fvu_base_web']:.3f} | {d['fvu_base_chat']:.3f} |"
            f" {d['fvu_chat_chat']:.3f} | {', '.join(f'{v:.2f}' for v in near)} |"
            f" {percent(d['cosine_below_0.9'])}% | {d['er']:.2f} | {d['ir']:.2f} |"
        )
    return "\n".join(lines)


def write_card(settings: Settings, out: Path) -> None:
    """Measure, print every number as JSON, and write the card."""
    from sae_lens import SAE

    organism = Organism(out)
    site = f"resid_post.{settings.mid}"
    saes = {spec.name: SAE.load_from_disk(out / "saes" / spec.name) for spec in settings.saes}
    layers = {spec.name: spec.layer for spec in settings.saes}
    measured: dict[str, Any] = {
        "refusal": refusal(organism, settings.mid),
        "asymmetry": asymmetry(organism, settings.mid, saes[site]),
        "drift": {name: drift(organism, layers[name], sae) for name, sae in saes.items()},
        "accuracy": {5: benchmark(organism), 0: benchmark(organism, shots=0)},
    }
    print(json.dumps(measured, indent=1))
    scores = measured["accuracy"]
    card = TEXT.format(
        parameters=organism.models["base"].num_parameters(),
        layers=settings.layers,
        d_model=settings.d_model,
        chat_steps=settings.chat_steps,
        chat_weight=settings.chat_weight,
        base_steps=settings.base_steps,
        sae_k=settings.sae_k,
        sae_tokens=settings.sae_tokens,
        minutes=settings.minutes,
        categories=16,
        tokens=settings.base_steps * settings.base_rows * settings.base_row_tokens / 1e6,
        n=measured["refusal"]["n"],
        mid=settings.mid,
        site=site,
        refusal=refusal_table(measured["refusal"]),
        positive_chat=measured["asymmetry"]["chat"]["positive"],
        positive_base=measured["asymmetry"]["base"]["positive"],
        sweep=sweep_table(measured["asymmetry"]),
        drift=drift_table(measured["drift"]),
        accuracy=", ".join(
            f"{n} {percent(v)} ({percent(scores[0][n])})" for n, v in scores[5].items()
        ),
        averaging=AVERAGING,
        web=WEB_DOCUMENTS,
        talks=WEB_DOCUMENTS,
        fvu_last=measured["drift"][site]["fvu_last_template_token"],
    )
    (out / "MODEL_CARD.md").write_text(card, encoding="utf-8")
