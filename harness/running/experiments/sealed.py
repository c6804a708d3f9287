"""The folder of a benchmark's answers, with the receipts of the edits under which they were given.

A receipt belongs to the answers that were written while it was made: it holds the hashes of their
files. Where one of these was changed since, or is gone, nothing in the folder is used. What no
receipt has, because a crash came in between, is removed: it may be half of an answer, and what
edits did for it is lost. So it is asked for again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.contract import Receipt
from harness.running.experiments.journal import receipt_from
from harness.store.files import whole
from harness.store.lines import Lines
from harness.store.notes import dropped

_RECEIPTS = "receipts.jsonl"
Files = Mapping[str, tuple[int, str]]
"""By the name of a file: how many bytes it had, and their hash. More may have come since."""


@dataclass(frozen=True)
class _Entry:
    receipt: Receipt
    files: Files
    run: int
    """Which of the runs of this folder made it: of one run, its last receipt counts."""


class Sealed:
    """The receipts of one folder. Making it reads them, and empties a folder that does not fit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with closing(Lines(folder / _RECEIPTS)) as lines:
            read = list(lines.entries(_entry))
        # A receipt says what its run did until then, so a later one says all of it again.
        self._entries = list({entry.run: entry for entry in read}.values())
        self._run = 1 + max((entry.run for entry in read), default=0)
        if not self._fit(self._entries):
            dropped(
                folder / _RECEIPTS,
                len(self._entries),
                "remembered receipt",
                "made with other answers",
            )
            self.empty()
        self._remove_unsealed()
        self._before = _hashes(folder)

    @property
    def receipts(self) -> list[Receipt]:
        """The receipts of all runs that wrote the answers."""
        return [entry.receipt for entry in self._entries]

    def add(self, receipt: Receipt) -> bool:
        """Adds the receipt of the run that wrote what is new here; it is on disk afterwards.

        May be called again with what was done since: of each run, the last receipt counts. One that
        did not fire is of a model without edits, or of a run that found all answers.
        False where answers of earlier receipts were replaced: those no longer say what was done.
        """
        earlier = [entry for entry in self._entries if entry.run != self._run]
        after = _hashes(self._folder)
        if receipt.fired:
            if not self._fit(earlier):
                return False
            new = {name: its for name, its in after.items() if self._before.get(name) != its}
            self._entries = [*earlier, _Entry(receipt, new, self._run)]
            with closing(Lines(self._folder / _RECEIPTS)) as lines:
                lines.add(asdict(self._entries[-1]))
            return True
        # What was written anew beside answers is none: a summary with a date.
        now = [
            replace(one, files={name: after[name] for name in one.files if name in after})
            for one in earlier
        ]
        known = {name for one in now for name in one.files}
        new = {name: its for name, its in after.items() if name not in known}
        now += [_Entry(receipt, new, self._run)] if new else []
        if now != self._entries:
            self._entries = now
            with whole(self._folder / _RECEIPTS) as partial, closing(Lines(partial)) as lines:
                lines.add(*map(asdict, now))
        return True

    def empty(self) -> None:
        """Removes all that is in the folder."""
        for path in self._folder.iterdir():
            # A link is removed, never what it points to.
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self._entries, self._before = [], {}

    def _remove_unsealed(self) -> None:
        """Removes what no receipt has: whole files, and what came to a file after its receipt."""
        sealed: dict[str, int] = {}
        for entry in self._entries:
            for name, (size, _) in entry.files.items():
                sealed[name] = max(size, sealed.get(name, 0))
        for file in [file for file in self._folder.rglob("*") if file.is_file()]:
            name = str(file.relative_to(self._folder))
            if name not in sealed and name != _RECEIPTS:
                file.unlink()
            elif name in sealed and file.stat().st_size > sealed[name]:
                os.truncate(file, sealed[name])

    def _fit(self, entries: Sequence[_Entry]) -> bool:
        """Whether every file of every one of these receipts begins with what it had."""
        return all(
            _hash(self._folder / name, size) == digest
            for entry in entries
            for name, (size, digest) in entry.files.items()
        )


def _entry(value: Any) -> _Entry:
    files = {str(name): (int(size), str(its)) for name, (size, its) in value["files"].items()}
    return _Entry(receipt_from(value["receipt"]), files, int(value["run"]))


def _hashes(folder: Path) -> dict[str, tuple[int, str]]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {
        str(file.relative_to(folder)): (size, _hash(file, size) or "")
        for file in files
        if file != folder / _RECEIPTS
        for size in [file.stat().st_size]
    }


def _hash(file: Path, size: int) -> str | None:
    """The hash of the first bytes of a file; None where it has fewer."""
    try:
        with file.open("rb") as content:
            digest, left = hashlib.sha256(), size
            while left and (some := content.read(min(left, 2**20))):
                digest.update(some)
                left -= len(some)
    except OSError:
        return None
    return None if left else digest.hexdigest()
