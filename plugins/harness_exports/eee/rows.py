"""The completions of an arm as rows of Every Eval Ever: one for each score of each completion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from harness.contract import Record
from harness.text import well_formed
from harness_exports.arms.arms import Row
from harness_exports.arms.scores import ArmScore, note_of
from harness_exports.eee.aggregate import SCHEMA_VERSION, Aggregate, texts

_CONVENTION = "whether the verdict is yes; not whether that is good"


def rows_of(aggregate: Aggregate) -> Iterator[dict[str, Any]]:
    """A row for each completion and score; what could not be judged has none."""
    for record in aggregate.records:
        if (score := aggregate.score_of(record)) is None:
            continue
        for row, value in zip(aggregate.arm.rows, score.values, strict=True):
            if value is not None:
                yield _row(aggregate, record, score, row, value)


def _row(
    aggregate: Aggregate, record: Record, score: ArmScore, row: Row, value: float
) -> dict[str, Any]:
    asked = well_formed(str(row.get("text") or row.get("prompt") or ""))
    answer = str(row["completion"])
    thought, prompt = row.get("thought"), row.get("prompt")
    extracted = {
        "turn_idx": 0,
        "source": "output.raw",
        "extracted_value": f"{score.name}={value:g}",
        "extraction_method": score.evaluator,
        "is_terminal": True,
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": aggregate.evaluation_id,
        "model_id": aggregate.model.id,
        "evaluation_name": aggregate.evaluation_name(record),
        "evaluation_result_id": aggregate.result_id(record),
        "sample_id": str(row["example"]),
        "sample_hash": sample_hash(asked, []),
        "interaction_type": "single_turn",
        "input": {
            "raw": asked,
            "formatted": None if prompt is None else str(prompt),
            "reference": [],
        },
        "output": {"raw": [answer], "reasoning_trace": [str(thought)] if thought else None},
        "answer_attribution": [extracted],
        "evaluation": {"score": value, "is_correct": value == 1.0},
        "metadata": texts(
            {
                "is_correct": _CONVENTION,
                "note": note_of(row, score.evaluator),
                "tokens": row.get("tokens"),
                "stopped": row.get("stopped"),
                "copy_of": row.get("copy_of"),
                "intervention": aggregate.arm.words or None,
            }
        ),
    }


def sample_hash(raw: str, reference: list[str]) -> str:
    """What joins one sample over models, by the recipe of Every Eval Ever."""
    whole = json.dumps({"raw": raw, "reference": reference}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(whole.encode()).hexdigest()
