"""Reads what Neuronpedia answers: the page of a feature, and the lines of its bulk export."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.text import well_formed
from harness_labels.text import tidy

_CONTEXTS = 3
_BEFORE, _AFTER = 12, 6
"""Tokens of a context that are kept around its strongest one."""
_LARGEST = 2**28
"""Bytes of an export's file, unpacked."""


class Malformed(ValueError):
    """An answer that is not what the service documents; says what is wrong with it."""


@dataclass(frozen=True)
class Page:
    """What is known of one feature."""

    explanations: tuple[Mapping[str, str], ...]
    """Each with `text` and, where it has one, its `kind`; none of them is empty."""
    contexts: tuple[Mapping[str, Any], ...] = ()

    def description(self, kind: str | None) -> str:
        """The first explanation of a kind, or of any; "" where there is none."""
        fitting = (one["text"] for one in self.explanations if kind in (None, one.get("kind")))
        return next(fitting, "")


def read_page(body: bytes, index: int) -> Page:
    """The page of feature `index`, from an answer's JSON.

    Raises Malformed where it is none, or one of another feature. Activations that are odd are left
    out; a page keeps three contexts at most.
    """
    row = _parsed(body)
    if not isinstance(row, dict):
        raise Malformed(f"the answer is a {type(row).__name__}, not an object")
    if "index" in row and _index(row["index"]) != index:
        raise Malformed(f"the answer is about feature {row['index']!r:.40}")
    explanations = row.get("explanations")
    if not isinstance(explanations, list):
        raise Malformed("the answer has no list of explanations")
    activations = row.get("activations")
    found = (_context(one) for one in (activations if isinstance(activations, list) else ()))
    return Page(
        tuple(one for one in map(_explanation, explanations) if one),
        tuple(one for one in found if one)[:_CONTEXTS],
    )


def read_export(body: bytes) -> Iterator[tuple[int, Mapping[str, str] | None] | None]:
    """The lines of a gzipped export: index and explanation (None where empty); None if malformed.

    Raises Malformed where the file is not gzip, or far too large.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            text = file.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"the export is not gzip ({error})") from None
    if len(text) > _LARGEST:
        raise Malformed(f"the export is larger than {_LARGEST} bytes")
    for line in text.split(b"\n"):
        if line.strip():
            try:
                row = _parsed(line)
            except Malformed:
                row = None
            index = _index(row.get("index")) if isinstance(row, dict) else None
            yield None if index is None else (index, _explanation(row))


def export_keys(listing: bytes, folder: str) -> list[str]:
    """The files of an export, from the XML that its bucket lists; nothing else of it is read."""
    found = re.findall(r"<Key>([^<>&]*)</Key>", listing.decode("utf-8", "replace"))
    name = re.compile(re.escape(folder) + r"[\w.-]+\.jsonl\.gz", re.ASCII)
    return [key for key in found if name.fullmatch(key)]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the answer is not JSON ({type(error).__name__})") from None


def _index(value: object) -> int | None:
    """A feature's number: the service writes it as a string."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _explanation(row: object) -> dict[str, str] | None:
    text = row.get("description") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(text, str) or not text.strip():
        return None
    kind = row.get("typeName")
    return {"text": tidy(text)} | ({"kind": tidy(kind, 100)} if isinstance(kind, str) else {})


def _context(row: object) -> dict[str, Any] | None:
    if not isinstance(row, dict):
        return None
    tokens, values = row.get("tokens"), row.get("values")
    if not isinstance(tokens, list) or not isinstance(values, list) or not tokens:
        return None
    numbers = [v for v in values if isinstance(v, (int, float)) and abs(v) < 1e30]
    if len(numbers) != len(tokens) or not all(isinstance(token, str) for token in tokens):
        return None
    centre = max(range(len(values)), key=lambda i: numbers[i])
    start, end = max(0, centre - _BEFORE), centre + _AFTER + 1
    return {
        "tokens": [well_formed(token[:100]) for token in tokens[start:end]],
        "values": [float(value) for value in numbers[start:end]],
        "mark": centre - start,
    }
