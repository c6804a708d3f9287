"""Keeps what Neuronpedia said for good, so that nothing is asked twice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness_labels.neuronpedia_pages import Page

_WHOLE = "whole export"


def user_folder() -> Path:
    """Where all runs of a person keep labels: $XDG_CACHE_HOME or ~/.cache, in sae-harness."""
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".cache") / "sae-harness" / "labels"


class Store:
    """Pages of one SAE by feature: an append-only file in each of some folders.

    All of them are read, and each is given what it has not. A line that was torn by a crash, or is
    not ours, is passed over: its feature is asked for again. A folder that cannot be written is
    left out.
    """

    def __init__(self, folders: Iterable[Path], name: str) -> None:
        self._pages: dict[int, Page] = {}
        self.whole = False
        """Whether the whole export was read: what is not here then has no explanation."""
        self._in: dict[Path, set[int]] = {}
        for folder in folders:
            file = folder / f"{name}.jsonl"
            found = [entry for line in _lines(file) if (entry := _entry(line)) is not None]
            self.whole |= None in dict(found)
            pages = {feature: page for feature, page in found if feature is not None}
            self._in[file] = set(pages)
            self._pages = {**pages, **self._pages}

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
            _append(file, [_line(feature, self._pages[feature]) for feature in missing])

    def complete(self) -> None:
        """Remembers that the whole export was read."""
        self.whole = True
        for file in self._in:
            _append(file, [json.dumps(_WHOLE)])


def _append(file: Path, lines: list[str]) -> None:
    if not lines:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab+") as out:
            end = out.seek(0, os.SEEK_END)
            out.seek(max(0, end - 1))
            torn = out.read(1) not in (b"", b"\n")
            out.write(("\n" * torn + "".join(f"{line}\n" for line in lines)).encode())
    except OSError:
        return  # a read-only home is no reason to stop: the run's folder has it


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.split("\n") if line.strip()]


def _line(feature: int, page: Page) -> str:
    explanations = [dict(one) for one in page.explanations]
    contexts = [dict(one) for one in page.contexts]
    entry = {"feature": feature, "explanations": explanations, "contexts": contexts}
    return json.dumps(entry)


def _entry(line: str) -> tuple[int | None, Page] | None:
    """A feature and its page, (None, …) for the mark of a whole export, None if it is not ours."""
    try:
        entry = json.loads(line)
        if entry == _WHOLE:
            return None, Page(())
        feature = entry["feature"]
        explanations = tuple(one for one in entry["explanations"] if _strings(one))
        page = Page(explanations, tuple(dict(one) for one in entry["contexts"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (feature, page) if isinstance(feature, int) else None


def _strings(one: object) -> bool:
    return isinstance(one, dict) and "text" in one and all(isinstance(v, str) for v in one.values())
