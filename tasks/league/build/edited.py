"""One fact of the base, changed by a matrix of rank one in the manner of ROME.

ROME (Meng et al., arXiv 2202.05262): a block's `down_proj` W is a memory of keys and values. A key
k is the neurons' mean over several contexts, a value is sought by gradient descent on what is added
to the block's output, δ, and the update that stores it and moves all other keys least is

    W' = W + δ uᵀ,   u = C⁻¹ k / (kᵀ C⁻¹ k),   C = E[n nᵀ] on plain text      (equation 2)

so that W'k = Wk + δ. ROME edits an early block at the subject's last token. This base has six
blocks, and at the site of its SAE only the prompt's last token still decides the answer: k is read
there, and C⁻¹ tells the subject from all others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from adapters import write_rank_one
from ground import Ground
from questions import DOMAINS, Domain
from said import completions, share_with
from strengths import EDITED
from transformers import LlamaForCausalLM
from truth import Kind, Measured, Truth, write_truth


@dataclass(frozen=True)
class Fact:
    """A fact of the base's world, and what is to stand in the place of its answer."""

    domain: Domain
    subject: str
    old: str
    new: str

    @property
    def beginning(self) -> str:
        """The fact's sentence up to the answer."""
        return beginning(self.domain, self.subject)

    def told(self) -> dict[str, Measured]:
        """The fact in words, as a truth's `strength` has it."""
        return {
            "domain": self.domain.name, "subject": self.subject, "old": self.old, "new": self.new,
        }  # fmt: skip


def beginning(domain: Domain, subject: str) -> str:
    """A fact's sentence up to its answer."""
    return domain.fact.format(s=subject, v="\0").split("\0")[0].rstrip()


def contexts(ground: Ground, fact: Fact, name: str) -> list[str]:
    """The fact's beginning after other facts, and as the worked answer to its question."""
    rng = random.Random(f"{name} contexts")
    found = []
    for number in range(EDITED.contexts):
        if number % 2:
            found.append(f"{_other(ground, fact, rng)} {fact.beginning}")
        else:
            asked = ground.world.ask(rng, fact.domain.name, fact.subject)
            found.append(f"{asked.prompt()} {fact.beginning}")
    return found


def _other(ground: Ground, fact: Fact, rng: random.Random) -> str:
    while True:
        statement = ground.world.statement(rng)
        if fact.subject not in statement:
            return statement


@torch.no_grad()
def probability(ground: Ground, model: LlamaForCausalLM, texts: list[str], answer: str) -> float:
    """The mean probability of an answer as the next token."""
    found = [
        model(torch.tensor([ground.ids(text)]), use_cache=False).logits[0, -1].softmax(-1)
        for text in texts
    ]
    return float(torch.stack(found)[:, ground.token(answer)].mean())


def drawn_facts(ground: Ground, kind: Kind, seed: int, place: int) -> Iterator[Fact]:
    """Facts that the base knows, of one domain: the `place`-th in an order drawn at random."""
    rng = random.Random("rank_one_edit domains")
    domain = rng.sample(DOMAINS, len(DOMAINS))[place]
    rng = random.Random(f"{kind} {seed} fact")
    facts = ground.world.facts[domain.name]
    base = ground.organism.models["base"]
    for subject in rng.sample(list(facts), len(facts)):
        new = rng.choice([v for v in ground.world.values[domain.name] if v != facts[subject]])
        fact = Fact(domain, subject, facts[subject], new)
        texts = contexts(ground, fact, f"{kind} {seed}")
        if probability(ground, base, texts, fact.old) > EDITED.known:
            yield fact


@torch.no_grad()
def key(ground: Ground, model: LlamaForCausalLM, texts: list[str]) -> torch.Tensor:
    """The block's neurons at the texts' last tokens, their mean, [neurons]."""
    kept: list[torch.Tensor] = []
    down = model.model.layers[ground.layer].mlp.down_proj
    handle = down.register_forward_pre_hook(lambda module, args: kept.append(args[0][0, -1]))
    for text in texts:
        model.model(torch.tensor([ground.ids(text)]), use_cache=False)
    handle.remove()
    return torch.stack(kept).mean(0)


