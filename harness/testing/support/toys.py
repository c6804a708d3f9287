"""A small SAE and batches of random activations, to try reductions and edits on without a model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Batch, Latents, Sae, SaeFacts, Site
from harness.testing.support.batches import array_batch

SITE = Site("resid_post", 1)


class SmallSae:
    """`z = a` where `a = (x − b) W > 0.5`, `x̂ = z Wᵀ + b`, with random W and b.

    On Gaussian activations about a third of the latents of a token are active; of `x = b` none is.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, d_in: int, d_sae: int, site: Site, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.facts = SaeFacts("small", d_in, d_sae, site)
        self.fingerprint = f"small {d_in} {d_sae} {site} {seed}"
        self.weights = torch.randn(d_in, d_sae, generator=generator) / d_in**0.5
        self.bias = torch.randn(d_in, generator=generator)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Its latents."""
        a = (x - self.bias) @ self.weights
        return Latents.from_dense(torch.where(a > 0.5, a, 0))

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_in"]:
        """Its reconstruction."""
        out: Tensor = latents.dense() @ self.weights.T + self.bias
        return out

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_in"]:
        """Its decoder rows."""
        rows: Tensor = self.weights.T[indices]
        return rows


def small_sae(d_in: int = 8, d_sae: int = 32, site: Site = SITE, *, seed: int = 0) -> Sae:
    """A sparse autoencoder with random weights, at `resid_post.1` where nothing else is said."""
    return SmallSae(d_in, d_sae, site, seed)


def small_batch(
    seed: int = 0,
    *,
    documents: int = 5,
    width: int = 8,
    site: Site = SITE,
    saes: Mapping[str, Sae] | None = None,
    paired: bool = True,
    logits: int = 0,
) -> Batch:
    """Random activations of some documents of different lengths, on two sides that differ a little.

    Of 5 documents the first has 2 tokens, the last one 10; every third token is measured and not
    selected. Without `saes` there is one, `small_sae(width, site=site)`, under the name `sae`.
    `paired = False` leaves out the right side; `logits` gives both sides logits over so many
    tokens. Batches of different seeds have documents of their own.
    """
    generator = torch.Generator().manual_seed(seed)
    document = [one for one in range(documents) for _ in range(2 * one + 2)]
    left = torch.randn(len(document), width, generator=generator)
    right = left + 0.5 * torch.randn(len(document), width, generator=generator)
    written = [torch.randn(len(document), logits, generator=generator) for _ in range(2)]
    ids = torch.randint(1, 1000, (len(document),), generator=generator).tolist()
    return array_batch(
        document,
        {site: left},
        {site: right} if paired else None,
        saes={"sae": small_sae(width, site=site)} if saes is None else saes,
        selected=[token for token in range(len(document)) if token % 3 != 2],
        documents=[f"{seed}-{number}" for number in range(documents)],
        ids=ids,
        logits=tuple(written) if logits else (),
    )
