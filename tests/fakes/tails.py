"""Tiny models whose upper layers are known: what follows a path is held against them in loops."""

from __future__ import annotations

import torch

from harness.contract import Activations, Gradients, ModelFacts, Site, Tokens

VOCABULARY, WIDTH, LAYERS = 11, 5, 3
SITE = Site("resid_post", 0)
BOS = 1


class TinyModel:
    """Token embeddings, then blocks `h + f(running mean of h · W)`, then a head; f is tanh, or
    nothing where the model is `straight`. Causal, so no token sees a later one."""

    native = None

    def __init__(
        self, seed, *, like=None, dtype="float64", padding="right", straight=False, leak=0
    ):
        random = torch.Generator().manual_seed(seed)
        self.dtype, self.device, self.fingerprint = dtype, "cpu", f"tiny {seed}"
        self.masked_ids = frozenset({BOS})
        offers = frozenset({"activations", "logits", "gradients", "tokens"})
        self.facts = ModelFacts("Tiny", LAYERS, WIDTH, None, VOCABULARY, capabilities=offers)
        self.padding, self.straight = padding, straight
        kind = getattr(torch, dtype)

        def drawn(*shape):
            return torch.randn(*shape, generator=random, dtype=torch.float64).to(kind)

        self.embeddings = drawn(VOCABULARY, WIDTH)
        self.blocks = [drawn(WIDTH, WIDTH) for _ in range(LAYERS)]
        self.head = drawn(WIDTH, VOCABULARY)
        self.calls = 0

    def block(self, layer, h):
        count = torch.arange(1, len(h) + 1, dtype=h.dtype)[:, None]
        mixed = h.cumsum(0) / count @ self.blocks[layer]
        return h + (mixed if self.straight else mixed.tanh())

    def below(self, ids):
        """What the model has at the site, token by token."""
        return self.block(0, self.embeddings[torch.tensor(ids)])

    def above(self, h):
        """Logits from what stands at the site."""
        for layer in range(1, LAYERS):
            h = self.block(layer, h)
        return h @ self.head

    def encode(self, text, *, special=True):
        return [ord(char) % (VOCABULARY - 2) + 2 for char in text]

    def decode(self, ids):
        return "".join(map(str, ids))

    def starts(self, tokens):
        longest = max(len(one.ids) for one in tokens)
        return longest, [longest - len(t.ids) if self.padding == "left" else 0 for t in tokens]

    def activations(self, tokens, sites, *, logits=False):
        longest, start = self.starts(tokens)
        out = torch.full((len(tokens), longest, WIDTH), torch.nan, dtype=self.embeddings.dtype)
        for row, one in enumerate(tokens):
            out[row, start[row] : start[row] + len(one.ids)] = self.below(one.ids)
        assert set(sites) <= {SITE}
        return Activations({site: out for site in sites}, tuple(start))

    def gradients(self, tokens, scalar, sites, *, put=None):
        self.calls += 1
        longest, start = self.starts(tokens)
        kind = self.embeddings.dtype
        found = torch.zeros(len(tokens), longest, WIDTH, dtype=kind)
        values = []
        for row, one in enumerate(tokens):
            here = slice(start[row], start[row] + len(one.ids))
            h = put[SITE][row, here].to(kind) if put else self.below(one.ids)
            h = h.detach().clone().requires_grad_(bool(sites))
            number = scalar(self.above(h), one)
            values.append(float(number.detach()))
            if sites and number.requires_grad:
                (found[row, here],) = torch.autograd.grad(number, h)
        return Gradients(
            torch.tensor(values, dtype=torch.float64),
            {site: found for site in sites},
            {},
            tuple(start),
        )


def prompts(*lengths, seed=0):
    random = torch.Generator().manual_seed(seed)
    found = []
    for number, length in enumerate(lengths):
        ids = (BOS, *torch.randint(2, VOCABULARY, (length,), generator=random).tolist())
        answered = (len(ids) - 2, len(ids))
        found.append(Tokens(f"{seed}-{number}", ids, (0, len(ids)), "", answered=answered))
    return found