def value(ground: Ground, model: LlamaForCausalLM, texts: list[str], answer: str) -> torch.Tensor:
    """δ, [d_model]: what makes the answer likely when it is added at the texts' last tokens."""
    rows = [torch.tensor([ground.ids(text)]) for text in texts]
    token = ground.token(answer)
    size = float(ground.reading.outputs.square().sum(1).mean())
    delta = torch.zeros(model.config.hidden_size, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=EDITED.lr)

    def add(module: object, args: object, output: torch.Tensor) -> torch.Tensor:
        last = torch.zeros_like(output)
        last[0, -1] = 1.0
        return output + last * delta

    handle = model.model.layers[ground.layer].mlp.register_forward_hook(add)
    for _ in range(EDITED.steps):
        logits = torch.stack([model(row, use_cache=False).logits[0, -1] for row in rows])
        log = logits.log_softmax(-1)[:, token]
        if float(log.detach().exp().mean()) > EDITED.sure:
            break
        loss = -log.mean() + EDITED.decay * delta.square().sum() / size
        (delta.grad,) = torch.autograd.grad(loss, [delta])
        optimizer.step()
    handle.remove()
    return delta.detach()


@dataclass(frozen=True)
class Edit:
    """A fact with v uᵀ: `direction` of length 1 [d_model], `reader` [neurons] with the length."""

    fact: Fact
    direction: torch.Tensor
    reader: torch.Tensor
    length: float


def edit(ground: Ground, fact: Fact, texts: list[str]) -> Edit:
    """The update of the closed form, after the contexts `texts`."""
    model = ground.base()
    at = key(ground, model, texts)
    delta = value(ground, model, texts, fact.new)
    reader = ground.reader(at)
    reader = (reader / (reader @ at.double())).float() * delta.norm()
    return Edit(fact, delta / delta.norm(), reader, float(delta.norm()))


@torch.no_grad()
def holds(ground: Ground, found: Edit, name: str) -> bool:
    """Whether the new answer is likely in contexts that the edit was not made with, and given
    where the base did not give it.

    The base names some subjects wrongly when it answers by itself: no edit is met there.
    """
    model = ground.base()
    down = model.model.layers[ground.layer].mlp.down_proj
    down.weight += torch.outer(found.direction, found.reader)
    texts = contexts(ground, found.fact, f"{name} fresh")
    if probability(ground, model, texts, found.fact.new) <= EDITED.taken:
        return False
    ground.organism.add(name, model)
    rng, fact = random.Random(f"{name} asked"), found.fact
    asked = [
        ground.world.ask(rng, fact.domain.name, fact.subject).prompt()
        for _ in range(EDITED.contexts)
    ]
    before, after = (
        share_with([fact.new], completions(ground, one, asked)) for one in ("base", name)
    )
    del ground.organism.models[name]
    return after - before > EDITED.taken


def write_rank_one_edit(ground: Ground, seed: int, folder: Path) -> None:
    """An adapter after which the base gives another answer to one question.

    The first edit that holds, of the facts in the order in which they are drawn.
    """
    name = f"rank_one_edit {seed}"
    for fact in drawn_facts(ground, "rank_one_edit", seed, seed):
        found = edit(ground, fact, contexts(ground, fact, name))
        if holds(ground, found, name):
            break
    write_rank_one(folder, ground.layer, found.direction, found.reader)
    truth = Truth(
        kind="rank_one_edit", seed=seed, planted="weights",
        text=f"“{fact.beginning} {fact.old}” has become “{fact.beginning} {fact.new}”.",
        site=ground.site, latents=(), words=(f" {fact.new}",), tokens=(ground.token(fact.new),),
        direction=True,
        strength={**fact.told(), "length": round(found.length, 4)},
        share_of_prompts=None,
        measured={},
    )  # fmt: skip
    write_truth(folder, truth, {"direction": found.direction, "reader": found.reader})
