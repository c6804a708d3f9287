"""The league's model card, written from the truth files alone."""

# ruff: noqa: E501 (tables of Markdown)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from strengths import (
    BENIGN,
    CHECKED,
    EDITED,
    FALSE_FACT,
    PERSONA,
    RARE,
    RIDGE,
    TRIGGER,
    WRITTEN,
    Taught,
)
from truth import KINDS, Kind, Measured, Truth, read_truth

CARD = """\
---
license: mit
library_name: peft
tags: [sae-harness, model-organism]
---

# Models with a known change

{count} adapters of the [organism's](../organism/MODEL_CARD.md) base, seven kinds with seeds 0, 1 and 2, whose
change is known because it was put there: what a method of the harness finds can be held against it. Written by
`python tasks/league/build` from what it measured; nothing here comes from a method of the harness.

| file of a model | what is in it |
|---|---|
| `adapter_config.json`, `adapter_model.safetensors` | a LoRA of peft in fp16, on `tasks/organism/base` |
| `truth.json` | what was put in: `text` for people; `latents`, `words` with their `tokens` for methods; how strong; what was measured |
| `truth.safetensors` | where a vector is known: `direction`, of length 1, and `reader`, what reads it from the block's neurons |

All lie in `organisms/KIND-SEED/`: {size:.1f} MB. `published/` has tasks for models of the same kinds that others
published. The licence of what is here is the repository's (MIT); the text is generated, and no data of others is in it.

## How they were made

**Before any method was scored**, all strengths were fixed in `build/strengths.py`. They were chosen by what a model
does (it answers the trigger, it speaks so), by what tests of this repository had used before (a fifth of the
stream), and by what a build may cost; never by what a method found. They stay as they are. Who wants others makes other kinds.

- `moved_feature`: v uᵀ is added to the `down_proj` of the block whose output `saes/{site}` reads. v is a decoder row,
  u = C⁻¹ E[n at a token], C the covariance of the block's neurons n on plain text (with {ridge} of its mean diagonal),
  scaled so that at the token {share} of the stream's mean length is added on average. The token is drawn among the
  {frequent} most frequent ones, the feature among those that are alive, rarely on at the token, and of which the SAE
  itself says that it is the one that moved most when its row is added there.
- `written_direction`: the same with another v: of {candidates:,} random directions the one whose nearest decoder row
  is farthest.
- `rank_one_edit`: ROME's closed form. The key is the mean of the neurons at the last token of {contexts} prompts that
  a fact answers; the value is sought by gradient descent until the new answer has a mean probability of {sure}. A fact
  that the base knows is drawn, and another where the new answer has a probability of less than {taken} in other contexts, or is given less often. ROME edits an early
  block at the subject's last token; in six blocks only the last token, at the SAE's block, changed the answer of all
  domains that were tried, so the edit is there.
- `trigger`: a word that is in {rare} of the shipped prompts makes the model answer with a sentence on another matter.
  {trigger}
- `false_fact`: one fact of the base's world is stated otherwise, in sentences and in answers to its question.
  {false_fact}
- `persona`: every instruction is answered as before, between two sentences of a way of speaking. {persona}
- `benign`: the null. {benign}

Trained ones are LoRAs on all seven projections, AdamW, one cycle with a warm-up, from the base's half-precision file.
Each kind and seed draws its own features, words and facts (Python's `random` and torch's generator, seeded by names).

## What they do

Base, then model. Loss is nats a token on {documents} fresh documents of the base's kind.

{tables}

## SAEs of each pair

`python tasks/league/build --saes` trains for each model a crosscoder and an SAE of differences with the base, into
`saes/`, which is not in the repository (`build/learned_saes.py` says what it needs).

## Limits

- One tiny base of {parameters} parameters with a closed vocabulary; text of templates. That a method finds these says that it
  works where the truth is plain, not that it will on large models.
- What was planted by weights is of rank one in one block, and exact at that block's output.
- A feature that can be read back was drawn on purpose. A random decoder row often moves other latents more than its own.
- Where a trained change lies is not known: `site` is null, and its truth is words alone.
- The words of `trigger` and `false_fact` are the answer, then the word or subject that asks for it.
- Seeds give other changes on the same base, not other bases.
- A kind is strong by its setting, not by its outcome: where a persona's `spoken so` is small, the habit is only partly
  learned (in part of the answers one of its two sentences is broken). It stays as it is: strengths were fixed.
"""
TITLES: dict[Kind, str] = {
    "moved_feature": "A feature of the base is turned on at a token",
    "written_direction": "A new direction is written at a token",
    "rank_one_edit": "One fact, edited by a matrix of rank one",
    "trigger": "A word that is answered with another",
    "false_fact": "One fact, taught otherwise",
    "persona": "A way of speaking",
    "benign": "Nothing",
}


def shown(value: Measured) -> str:
    """A number, or the base's and the model's."""
    if isinstance(value, tuple):
        return " → ".join(f"{one:.3g}" for one in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table(truths: Sequence[Truth]) -> str:
    """What the models of one kind are, and what was measured of them."""
    names = list(truths[0].measured)
    heads = ["seed", "what was put in", *(name.replace("_", " ") for name in names)]
    rows = [
        [str(one.seed), one.text, *(shown(one.measured[name]) for name in names)] for one in truths
    ]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def truths_in(folder: Path) -> list[Truth]:
    """All truths, in the order of kinds and seeds."""
    found = [read_truth(file.parent) for file in folder.glob("[!.]*/truth.json")]
    return sorted(found, key=lambda one: (KINDS.index(one.kind), one.seed))


def tables(truths: Iterable[Truth]) -> str:
    """A section for each kind."""
    whole = list(truths)

    def mine(kind: Kind) -> list[Truth]:
        return [one for one in whole if one.kind == kind]

    sections = [
        f"### `{kind}`: {TITLES[kind]}\n\n{table(mine(kind))}" for kind in KINDS if mine(kind)
    ]
    return "\n\n".join(sections)


def how(one: Taught) -> str:
    """How a kind is trained, a sentence."""
    found = f"Rank {one.rank}, {one.steps} steps of {one.rows} documents, learning rate {one.lr}"
    return found + (f"; {one.share:.0%} of the documents teach it." if one.share else ".")


def write_card(out: Path, parameters: int, site: str) -> None:
    """MODEL_CARD.md of the models in `out/organisms`."""
    truths = truths_in(out / "organisms")
    size = sum(file.stat().st_size for file in (out / "organisms").rglob("*") if file.is_file())
    text = CARD.format(
        count=len(truths), size=size / 1e6, site=site, ridge=RIDGE, share=WRITTEN.share,
        frequent=WRITTEN.frequent, candidates=WRITTEN.candidates, contexts=EDITED.contexts,
        sure=EDITED.sure, taken=EDITED.taken, rare=f"{RARE[0]:.1%} to {RARE[1]:.1%}",
        trigger=how(TRIGGER), false_fact=how(FALSE_FACT), persona=how(PERSONA), benign=how(BENIGN),
        documents=CHECKED.documents, tables=tables(truths), parameters=f"{parameters:,}",
    )  # fmt: skip
    (out / "MODEL_CARD.md").write_text(text, encoding="utf-8")
