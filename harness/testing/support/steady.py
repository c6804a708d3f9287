"""Laws of a model that is used over and over: the same again, and nothing left behind."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.contract import Arm, Model, Sampling, Site, Tokens
from harness.testing.support.edits import same_bits
from harness.testing.support.hooks import hooks_of
from harness.testing.support.laws import law, untried

_AGAIN = 3
"""How often what must be the same is read again."""
_LEFT = "no hook is left on the model"


def steady_laws(model: Model, tokens: Sequence[Tokens], site: Site) -> None:
    """Reading the same again gives the same bits; after reading, writing and editing, the modules
    of the model have as many hooks as before."""
    before = hooks_of(model)
    first = model.activations(tokens, [site])
    for _ in range(_AGAIN):
        again = model.activations(tokens, [site])
        for row, (start, one) in enumerate(zip(first.start, tokens, strict=True)):
            kept = slice(start, start + len(one.ids))
            same = same_bits(first.sites[site][row, kept], again.sites[site][row, kept])
            law(same, "reading is deterministic", f"{site} of {one.example} read again differs")
    if before is None:
        untried("it holds no torch module", _LEFT)
        return
    offered = model.facts.capabilities
    model.activations(tokens, [site], logits="logits" in offered)
    if "generation" in offered:
        model.generate(tokens, Sampling(max_new_tokens=2))
    if "edits" in offered:
        with torch.no_grad(), model.edited([Arm("none")]):
            model.activations(tokens, [site])
    now = hooks_of(model)
    law(now == before, _LEFT, f"{before} were on its modules before, {now} are afterwards")
