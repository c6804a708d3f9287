"""Text as documents, their two parts (training, held out), and passages out of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

HELD_OUT_EVERY = 10  # one document in ten is never trained on
PASSAGE = 480  # characters, about 105 tokens
SHORTEST = 120  # characters; shorter passages say little
_SILENT = {"script", "style", "head", "nav", "footer", "pre", "table"}
_BLOCKS = {"p", "li", "dd", "dt", "h1", "h2", "h3", "h4", "div", "section", "br", "blockquote"}


class _Prose(HTMLParser):
    """Collects the running text of a page, a line a block, without menus, code and tables."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line at a block, and silence at what is no prose."""
        if tag in _SILENT:
            self.silent += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """End a line at a block, and the silence of what is no prose."""
        if tag in _SILENT:
            self.silent = max(0, self.silent - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        """Keep text where there is no silence."""
        if not self.silent:
            self.parts.append(data.replace("\n", " "))


def html_prose(page: str) -> str:
    """The prose of an HTML page: blocks of at least six words, one a line."""
    parser = _Prose()
    parser.feed(page)
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if len(line.split()) >= 6)


def documents(path: Path) -> Iterator[str]:
    """The documents of a file or folder: `.json` (a list), `.jsonl`, `.txt`, `.html`.

    A row of JSON is a string or an object with `text`. A text file of long lines has a document a
    line (Wikipedia dumps come so), any other is one document; a page of HTML is one document.

    Raises:
        ValueError: the file's name ends otherwise, it is no JSON, or a row has no text.
    """
    if path.is_dir():
        for inner in sorted(p for p in path.rglob("*") if p.suffix in {".txt", ".html", ".jsonl"}):
            yield from documents(inner)
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix in {".json", ".jsonl"}:
        for number, row in enumerate(_rows(path, text), 1):
            found = row.get("text") if isinstance(row, dict) else row
            if not isinstance(found, str):
                raise ValueError(
                    f"{path}: row {number} has no `text`. Allowed are strings and rows like "
                    '{"text": …}. Give other files to --text, or rename the column.'
                )
            yield found
    elif path.suffix == ".html":
        yield html_prose(text)
    elif path.suffix == ".txt":
        lines = [line for line in text.split("\n") if line.strip()]
        if lines and sum(map(len, lines)) / len(lines) > 2 * PASSAGE:
            yield from lines
        else:
            yield text
    else:
        raise ValueError(f"{path}: no text is read from this. Use .json, .jsonl, .txt or .html.")


def _rows(path: Path, text: str) -> Iterator[object]:
    """The rows of a JSON list, or of lines of JSON."""
    try:
        if path.suffix == ".jsonl":
            yield from (json.loads(line) for line in text.splitlines() if line.strip())
            return
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: is no JSON ({error}). Allowed are a list of rows in .json and a row a line "
            "in .jsonl. Mend the file, or give its text as .txt."
        ) from None
    if not isinstance(rows, list):
        raise ValueError(f"{path}: holds no list of rows. Give a list, or a row a line as .jsonl.")
    yield from rows


def is_held_out(document: str) -> bool:
    """Whether a document belongs to the held-out tenth: by its own hash, so always the same."""
    return int(hashlib.sha256(document.encode()).hexdigest()[:8], 16) % HELD_OUT_EVERY == 0


def passages(document: str) -> Iterator[str]:
    """Consecutive passages of at most `PASSAGE` characters, cut between words."""
    words, length = [], 0
    for word in document.split():
        if words and length + len(word) > PASSAGE:
            yield " ".join(words)
            words, length = [], 0
        words.append(word)
        length += len(word) + 1
    if length > SHORTEST:
        yield " ".join(words)


def split(sources: Iterable[Path]) -> tuple[list[str], list[str]]:
    """Training and held-out passages of some files; no passage is in both, or twice in one."""
    training: dict[str, None] = {}
    held_out: dict[str, None] = {}
    for path in sources:
        for document in documents(path):
            part = held_out if is_held_out(document) else training
            part.update(dict.fromkeys(passages(document)))
    return [p for p in training if p not in held_out], list(held_out)
