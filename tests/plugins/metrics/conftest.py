"""Two sides of activations, an SAE of small width, and the batches they make."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.contract import SaeFacts
from harness.contract.latents import Latents
from harness.contract.sites import parse_site
from harness.testing.support.batches import array_batch

SITE = parse_site("resid_post.1")
OTHER = parse_site("resid_post.0")


class SmallSae:
    """An SAE in six lines: ReLU of a product, over a threshold that leaves some tokens empty."""

    def __init__(self, d=6, width=20, threshold=0.8):
        generator = torch.Generator().manual_seed(3)
        self.facts = SaeFacts("small", d, width, SITE)
        self.fingerprint = "small"
        self.notes: tuple[str, ...] = ()
        self.w = torch.randn(d, width, generator=generator) / d**0.5
        self.bias = torch.randn(d, generator=generator)
        self.threshold = threshold
        self.encoded = 0

    def encode(self, x):
        self.encoded += 1
        a = (x - self.bias) @ self.w
        return Latents.from_dense(torch.where(a > self.threshold, a, 0))

    def reconstruct(self, latents):
        return latents.dense() @ self.w.T + self.bias

    def rows(self, indices):
        return self.w.T[indices]


@pytest.fixture
def make():
    """`make(tokens=40, documents=5, zeros=True, shift=0.0)`: a paired batch and its SAE."""

    def batch(tokens=40, documents=5, *, zeros=False, shift=0.0, filtered=False, seed=0):
        generator = torch.Generator().manual_seed(seed)
        sae = SmallSae()
        left, right = {}, {}
        for site in (SITE, OTHER):
            left[site] = torch.randn(tokens, 6, generator=generator) + shift
            right[site] = left[site] + 0.5 * torch.randn(tokens, 6, generator=generator)
        if zeros:
            left[SITE][3] = 0
            right[SITE][5] = 0
            left[SITE][7] = sae.bias  # of no latent at all
        document = torch.randint(0, documents, (tokens,), generator=generator)
        document[:documents] = torch.arange(documents)
        selected = list(range(0, tokens, 3)) if filtered else None
        found = array_batch(
            document.tolist(), left, right, saes={"sae": sae}, selected=selected,
            documents=[f"document {i}" for i in range(documents)],
        )  # fmt: skip
        return SimpleNamespace(batch=found, sae=sae, site=SITE, other=OTHER)

    return batch


@pytest.fixture(params=["plain", "zeros", "shifted", "filtered", "two documents", "one token each"])
def case(request, make):
    return {
        "plain": lambda: make(),
        "zeros": lambda: make(zeros=True),
        "shifted": lambda: make(shift=300.0),
        "filtered": lambda: make(filtered=True, zeros=True),
        "two documents": lambda: make(documents=2),
        "one token each": lambda: make(tokens=5, documents=5),
    }[request.param]()
