"""Some of the texts of a set, one vector each: those whose hash is lowest, so never others."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from jaxtyping import Float64, Int64

from harness.contract import Batch, Site, State
from harness_directions.concepts import moments

_Kept = tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, "n d"]]


def update(state: State, batch: Batch, site: Site, most: int) -> State:
    """The state with the batch's documents: of each the mean of its selected tokens.

    A document that comes again, word for word, has the same hash and counts once. Of all documents
    the `most` with the lowest hashes stay, whatever the order in which they are read.
    """
    if not len(batch.selected):
        return state
    document, mean = document_means(batch, site)
    keys = np.array([key_of(batch.documents[i]) for i in document], np.int64)
    return merged(state, _named(batch.stream, keys, mean, most), most)


def document_means(
    batch: Batch, site: Site
) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, "n d"]]:
    """Which documents of the batch have selected tokens, and the mean of each one's."""
    x = moments.chosen(batch, site).double()
    owner = batch.document[batch.selected]
    document, place, count = torch.unique(owner, return_inverse=True, return_counts=True)
    total = x.new_zeros(len(document), x.shape[1]).index_add_(0, place.to(x.device), x)
    mean = total.cpu() / count[:, None]
    return document.numpy(), mean.numpy()


def merged(left: State, right: State, most: int) -> State:
    """The documents of both, each once, the `most` lowest of each set."""
    out = dict(left)
    for name in {key.rpartition("_")[0] for key in right}:
        mine, other = of(left, name), of(right, name)
        assert other is not None
        keys, vectors = other
        if mine is not None:
            keys, vectors = np.concatenate([mine[0], keys]), np.concatenate([mine[1], vectors])
        out.update(_named(name, keys, vectors, most))
    return out


def of(state: State, stream: str) -> _Kept | None:
    """The hashes of a set's documents, rising, and their vectors; None where it has none."""
    if f"{stream}_keys" not in state:
        return None
    return state[f"{stream}_keys"], state[f"{stream}_vectors"]


def key_of(document: str) -> int:
    """63 bits of the hash of a document's id: the same in every process and version."""
    digest = hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def held_out(keys: Int64[np.ndarray, " n"], share: float) -> np.ndarray:
    """Which documents are set aside: about this share, by another hash, in every set alike."""
    chance = [
        int.from_bytes(
            hashlib.sha256(b"held out" + int(key).to_bytes(8, "big")).digest()[:8], "big"
        )
        for key in keys
    ]
    return np.array(chance, np.float64) / 2.0**64 < share


def _named(
    stream: str, keys: Int64[np.ndarray, " n"], vectors: Float64[np.ndarray, "n d"], most: int
) -> State:
    lowest, first = np.unique(keys, return_index=True)
    kept = first[:most]
    return {f"{stream}_keys": lowest[:most], f"{stream}_vectors": vectors[kept]}
