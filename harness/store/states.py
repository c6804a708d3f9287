"""What the jobs of a pass have counted, kept on disk, so that a rerun continues there.

Two files are written in turn, so that one of them is whole whenever a crash comes. Each holds the
states, how many documents they have seen with a hash of these, the key of what read them, and a
checksum. A file with another key, or with anything that does not fit its checksum, is not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import numpy as np

from harness.contract import State
from harness.store.files import whole
from harness.store.notes import CHANGED, dropped

States = list[dict[str, State]]
"""For each job, its states by category; the category of data without any is the empty string."""


@dataclass(frozen=True)
class Saved:
    """The states of all jobs after some documents, with a hash of these in order."""

    documents: int
    digest: str
    states: States


class PassStates:
    """The two files of one rendering of one pass: `<base>.0` and `<base>.1`.

    `key` is a hash of everything that the states depend on, beside the documents.
    """

    def __init__(self, base: Path, key: str) -> None:
        self.base = base
        self.key = key
        self._files = (base.with_name(f"{base.name}.0"), base.with_name(f"{base.name}.1"))
        self._next = 0

    def load(self) -> Saved | None:
        """The states after the most documents, of the files that are whole and have this key."""
        found = [(saved, i) for i, file in enumerate(self._files) if (saved := self._fitting(file))]
        if not found:
            return None
        newest, index = max(found, key=lambda one: one[0].documents)
        self._next = 1 - index
        return newest

    def save(self, saved: Saved) -> None:
        """Writes the states over the older file; they are on disk when this returns."""
        from safetensors.numpy import save_file

        arrays: dict[str, np.ndarray] = {}
        names: list[list[str]] = []
        for job, by_category in enumerate(saved.states):
            for category, state in by_category.items():
                for name, array in state.items():
                    arrays[str(len(names))] = np.asarray(array, order="C")
                    names.append([str(job), category, name])
        about = {
            "key": self.key,
            "documents": str(saved.documents),
            "digest": saved.digest,
            "jobs": str(len(saved.states)),
            "names": json.dumps(names),
        }
        file = self._files[self._next]
        with whole(file) as partial:
            save_file(arrays, partial, {**about, "checksum": _checksum(arrays, about)})
        self._next = 1 - self._next

    def forget(self, why: str = "") -> None:
        """Removes both files; with a reason, this is noted."""
        files = [file for file in self._files if file.exists()]
        if why and files:
            dropped(self._files[0].with_suffix(""), len(files), "remembered state", why)
        for file in files:
            file.unlink()

    def beside(self, pattern: str) -> list[Path]:
        """The files whose names begin with that of these two, a dot, and a pattern."""
        return sorted(self.base.parent.glob(f"{escape(self.base.name)}.{pattern}"))

    def _fitting(self, file: Path) -> Saved | None:
        """What a file has, or None and a note of why it is not used."""
        if not file.exists():
            return None
        saved = self._read(file)
        if saved is None:
            dropped(file, 1, "remembered state", self._why(file))
        return saved

    def _why(self, file: Path) -> str:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "np") as content:
                about = content.metadata() or {}
        except (OSError, SafetensorError, ValueError):
            about = {}
        other = "key" in about and about["key"] != self.key
        return "made with other models, SAEs, prompts or options" if other else CHANGED

    def _read(self, file: Path) -> Saved | None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "np") as content:
                about: dict[str, str] = content.metadata() or {}
                checksum = about.pop("checksum", None)
                if about.get("key") != self.key:
                    return None
                names = json.loads(about["names"])
                arrays = {str(i): content.get_tensor(str(i)) for i in range(len(names))}
            if _checksum(arrays, about) != checksum:
                return None
            states: States = [{} for _ in range(int(about["jobs"]))]
            for i, (job, category, name) in enumerate(names):
                states[int(job)].setdefault(category, {})[name] = arrays[str(i)]
            return Saved(int(about["documents"]), about["digest"], states)
        except (
            OSError,
            SafetensorError,
            ValueError,
            LookupError,
            TypeError,
            OverflowError,
            RecursionError,
        ):
            return None  # cut off, or not ours: these documents are read again


def _checksum(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class Digest:
    """A hash of documents in order, of which the digits are its text (`str`)."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, document: str) -> None:
        """Adds the next document."""
        self._hash.update(f"{document}\n".encode())

    def __str__(self) -> str:
        return self._hash.hexdigest()
