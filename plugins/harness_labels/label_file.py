"""Reads descriptions of features from a file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contract import Findings, Label, SaeFacts
from harness.errors import DataError
from harness_labels.options import FileOptions
from harness_labels.text import tidy

_TEXTS = ("description", "cluster", "url")
Wrong = Callable[[int, str], DataError]
"""Makes the error of a line, counted from 1."""


class File:
    """Reads labels from a .csv or .jsonl file with a row for each feature.

    Columns: `feature`, a number from 0; `description` and `cluster`, at least one of them; `url`,
    if there is one. Others are not read. Every row is checked, asked for or not.

    Raises DataError, naming file and line, for a feature that is no number, that the SAE has not,
    or that comes twice, for a row without text, a missing column, and a file that cannot be read.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, given: FileOptions) -> None:
        self.options = given

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        """The file's labels of the features."""
        found: dict[int, tuple[int, Label]] = {}
        rows = 0
        for line, row in self._rows():
            rows += 1
            if any(
                _text_or_none(row.get(key)) != value for key, value in self.options.only.items()
            ):
                continue
            label = self._label(sae, line, row, facts.d_sae)
            if label.feature in found:
                first = found[label.feature][0]
                raise self._wrong(
                    line, f"feature {label.feature} was in line {first} already. Remove one"
                )
            found[label.feature] = line, label
        if not found:
            why = f"of {rows} rows none has {self.options.only}" if rows else "it has no rows"
            raise DataError(f"{self.options.path}: no label in it: {why}. Give a row a feature.")
        return [found[feature][1] for feature in features if feature in found]

    def _label(self, sae: str, line: int, row: Mapping[str, Any], d_sae: int | None) -> Label:
        feature = _number(row.get("feature"))
        if feature is None:
            raise self._wrong(
                line, f"feature is {row.get('feature')!r:.60}. Allowed: a whole number from 0"
            )
        if d_sae is not None and feature >= d_sae:
            raise self._wrong(
                line,
                f"feature {feature} is unknown. Allowed: 0 to {d_sae - 1}, the features of {sae}",
            )
        texts: dict[str, str] = {}
        for name in _TEXTS:
            value = row.get(name)
            if value is not None and not isinstance(value, str):
                raise self._wrong(line, f"{name} is {value!r:.60}. Allowed: text")
            texts[name] = tidy(value or "")
        if not texts["description"] and not texts["cluster"]:
            raise self._wrong(line, "neither description nor cluster has text. Give it one")
        cluster, url = texts["cluster"] or None, texts["url"] or None
        return Label(sae, feature, texts["description"], cluster=cluster, url=url)

    def _rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Rows with their lines, counted from 1."""
        file = Path(self.options.path)
        read = _csv if file.suffix.lower() == ".csv" else _jsonl
        try:
            # Without universal newlines, that a \r inside of a text does not end a line.
            text = file.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise DataError(
                f"{file}: cannot be read ({error.strerror or error}). Allowed: a .csv or .jsonl"
                " file. Copy it again, or change the path."
            ) from None
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file}: is not UTF-8 (byte {error.start}). Save it as UTF-8."
            ) from None
        return read(text, self._wrong)

    def _wrong(self, line: int, what: str) -> DataError:
        return DataError(f"{self.options.path}:{line}: {what}.")


def _text_or_none(value: object) -> str | None:
    """A value as a task writes it; None for what is no text and no number."""
    return str(value) if isinstance(value, (str, int, float)) else None


def _csv(text: str, wrong: Wrong) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if "feature" not in header or not {"description", "cluster"} & set(header):
            raise wrong(
                1,
                f"the columns are {', '.join(header) or 'none'}. Needed: feature, and description "
                "or cluster",
            )
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise wrong(
                    reader.line_num, f"has {len(cells)} cells, the header has {len(header)}"
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise wrong(reader.line_num, f"is not CSV: {error}") from None


def _jsonl(text: str, wrong: Wrong) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise wrong(number, f"is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise wrong(number, f"is a {type(row).__name__}, not an object with columns")
        yield number, row


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        return int(value)
    fine = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if fine else None  # type: ignore[return-value]
