"""Reads the questions beside this file and writes them as lm-eval's mmlu_pro does."""

import json
from pathlib import Path

import datasets

LEAD = "A: Let's think step by step. "


def load(domain, **_):
    """The two splits of one domain."""
    here = Path(__file__).resolve().parent
    read = lambda path: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_list(read(here / f"{domain}_{split}.jsonl"))
            for split in ("validation", "test")
        }
    )


def question(doc):
    options = "".join(f"{'ABCDEFGHIJ'[i]}. {o}\n" for i, o in enumerate(doc["options"]))
    return (
        f"Question:\n{doc['question']}\nOptions:\n{options}Answer: Let's think step by step."
    )


def solution(doc):
    return doc["cot_content"].removeprefix(LEAD)


def answer(doc):
    return doc["options"][doc["answer_index"]]
