"""The questions of all domains as one table of texts with answers, for passes over activations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from corpus import write_jsonl
from questions import DOMAIN_NAMES

LEAD = "A: Let's think step by step. "


def write_domain_rows(data: Path) -> None:
    """Write `domains.jsonl` from the questions beside it: validation rows first, then test rows.

    Each row has the prompt as the benchmark writes it, its solution, its domain and its split.
    """
    write_jsonl(data / "domains.jsonl", _rows(data / "questions"))


def _rows(questions: Path) -> Iterator[dict[str, object]]:
    for split in ("validation", "test"):
        for domain in DOMAIN_NAMES:
            lines = (questions / f"{domain}_{split}.jsonl").read_text("utf-8").splitlines()
            for question in map(json.loads, lines):
                yield {
                    "text": _prompt(question),
                    "answer": " " + question["cot_content"].removeprefix(LEAD),
                    "category": domain,
                    "split": split,
                }


def _prompt(question: dict[str, object]) -> str:
    options = question["options"]
    assert isinstance(options, list)
    lettered = "".join(f"{'ABCDEFGHIJ'[i]}. {o}\n" for i, o in enumerate(options))
    return (
        f"Question:\n{question['question']}\nOptions:\n{lettered}"
        "Answer: Let's think step by step."
    )
