"""Keeps what Neuronpedia answered for good, so that nothing is asked twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from harness.store.cache import FOLDER
from harness.store.lines import Lines
from harness_labels.neuronpedia_pages import Page

_WHOLE = "whole export"
"""What stands in the line for the end of an export; all others are pages."""


def user_folder() -> Path:
    """Where all runs of a person keep labels: in $HARNESS_CACHE, or else in sae-harness in
    $XDG_CACHE_HOME or ~/.cache. There `harness cache` shows, verifies and prunes them."""
    if own := os.environ.get(FOLDER, "").strip():
        return Path(own).expanduser() / "labels"
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".cache") / "sae-harness" / "labels"


class Store:
    """Pages of one SAE by feature: an append-only file in each of some folders.

    All of them are read, and each is given what it has not. A line that was torn by a crash, is of
    another SAE, or is not ours, is passed over: its feature is asked for again. A folder that
    cannot be read or written is left out.
    """

    def __init__(self, folders: Iterable[Path], name: str) -> None:
        self._pages: dict[int, Page] = {}
        self.whole = False
        """Whether the whole export was read: what is not here then has no explanation."""
        self._of = name
        self._in: dict[Path, set[int]] = {}
        for folder in folders:
            file = folder / f"{name}.jsonl"
            found: dict[int, Page] = {}
            for entry in _entries(file, name):
                if entry is None:
                    self.whole = True
                else:
                    found[entry[0]] = entry[1]
            if found:
                with suppress(OSError):
                    os.utime(file)  # what was not used for the longest time goes first
            self._in[file] = set(found)
            self._pages = {**found, **self._pages}

    def __contains__(self, feature: int) -> bool:
        return feature in self._pages

    def __getitem__(self, feature: int) -> Page:
        return self._pages[feature]

    def __len__(self) -> int:
        return len(self._pages)

    def add(self, pages: Mapping[int, Page]) -> None:
        """Remembers pages; in the files when this returns. What is known stays as it is."""
        self._pages = {**pages, **self._pages}
        for file, inside in self._in.items():
            missing = [feature for feature in pages if feature not in inside]
            inside |= set(missing)
            _append(file, [self._line(feature) for feature in missing])

    def complete(self) -> None:
        """Remembers that the whole export was read."""
        self.whole = True
        for file in self._in:
            _append(file, [{"of": self._of, "end": _WHOLE}])

    def _line(self, feature: int) -> dict[str, Any]:
        page = self._pages[feature]
        explanations = [dict(one) for one in page.explanations]
        contexts = [dict(one) for one in page.contexts]
        return {
            "of": self._of,
            "feature": feature,
            "explanations": explanations,
            "contexts": contexts,
        }


def _append(file: Path, values: list[Any]) -> None:
    # A read-only home is no reason to stop: the run's folder has it.
    with suppress(OSError), closing(Lines(file)) as lines:
        lines.add(*values)


def _entries(file: Path, name: str) -> Iterator[tuple[int, Page] | None]:
    with suppress(OSError):
        yield from Lines(file).entries(partial(_entry, name))


def _entry(name: str, line: Any) -> tuple[int, Page] | None:
    """A feature and its page, or None for the end of an export.

    Raises ValueError, TypeError or KeyError where the line is not ours, or is of another SAE.
    Version 0.1 did not write which SAE a line is of; what it kept is still used.
    """
    if line == _WHOLE:
        return None
    if line.get("of", name) != name:
        raise ValueError("labels of another SAE")
    if line.get("end") == _WHOLE:
        return None
    feature = line["feature"]
    explanations = tuple(one for one in line["explanations"] if _strings(one))
    page = Page(explanations, tuple(dict(one) for one in line["contexts"]))
    if not isinstance(feature, int):
        raise TypeError("a feature is a number")
    return feature, page


def _strings(one: object) -> bool:
    return isinstance(one, dict) and "text" in one and all(isinstance(v, str) for v in one.values())
