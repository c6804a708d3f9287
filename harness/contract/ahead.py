"""What a backend or an SAE format may offer beside `load`: reading its files before that.

One that does not is asked to load when its model is needed, as ever.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class ReadsAhead(Protocol):
    """A backend or SAE format whose files can be read before it loads them."""

    def read_ahead(self) -> None:
        """Does of `load` what takes long and can be remembered: reads files and hashes them.

        Called in a thread of its own while other models compute, so it changes nothing that they
        see: no default dtype, no warnings' filters, no device's memory. It asks no network, and
        keeps less in memory than the loaded object. Whatever it raises is left to `load`, which is
        called all the same, perhaps at the same time.
        """
