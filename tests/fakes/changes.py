"""Changes that were planted into random activations, and dictionaries of known rows."""

from __future__ import annotations

import torch

from harness.contract import Inputs, Latents, SaeFacts, Site
from harness.testing.support.batches import array_batch

SITE = Site("resid_post", 1)


class Dictionary:
    """An SAE with given rows: each token is read on the `k` rows it looks like most, by product."""

    notes: tuple[str, ...] = ()
    fingerprint = "dictionary"

    def __init__(self, rows, k=None, bias=0.0):
        self.decoder = rows
        self.k = k
        self.bias = bias
        self.facts = SaeFacts("dictionary", rows.shape[1], len(rows), SITE)

    def encode(self, x):
        a = (x - self.bias) @ self.decoder.T
        if self.k is not None:
            kept = a.topk(self.k, dim=1)
            a = torch.zeros_like(a).scatter(1, kept.indices, kept.values)
        return Latents.from_dense(a.relu())

    def reconstruct(self, latents):
        return latents.dense() @ self.decoder + self.bias

    def rows(self, indices):
        return self.decoder[indices]


def unit_rows(count, d, seed=0):
    rows = torch.randn(count, d, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=1, keepdim=True)


def pair_of(left, change, sae, per_document=10, selected=None):
    """A batch whose right side is the left one plus a change."""
    owner = [i // per_document for i in range(len(left))]
    names = [f"document {i}" for i in range(owner[-1] + 1)]
    return array_batch(
        owner, {SITE: left}, {SITE: left + change}, saes={"sae": sae},
        documents=names, selected=selected,
    )  # fmt: skip


def given(sae, **more):
    return Inputs(saes={"sae": sae}, sae_sites={"sae": SITE}, **more)


def finished(statistic, batch, inputs):
    """What a statistic makes of one batch."""
    return statistic.finish(statistic.update(statistic.start(inputs), batch), inputs)


def numbers(outcome, id, **axes):
    """The values of the records with a name and these axes, in order."""
    return [
        record.value
        for record in outcome.records
        if record.id.partition("@")[0] == id
        and all(record.axes.get(key) == value for key, value in axes.items())
    ]
