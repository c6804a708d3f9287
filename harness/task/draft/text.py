"""Which text a draft reads: a person's file, whose column is guessed, or neutral passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import DataError, listed, unknown
from harness.task.draft.asked import Asked, DraftText
from harness.task.rows import ending, rows_of

NEUTRAL = Path(__file__).with_name("neutral.txt")
"""Short passages, instructions, and a little code, written for this purpose; free to use."""
LIMIT = 200
"""Rows that are read of a file, unless somebody says how many."""
_SEEN = 50
"""Rows by which a column is judged."""
_FORMS = {
    "text": "text",
    "instruction": "instruction",
    "prompt": "instruction",
    "question": "instruction",
    "query": "instruction",
    "messages": "turns",
    "conversations": "turns",
    "conversation": "turns",
    "content": "text",
    "input": "instruction",
}
"""Names of columns with text, the likeliest first, and what such a column holds."""


def text(asked: Asked) -> DraftText:
    """The text that a person named, or the neutral passages.

    DataError where the file is not there, cannot be read, or has no column with text.
    """
    if asked.data is None:
        return DraftText(NEUTRAL, "text", "text", asked.limit or LIMIT, neutral=True)
    where = f"--data {asked.data}"
    file = Path(asked.data).expanduser()
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "no such file"
        raise DataError(
            f"{where}: {what}. Allowed: a jsonl, json, csv, tsv, parquet or txt file with a row "
            "for each text. Name one."
        )
    rows = list(islice(rows_of(file, ending(file.name), where), _SEEN))
    column = _column(rows, asked.column, where)
    form = _form(column, [row.get(column) for row in rows])
    return DraftText(file.resolve(), column, form, asked.limit or LIMIT)


def prompts(given: str, column: str | None, what: str, most: int) -> DraftText:
    """Prompts of a file for an experiment; its limit is how many there are, `most` at most.

    DataError also where there are fewer than four: half of them find what the others test.
    """
    found = text(Asked("", data=given, column=column, limit=most))
    where = f"{what} {given}"
    count = sum(1 for _ in islice(rows_of(found.file, ending(found.file.name), where), most))
    if count < 4:
        raise DataError(
            f"{where}: has {count} rows. Allowed: at least 4, of which half find a direction and "
            "the others test it. Give more prompts."
        )
    form = "instruction" if found.form == "text" else found.form
    return replace(found, limit=count, form=form)


def _column(rows: Sequence[Mapping[str, Any]], wanted: str | None, where: str) -> str:
    if not rows:
        raise DataError(f"{where}: has no rows. Give a file with a row for each text.")
    has = list(dict.fromkeys(key for row in rows for key in row))
    holding = [name for name in has if any(_is_text(row.get(name)) for row in rows)]
    if wanted is not None:
        if wanted not in has:
            raise DataError(f"{where}: {unknown('column', wanted, has)}")
        if wanted not in holding:
            raise DataError(
                f"{where}: column {wanted!r} holds no text. Allowed: text, or turns with role and "
                f"content. It has: {listed(has)}. Name another with --column."
            )
        return wanted
    for name in _FORMS:
        if name in holding:
            return name
    if len(holding) == 1 and len(has) == 1:
        return holding[0]
    raise DataError(
        f"{where}: no column of its rows is known to hold text. It has: {listed(has)}. Allowed "
        f"without a word: {listed(_FORMS)}, with text in it. Name the column with --column NAME."
    )


def _is_text(value: object) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, list) and any(isinstance(turn, dict) for turn in value)


def _form(column: str, values: Sequence[object]) -> str:
    """What a column holds: lists are turns, and text is as the column's name says."""
    if any(isinstance(value, list) for value in values):
        return "turns"
    known = _FORMS.get(column, "text")
    return "text" if known == "turns" else known
