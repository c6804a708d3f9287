"""Where an interrupted pass continues: after the documents that its saved states have seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.running.passes.shards import Shard
from harness.running.progress import Tick
from harness.store.states import Digest, PassStates, Saved, States


class DocumentsRead:
    """How many documents of a rendering were read, and a hash of their prompts in order."""

    def __init__(self) -> None:
        self.count = 0
        self._digest = Digest()

    @property
    def digest(self) -> str:
        """The hash, as hexadecimal digits."""
        return str(self._digest)

    def add(self, shard: Shard) -> None:
        """Counts the documents of the next shard."""
        for one in shard:
            self._digest.add(f"{one.left.example} {one.left.ids} {one.category}")
        for one in shard:
            if one.right is not None:
                self._digest.add(f"{one.right.ids}")
        self.count += len(shard)

    def saved(self, states: States) -> Saved:
        """The states after these documents, as they are saved."""
        return Saved(self.count, self.digest, states)


def resume(
    store: PassStates | None, shards: Callable[[], Iterator[Shard]], tick: Tick
) -> tuple[Iterator[Shard], DocumentsRead, States | None]:
    """The shards that must still be read, what was read before them, and the states after that.

    Saved states count only where the data begin with the very documents that they have seen;
    these are rendered and compared, but no model reads them. Where the data have changed, the
    saved states are removed and everything is read. `shards` begins anew at every call; `tick` is
    told how many documents were passed over.
    """
    saved = store.load() if store else None
    if store is None or saved is None:
        return shards(), DocumentsRead(), None
    rest, read = shards(), DocumentsRead()
    for shard in rest:
        read.add(shard)
        tick(len(shard))
        if read.count >= saved.documents:
            break
    if (read.count, read.digest) == (saved.documents, saved.digest):
        return rest, read, saved.states
    store.forget()
    return shards(), DocumentsRead(), None
