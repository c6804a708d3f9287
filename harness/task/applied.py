"""What of a person's configuration file has an effect on a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Applied:
    """A configuration file, and which of its keys decide something of a run."""

    file: str = ""
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By key, in the order of the file: what got it, such as `models.base`; empty for what is of
    the run as a whole."""

    def __bool__(self) -> bool:
        return bool(self.keys)

    def plain(self) -> dict[str, object]:
        """Plain values for the provenance of the results."""
        return {"path": self.file, "keys": {key: list(of) for key, of in self.keys.items()}}

    def __str__(self) -> str:
        """In words: `FILE gives device (models.base, models.chat), executor`."""
        keys = [f"{key} ({', '.join(of)})" if of else key for key, of in self.keys.items()]
        return f"{self.file} gives {', '.join(keys)}"
