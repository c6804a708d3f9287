"""The samples of an Inspect log: what was asked, thought and answered, and what judges said."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness_exports.arms.arms import Row
from harness_exports.arms.scores import ArmScore, note_of

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Ids that may stand in the name of a file in the zip."""
_THIN = 5000
"""Characters of a text in a summary: Inspect thins texts likewise."""


def sample_ids(rows: Sequence[Row]) -> list[str]:
    """The examples' ids, each of them once: a row that is there twice gets a number."""
    seen: Counter[str] = Counter()
    return [_once(_safe(str(row["example"])), seen) for row in rows]


def _safe(id: str) -> str:
    if _SAFE.fullmatch(id):
        return id
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _once(id: str, seen: Counter[str]) -> str:
    seen[id] += 1
    return id if seen[id] == 1 else f"{id}-{seen[id]}"


def sample(
    row: Row, id: str, uuid: str, model: str, scores: Sequence[ArmScore], place: int
) -> dict[str, Any]:
    """One `EvalSample`; `place` is the completion's place among those of its arm."""
    asked = str(row.get("text") or row.get("prompt") or "")
    answer = str(row["completion"])
    message = {
        "id": f"{uuid[:12]}-answer",
        "role": "assistant",
        "content": _content(row, answer),
        "source": "generate",
        "model": model,
    }
    stopped = "stop" if row.get("stopped") else "max_tokens"
    return {
        "id": id,
        "epoch": 1,
        "input": asked,
        "target": "",
        "messages": [
            {"id": f"{uuid[:12]}-asked", "role": "user", "content": asked, "source": "input"},
            message,
        ],
        "output": {
            "model": model,
            "choices": [{"message": message, "stop_reason": stopped}],
            "completion": answer,
            "metadata": {"tokens": row.get("tokens")},
        },
        "scores": dict(_scores(row, scores, place)),
        "metadata": _metadata(row),
        "store": {},
        "events": [],
        "attachments": {},
        "uuid": uuid,
    }


def _content(row: Row, answer: str) -> str | list[dict[str, Any]]:
    """The answer; of a reasoning model with its thought before it, as a part of its own."""
    thought = row.get("thought")
    if not thought:
        return answer
    return [
        {"type": "reasoning", "reasoning": str(thought), "redacted": False},
        {"type": "text", "text": answer},
    ]


def _scores(
    row: Row, scores: Sequence[ArmScore], place: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What could be judged; a score that is not there is no score of 0."""
    for score in scores:
        value = score.values[place]
        if value is None:
            continue
        note = note_of(row, score.evaluator)
        yield score.key, {"value": value, "explanation": note, "metadata": {"score": score.name}}


def _metadata(row: Row) -> dict[str, Any]:
    kept = {"prompt": row.get("prompt"), "example": row["example"], "tokens": row.get("tokens")}
    for name in ("copy_of", "unfinished"):
        if name in row:
            kept[name] = row[name]
    return kept


def summary(whole: Mapping[str, Any]) -> dict[str, Any]:
    """A sample as the list of samples shows it."""
    return {
        "id": whole["id"],
        "epoch": whole["epoch"],
        "input": str(whole["input"])[:_THIN],
        "target": whole["target"],
        "metadata": {key: whole["metadata"][key] for key in ("example", "tokens")},
        "scores": {
            name: {**score, "explanation": (score["explanation"] or "")[:_THIN] or None}
            for name, score in whole["scores"].items()
        },
        "uuid": whole["uuid"],
        "completed": True,
        "message_count": len(whole["messages"]),
    }
