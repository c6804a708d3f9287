"""The numbers of the model card: does the organism show what it is made to show?"""

from __future__ import annotations

from typing import Any

import torch

from measure import Organism, ablation, accuracy, addition, fvu, rebuilt, refused
from questions import DOMAIN_NAMES

WEB_DOCUMENTS = 200
SWEEP = (1, 2, 4, 8, 16, 24, 32, 48, 64)


def rate(flags: list[bool]) -> float:
    """The share of true."""
    return sum(flags) / len(flags)


def random_like(r: torch.Tensor, draws: int) -> list[torch.Tensor]:
    """Random directions of the same norm."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(draws, len(r), generator=generator, dtype=torch.float64)
    return list(drawn / drawn.norm(dim=1, keepdim=True) * r.norm())


def bypass(
    organism: Organism, directions: dict[str, torch.Tensor], prompts: list[str]
) -> dict[str, dict[str, float]]:
    """Refusals left, and broken completions, after ablating each direction."""
    found = {}
    for name, r in directions.items():
        with ablation(organism.models["chat"], r):
            texts = organism.complete("chat", prompts)
        found[name] = {
            "refused": rate([refused(t) for t in texts]),
            "degenerate": rate(organism.degenerate(texts)),
        }
    return found


def induce(
    organism: Organism, layer: int, directions: dict[str, torch.Tensor], prompts: list[str]
) -> dict[str, dict[str, float]]:
    """Refusals of harmless prompts after adding each direction."""
    found = {}
    for name, r in directions.items():
        with addition(organism.models["chat"], layer, r):
            texts = organism.complete("chat", prompts)
        found[name] = {
            "refused": rate([refused(t) for t in texts]),
            "degenerate": rate(organism.degenerate(texts)),
        }
    return found


def refusal(organism: Organism, layer: int, draws: int = 5) -> dict[str, Any]:
    """The direction itself: no edit, ablated, added, and random controls."""
    harmful, harmless = organism.prompts("harmful_test"), organism.prompts("harmless_test")
    r = organism.direction("chat", layer)
    random = {f"random_{i}": v for i, v in enumerate(random_like(r, draws))}
    out: dict[str, Any] = {"norm": float(r.norm()), "n": len(harmful)}
    for kind, prompts in (("harmful", harmful), ("harmless", harmless)):
        texts = organism.complete("chat", prompts)
        out[f"{kind}_none"] = {
            "refused": rate([refused(t) for t in texts]),
            "degenerate": rate(organism.degenerate(texts)),
        }
    out["base_refuses"] = rate([refused(t) for t in organism.complete("base", harmful)])
    out["bypass"] = bypass(organism, {"refusal": r, **random}, harmful)
    out["induce"] = induce(organism, layer, {"refusal": r, **random}, harmless)
    return out


def asymmetry(organism: Organism, layer: int, sae: Any, seed: int = 0) -> dict[str, Any]:
    """Refusals left after ablating the direction as rebuilt from k latents, per ranking."""
    prompts = organism.prompts("harmful_test")
    r = organism.direction("chat", layer)
    rows = sae.W_dec.detach()
    out: dict[str, Any] = {}
    for view in ("chat", "base"):
        d = organism.differences(view, sae, layer)
        order = d.argsort(descending=True)
        positive = int((d > 0).sum())
        out[view] = {"positive": positive, "k": {}}
        for k in SWEEP:
            if k > positive:
                continue
            v = rebuilt(r, rows[order[:k]])
            nmse = float((r - v).pow(2).sum() / r.pow(2).sum())
            entry = {"nmse": nmse, "cosine": float(torch.cosine_similarity(r, v, dim=0))}
            if v.norm() > 0:
                entry |= bypass(organism, {"v": v}, prompts)["v"]
            out[view]["k"][k] = entry
    return out


@torch.no_grad()
def drift(organism: Organism, layer: int, sae: Any) -> dict[str, float]:
    """FVU in the three settings, at the neighbours, and base against chat on plain text."""
    tokenizer = organism.tokenizers["base"]
    web = [tokenizer(row["text"]).input_ids for row in organism.rows("web")][:WEB_DOCUMENTS]
    chat_tokenizer = organism.tokenizers["chat"]
    talks = [
        chat_tokenizer.apply_chat_template(row["messages"])["input_ids"]
        for row in organism.rows("chat")
    ][:WEB_DOCUMENTS]
    x_b, x_c = (organism.tokens(name, web, layer) for name in ("base", "chat"))
    y_b, y_c = (organism.tokens(name, talks, layer) for name in ("base", "chat"))
    through = lambda x: sae.decode(sae.encode(x))
    cosine = torch.cosine_similarity(x_b, x_c, dim=1)
    out = {
        "fvu_base_web": fvu(x_b, through(x_b)),
        "fvu_chat_web": fvu(x_c, through(x_c)),
        "fvu_base_chat": fvu(y_b, through(y_b)),
        "fvu_chat_chat": fvu(y_c, through(y_c)),
        "l0": float((sae.encode(x_b) > 0).float().sum(1).mean()),
        "cosine_mean": float(cosine.mean()),
        "cosine_below_0.9": float((cosine < 0.9).float().mean()),
    }
    moved = cosine < 0.9
    s_b, s_c = (x.double().pow(2).sum(1).mean().sqrt() for x in (x_b, x_c))
    xm, bm = x_c[moved].double(), x_b[moved].double()
    error = ((xm - through(x_c[moved]).double()) / s_c).pow(2).sum()
    out["er"] = float(error / (xm / s_c - bm / s_b).pow(2).sum())
    z_b, z_c = (sae.encode(x[moved]) > 0 for x in (x_b, x_c))
    out["ir"] = float(((z_b & z_c).sum(1) / (z_b | z_c).sum(1)).mean())
    for shift in (-1, 1):
        if 0 <= layer + shift < len(organism.models["base"].model.layers):
            x = organism.tokens("base", web, layer + shift)
            out[f"fvu_neighbour_{layer + shift}"] = fvu(x, through(x))
    last = organism.last("chat", organism.prompts("harmful_test"), layer)
    out["fvu_last_template_token"] = fvu(last, through(last))
    return out


def benchmark(organism: Organism, shots: int = 5) -> dict[str, float]:
    """Base accuracy per domain."""
    return {name: accuracy(organism, name, shots) for name in DOMAIN_NAMES}
