"""Where an interrupted pass continues: after the documents that its saved states have seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from harness.running.passes.shards import Document, Shard
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
            sides = [(side.ids, side.span) for side in (one.left, one.right) if side is not None]
            self._digest.add(f"{one.left.example} {sides} {one.category!r}")
        self.count += len(shard)

    def saved(self, states: States) -> Saved:
        """The states after these documents, as they are saved."""
        return Saved(self.count, self.digest, states)


def resume(
    store: PassStates | None, documents: Callable[[], Iterator[Document]], tick: Tick
) -> tuple[Iterator[Document], DocumentsRead, States | None]:
    """The documents that must still be read, what was read before them, and the states after that.

    Saved states count only where the data begin with the very documents that they have seen,
    however these were cut into shards; they are rendered and compared, but no model reads them.
    Where the data have changed, the saved states are removed, which is noted, and everything is
    read. `documents` begins anew at every call; `tick` is told how many were passed over.
    """
    saved = store.load() if store else None
    if store is None or saved is None:
        return documents(), DocumentsRead(), None
    rest, read = documents(), DocumentsRead()
    for document in islice(rest, saved.documents):
        read.add([document])
        tick(1)
    if (read.count, read.digest) == (saved.documents, saved.digest):
        return rest, read, saved.states
    store.forget("made with other data")
    return documents(), DocumentsRead(), None
