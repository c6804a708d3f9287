"""What lm-eval's tasks of a folder will ask, for a plan: from their files, without lm-eval."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract import Asked
from harness_evaluators.lm_eval.code import reached

_NAME = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")
LARGEST = 2**26
"""Bytes of a file of questions that is read to be counted."""
LENGTH = 256
"""Tokens that lm-eval lets a model write where a task says nothing."""


@dataclass(frozen=True)
class Wanted:
    """Which questions are asked, and how."""

    tasks: Sequence[str]
    most: int | None = None
    """Questions of each task."""
    shots: int | None = None
    """Solved examples; None for as many as the task says."""
    length: int | None = None
    """Longest answer; None for what the task says."""
    batch: int = 8


def foreseen(folder: Path, wanted: Wanted) -> Asked | None:
    """What the tasks of a folder ask; None where their files do not tell all of it."""
    try:
        configs, whole = reached(folder, wanted.tasks)
        values = [one.values | {"": one.files[0].parent} for one in configs if one.files]
        leaves = [one for one in values if isinstance(one.get("task"), str)]
        found = [_asked(one, wanted) for one in leaves]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    known = [one for one in found if one is not None]
    if not whole or not known or len(known) < len(found):
        return None
    text = sorted(known, key=lambda one: len(one.text))[len(known) // 2].text
    return Asked(
        sum(one.prompts for one in known), text, max(one.writes for one in known), wanted.batch
    )


def _asked(values: Mapping[str, Any], wanted: Wanted) -> Asked | None:
    """What one task asks; its text is that of a question of middle length."""
    files = (values.get("dataset_kwargs") or {}).get("data_files") or {}
    split = values.get("test_split") or values.get("validation_split")
    rows = _rows(values[""], files.get(split))
    if not rows:
        return None
    rows = rows[: wanted.most]
    written = sorted((_filled(values.get("doc_to_text"), row) for row in rows), key=len)
    shots = values.get("num_fewshot") if wanted.shots is None else wanted.shots
    solved = _rows(values[""], files.get(values.get("fewshot_split"))) if shots else []
    if shots and not solved:
        return None
    begin = [str(values.get("description") or "")]
    begin += [_solved(values, row) for row in (solved or [])[:shots]]
    text = "\n\n".join([*begin, written[len(written) // 2]])
    if values.get("output_type") == "generate_until":
        most = (values.get("generation_kwargs") or {}).get("max_gen_toks", LENGTH)
        return Asked(len(rows), text, wanted.length or int(most))
    options = [_options(values.get("doc_to_choice"), row) for row in rows]
    return None if None in options else Asked(sum(one or 0 for one in options), text)


def _options(given: Any, row: Mapping[str, Any]) -> int | None:
    """How many options a question has; None where only a template tells."""
    if isinstance(given, list):
        return len(given)
    column = row.get(given.strip("{} ")) if isinstance(given, str) else None
    return len(column) if isinstance(column, list) else None


def _solved(values: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """A solved example: its question, and the answer."""
    given = values.get("fewshot_config") or {}
    texts = (given.get(key, values.get(key)) for key in ("doc_to_text", "doc_to_target"))
    return " ".join(_filled(text, row) for text in texts)


def _filled(template: Any, row: Mapping[str, Any]) -> str:
    """About what a template writes of a row: its own text, and the columns that it names. It is a
    program, and not run."""
    text = str(template or "")
    if text in row:
        return str(row[text])
    named = {word for part in _NAME.findall(text) for word in _WORD.findall(part)}
    columns = [row[name] for name in named if name in row]
    lines = [
        "\n".join(f"A. {one}" for one in value) if isinstance(value, list) else str(value)
        for value in columns
    ]
    return "\n".join([_NAME.sub("", text), *sorted(lines)])


def _rows(folder: Path, file: Any) -> list[dict[str, Any]] | None:
    """The rows of a file of JSON lines; None where it is something else, or too large."""
    if not isinstance(file, str) or not file.endswith((".jsonl", ".json")):
        return None
    path = folder / file
    if path.stat().st_size > LARGEST:
        return None
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return rows if all(isinstance(row, dict) for row in rows) else None
