"""Which code in files beside a task may run: what the command allows, and what was remembered.

Nothing that a task says counts. A person trusts a file by `--trust-local-code`; its sha256 is then
remembered in `$XDG_STATE_HOME/sae-harness/trusted.jsonl` (`~/.local/state/…` without that
variable), so that the same content runs without the switch until it changes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.lines import Lines

if TYPE_CHECKING:
    from harness.registry.local_code import LocalCode

SWITCH = "--trust-local-code"


def memory_file() -> Path | None:
    """Where trust is remembered; None where the user has no folder for it."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        # What is no absolute path, the specification says, is as if it were not set.
        folder = state if state.is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return folder / "sae-harness" / "trusted.jsonl"


@dataclass(frozen=True)
class Trust:
    """What may run. Without arguments: what was remembered, and nothing else."""

    allowed: bool = False
    """Whether the person who gave the command allows all files that its task names."""
    memory: Path | None = field(default_factory=memory_file)
    """Where it is remembered; None remembers nothing."""

    def refused(self, code: LocalCode) -> str:
        """Why a file may not run, and what to do; empty where it may.

        What the switch allows is remembered. Where that cannot be written, nobody is told: the
        next command asks again.
        """
        remembered = self._remembered()
        if code.sha256 in (entry["sha256"] for entry in remembered):
            return ""
        if self.allowed:
            self._remember(code)
            return ""
        known = any(entry["path"] == str(code.file) for entry in remembered)
        changed = " It has changed since it was trusted." if known else ""
        return (
            f"{code.file.name} is code that wants to run here, and nobody has allowed it."
            f"{changed} {code.sheet()} Read it: it can do anything that you can. If you trust it, "
            f"add {SWITCH} to the command; that is remembered until the file changes."
        )

    def _remembered(self) -> list[dict[str, Any]]:
        """The entries of the memory; none where somebody else could have written them."""
        if self.memory is None:
            return []
        try:
            about = self.memory.stat()
            if about.st_uid != os.geteuid() or about.st_mode & 0o022:
                return []
            entries = list(Lines(self.memory).read())
        except OSError:
            return []
        return [one for one in entries if {"sha256", "path"} <= one.keys()]

    def _remember(self, code: LocalCode) -> None:
        if self.memory is None:
            return
        with suppress(OSError):
            self.memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.memory.touch(mode=0o600)
            self.memory.chmod(0o600)
            lines = Lines(self.memory)
            lines.add({"sha256": code.sha256, "path": str(code.file)})
            lines.close()


@dataclass(frozen=True)
class TrustThese(Trust):
    """Of a worker of a run: what the head of the run has run already may run here, too."""

    memory: Path | None = None
    hashes: frozenset[str] = frozenset()
    """The sha256 of each of its files."""

    def refused(self, code: LocalCode) -> str:
        """As above; nothing is remembered."""
        if code.sha256 in self.hashes:
            return ""
        return (
            f"{code.file.name} is not the file of this name that the head of the run has run. All "
            "processes of a run need the same. Copy it."
        )
