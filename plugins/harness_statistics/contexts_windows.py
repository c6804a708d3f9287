"""The text around a token of a batch, and how active a feature is on it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from harness.contract import Batch
from harness.contract.latents import Latents

ABSENT = -1
"""The id of a place of a window that holds no measured token of the document."""


def windows(
    batch: Batch,
    latents: Latents,
    token: Int[np.ndarray, " n"],
    feature: Int[np.ndarray, " n"],
    before: int,
    after: int,
) -> tuple[Int[np.ndarray, "n window"], Float[np.ndarray, "n window"]]:
    """Ids around some selected tokens, and the latent of a feature on each of them.

    `token` is the row of `latents`, `feature` what is looked up there. A window has the places
    −before … after around its token; `ABSENT` and 0 where the document has no measured token.
    """
    row, ids = _around(batch, token, before, after)
    selected = np.full(len(batch.document) + 1, -1)  # the last one stands for absent tokens
    selected[batch.selected.cpu().numpy()] = np.arange(len(batch.selected))
    return ids, _values(latents, selected[row], feature)


def _around(
    batch: Batch, token: Int[np.ndarray, " n"], before: int, after: int
) -> tuple[Int[np.ndarray, "n window"], Int[np.ndarray, "n window"]]:
    """For each place of each window the measured token there (−1 for none), and its id."""
    document, position = batch.document.cpu().numpy(), batch.position.cpu().numpy()
    width = int(position.max(initial=0)) + before + after + 1  # no window reaches another document
    key = document * width + position + before
    order = np.argsort(key, kind="stable")
    centre = batch.selected.cpu().numpy()[token]
    wanted = key[centre][:, None] + np.arange(-before, after + 1)
    at = np.minimum(np.searchsorted(key[order], wanted), len(order) - 1)
    row = np.where(key[order][at] == wanted, order[at], -1)
    return row, np.where(row >= 0, batch.ids.cpu().numpy()[row], ABSENT)


def _values(
    latents: Latents, row: Int[np.ndarray, "n window"], feature: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n window"]:
    """The latents of features on rows, 0 on row −1."""
    index = latents.indices.cpu().numpy()
    asked = np.zeros(latents.d_sae, dtype=bool)
    asked[feature] = True
    kept = asked[index]
    key = latents.token.cpu().numpy()[kept] * latents.d_sae + index[kept]
    order = np.argsort(key, kind="stable")
    value = latents.values.detach().cpu().double().numpy()[kept][order]
    if not len(order):
        return np.zeros(row.shape)
    wanted = row * latents.d_sae + feature[:, None]
    at = np.minimum(np.searchsorted(key[order], wanted), len(order) - 1)
    return np.where((row >= 0) & (key[order][at] == wanted), value[at], 0.0)
