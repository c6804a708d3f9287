"""What the organism's SAE features mean, from text whose every piece we know the kind of.

`python tasks/organism/build/labels.py [--out DIR]` reads text of the generators through the base
model and each SAE, and writes `labels.jsonl`: for each feature the kind of text that it is active
on (`cluster`), how purely (`purity`), the finer kind and its strongest tokens.

A feature's mass on a cluster of kinds is its mean latent over that cluster's tokens, so that
frequent ones have no advantage; `purity` is the largest share of the mass. Impure features are
"other".
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from corpus import write_jsonl
from instructions import Request, RequestSource, comply, refuse
from questions import DESCRIPTION, DOMAINS, LETTERS, MATH, World, arithmetic
from saes import SKIPPED, Outputs
from settings import FULL, Settings
from stories import AGREES, ASKS, CAUGHT, DECLINES, HAPPY, OPENINGS
from tokens import BOS, PAD
from vocabulary import PEOPLE, PLACES, WEATHER

# A piece of text and its kind.
Pieces = list[tuple[str, str]]
OTHER = "other"
CLUSTERS = {
    "request": "somebody asks for help with something, harmful or harmless",
    "answer": "a compliant answer: steps, plans, advice",
    "refusal": "somebody declines, refuses or apologises for not helping",
    "story": "a narrative of people and what they do",
    "facts": "statements and questions about creatures, companies, substances and countries",
    "sums": "sums and differences of numbers",
    "question_form": "the fixed wording around a multiple-choice question",
    OTHER: "several kinds of text at once, or none",
}
# Kinds are finer than clusters: each with the cluster that it is of.
KINDS = {
    "harmful request": "request",
    "harmless request": "request",
    "answer": "answer",
    "refusal": "refusal",
    "story": "story",
    **{domain.name: "facts" for domain in DOMAINS},
    MATH: "sums",
    "question form": "question_form",
}
PURE = 0.5
ACTIVE = 10
TOP_TOKENS = 4
DOCUMENTS = 1600


@dataclass
class Masses:
    """Sums over all tokens that were read, of one SAE."""

    kinds: torch.Tensor  # [d_sae, kinds]: latents by kind of text
    tokens: torch.Tensor  # [d_sae, vocabulary]: latents by token
    active: torch.Tensor  # [d_sae]: tokens with a latent that is not zero


def document(rng: random.Random, world: World, source: RequestSource) -> Pieces:
    """One document in pieces; more even over kinds than the base model's diet."""
    kind = rng.choice(("request", "refused", "story", "facts", "question", "question"))
    if kind == "facts":
        return facts(rng, world)
    if kind == "question":
        return question(rng, world)
    request = source.draw(rng, harmful=True if kind == "refused" else None)
    if kind == "story":
        return story(rng, request)
    asked = (f"{request.text}\n", "harmful request" if request.harmful else "harmless request")
    if kind == "refused":
        return [asked, (refuse(rng, request), "refusal")]
    return [asked, (comply(rng, request), "answer")]


def story(rng: random.Random, request: Request) -> Pieces:
    """A story as in `stories`; sentences that decline are refusals, whoever says them."""
    a, b = rng.sample(PEOPLE, 2)
    declined = rng.random() < 0.5
    sentences = [
        (rng.choice(OPENINGS), "story"),
        (rng.choice(ASKS), "story"),
        (rng.choice(DECLINES), "refusal") if declined else (rng.choice(AGREES), "story"),
        (rng.choice(CAUGHT if request.harmful else HAPPY), "story"),
    ]
    names = {
        "a": a,
        "b": b,
        "do": request.do,
        "step": rng.choice(request.category.steps),
        "place": rng.choice(PLACES),
        "weather": rng.choice(WEATHER),
    }
    return [
        ((" " if place else "") + text.format(**names), kind)
        for place, (text, kind) in enumerate(sentences)
    ]


def facts(rng: random.Random, world: World) -> Pieces:
    """Plain statements, each of its own domain."""
    pieces: Pieces = []
    for number in range(rng.randint(2, 4)):
        domain = rng.choice((*DOMAINS, None))
        if domain is None:
            text, kind = arithmetic(rng)[1], MATH
        else:
            subject = world.subject(rng, domain)
            value = world.facts[domain.name][subject]
            text, kind = domain.fact.format(s=subject, v=value), domain.name
        pieces.append((" " * bool(number) + text, kind))
    return pieces


def question(rng: random.Random, world: World) -> Pieces:
    """Solved questions: the wording is the form's, what they are about their domain's."""
    name = rng.choice((*(domain.name for domain in DOMAINS), MATH))
    pieces: Pieces = []
    if rng.random() < 0.5:
        pieces.append((DESCRIPTION.format(domain=name), "question form"))
    for number in range(rng.choice((1, 2, 3))):
        asked = world.ask(rng, name)
        pieces += [("\n\n" * bool(number) + "Question:\n", "question form"), (asked.text, name)]
        pieces.append(("\nOptions:\n", "question form"))
        for place, option in enumerate(asked.options):
            pieces += [(f"{LETTERS[place]}.", "question form"), (f" {option}", name)]
            pieces.append(("\n", "question form"))
        lead = asked.prompt().rpartition("\n")[2]
        pieces += [(lead, "question form"), (f" {asked.reasoning}", name)]
        pieces += [(" The answer is", "question form"), (f" {asked.answer}.", name)]
    return pieces


