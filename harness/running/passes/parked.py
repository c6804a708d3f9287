"""Shards that were read before one that comes earlier in the data: kept until their turn comes."""

from __future__ import annotations

from harness.running.passes.resume import DocumentsRead
from harness.running.passes.shards import Shard
from harness.store.keys import key_of
from harness.store.states import PassStates, Saved, States


class Parked:
    """States of single shards beside the saved states of a pass, each in files of its own.

    With several workers, shards are done in an order of their own, and are put together in that of
    the data. What waits for its turn is lost by no crash: a rerun finds it here.
    """

    def __init__(self, store: PassStates | None) -> None:
        self._store = store
        self._left = store is not None and any(store.beside("shard-*"))
        """Whether an earlier run has left some. Only then are the documents of a shard hashed."""

    def put(self, shard: Shard, states: States) -> None:
        """Keeps what a shard came to."""
        if self._store is not None:
            digest = _digest(shard)
            self._place(self._store, digest).save(Saved(len(shard), digest, states))

    def take(self, shard: Shard) -> States | None:
        """What this very shard came to in an earlier run, where that was kept."""
        if self._store is None or not self._left:
            return None
        saved = self._place(self._store, _digest(shard)).load()
        return None if saved is None else saved.states

    def empty(self) -> None:
        """Removes all of them, once everything is put together."""
        if self._store is not None:
            for file in self._store.beside("shard-*"):
                file.unlink(missing_ok=True)

    def _place(self, store: PassStates, digest: str) -> PassStates:
        base = store.base.with_name(f"{store.base.name}.shard-{digest[:24]}")
        return PassStates(base, key_of(store.key, digest))


def _digest(shard: Shard) -> str:
    read = DocumentsRead()
    read.add(shard)
    return read.digest