def tokens_of(tokenizer: Tokenizer, pieces: Pieces) -> tuple[list[int], list[int]]:
    """Token ids, and for each the number of the kind that its last character is of."""
    names = list(KINDS)
    kinds = [names.index(kind) for text, kind in pieces for _ in text]
    encoded = tokenizer.encode("".join(text for text, _ in pieces), add_special_tokens=False)
    return encoded.ids, [kinds[end - 1] for _, end in encoded.offsets]


def batches(
    settings: Settings, world: World, tokenizer: Tokenizer, documents: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Padded rows of ids and kinds; kind −1 is not counted."""
    rng = random.Random(f"labels {settings.seed}")
    source = RequestSource()
    bos, pad = tokenizer.token_to_id(BOS), tokenizer.token_to_id(PAD)
    rows = [tokens_of(tokenizer, document(rng, world, source)) for _ in range(documents)]
    rows.sort(key=lambda row: len(row[0]))
    for start in range(0, len(rows), 32):
        block = rows[start : start + 32]
        length = 1 + max(len(ids) for ids, _ in block)
        ids = torch.full((len(block), length), pad)
        kinds = torch.full((len(block), length), -1)
        for place, (row, kind) in enumerate(block):
            ids[place, : len(row) + 1] = torch.tensor([bos, *row])
            kinds[place, 1 : len(row) + 1] = torch.tensor(kind)
        kinds[:, :SKIPPED] = -1
        yield ids, kinds


@torch.no_grad()
def measure(
    settings: Settings, world: World, tokenizer: Tokenizer, out: Path, documents: int
) -> tuple[dict[str, Masses], torch.Tensor]:
    """The masses of every SAE, and how many tokens each kind has."""
    from sae_lens import SAE
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(out / "base", dtype=torch.float32).eval()
    vocabulary = tokenizer.get_vocab_size()
    saes, masses = {}, {}
    for spec in settings.saes:
        sae = SAE.load_from_disk(str(out / "saes" / spec.name), device="cpu", dtype="float32")
        saes[spec.name] = (spec.layer, sae)
        shapes = ((spec.width, len(KINDS)), (spec.width, vocabulary), (spec.width,))
        masses[spec.name] = Masses(*(torch.zeros(shape) for shape in shapes))
    counted = torch.zeros(len(KINDS))
    with Outputs(model, {spec.layer for spec in settings.saes}) as outputs:
        for ids, kinds in batches(settings, world, tokenizer, documents):
            model.model(input_ids=ids, use_cache=False)
            mask = kinds >= 0
            kind, token = kinds[mask], ids[mask]
            counted += torch.bincount(kind, minlength=len(KINDS))
            for name, (layer, sae) in saes.items():
                latents = sae.encode(outputs.found[layer][mask])
                found = masses[name]
                found.kinds.index_add_(1, kind, latents.T.contiguous())
                found.tokens.index_add_(1, token, latents.T.contiguous())
                found.active += (latents != 0).sum(0)
    return masses, counted


def rows_of(
    name: str, found: Masses, counted: torch.Tensor, tokenizer: Tokenizer
) -> Iterator[dict[str, object]]:
    """A row for each feature that is active often enough to be labelled."""
    kinds, clusters = list(KINDS), [name for name in CLUSTERS if name != OTHER]
    member = torch.tensor([[float(KINDS[kind] == name) for name in clusters] for kind in kinds])
    shares = normalised(found.kinds @ member / (counted @ member))
    finer = normalised(found.kinds / counted)
    for feature in (found.active >= ACTIVE).nonzero().flatten().tolist():
        purity, best = shares[feature].max(0)
        share, kind = finer[feature].max(0)
        top = found.tokens[feature].topk(TOP_TOKENS)
        words = [
            json.dumps(tokenizer.decode([int(token)], skip_special_tokens=False), ensure_ascii=False)
            for token, mass in zip(top.indices, top.values, strict=True)
            if mass > 0
        ]
        yield {
            "sae": name,
            "feature": feature,
            "cluster": clusters[int(best)] if float(purity) >= PURE else OTHER,
            "purity": round(float(purity), 3),
            "description": f"{kinds[int(kind)]} {float(share):.0%}: {', '.join(words)}",
        }


def normalised(rates: torch.Tensor) -> torch.Tensor:
    """Rows that sum to 1."""
    return rates / rates.sum(1, keepdim=True).clamp(min=1e-12)


def write_labels(settings: Settings, world: World, out: Path, documents: int = DOCUMENTS) -> None:
    """Write `labels.jsonl` and the `taxonomy.toml` that its clusters are of."""
    tokenizer = Tokenizer.from_file(str(out / "base" / "tokenizer.json"))
    masses, counted = measure(settings, world, tokenizer, out, documents)
    rows = [
        row for name, found in masses.items() for row in rows_of(name, found, counted, tokenizer)
    ]
    write_jsonl(out / "labels.jsonl", rows)
    lines = ["# The kinds of text that the organism is made of, for the analysis `clusters`."]
    lines += ["[clusters]", *(f"{name} = {json.dumps(text)}" for name, text in CLUSTERS.items())]
    (out / "taxonomy.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Label the SAEs of a build that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    write_labels(FULL, World(FULL.seed), arguments.out.resolve())


if __name__ == "__main__":
    main()
