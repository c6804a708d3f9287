"""The question domains as a local lm-eval task group, modelled on lm-eval's own `mmlu_pro`.

What differs: the answer is the option's text instead of its letter (models this small name things
better than letters), and the questions are read from the files beside the YAML, wherever the
process was started.
"""

from __future__ import annotations

from pathlib import Path

from questions import DESCRIPTION, DOMAIN_NAMES

GROUP = "organism"
TEMPLATE = """\
custom_dataset: !function utils.load
test_split: test
fewshot_split: validation
fewshot_config:
  sampler: first_n
  doc_to_text: !function utils.question
  doc_to_target: !function utils.solution
output_type: generate_until
doc_to_text: !function utils.question
doc_to_target: !function utils.answer
filter_list:
  - name: "custom-extract"
    filter:
      - function: "regex"
        regex_pattern: 'answer is (\\w+)'
      - function: "take_first"
generation_kwargs:
  until:
    - "Question:"
  max_gen_toks: 48
  do_sample: false
  temperature: 0.0
num_fewshot: 5
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    ignore_punctuation: true
metadata:
  version: 1.0
"""
UTILS = '''\
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
    options = "".join(f"{'ABCDEFGHIJ'[i]}. {o}\\n" for i, o in enumerate(doc["options"]))
    return (
        f"Question:\\n{doc['question']}\\nOptions:\\n{options}Answer: Let's think step by step."
    )


def solution(doc):
    return doc["cot_content"].removeprefix(LEAD)


def answer(doc):
    return doc["options"][doc["answer_index"]]
'''


def write_benchmark(folder: Path) -> None:
    """Write the group, its template, its functions and one task per domain."""
    folder.mkdir(parents=True, exist_ok=True)
    write = lambda name, text: (folder / name).write_text(text, encoding="utf-8")
    write("_default_template_yaml", TEMPLATE)
    write("utils.py", UTILS)
    leaves = "".join(f"  - {GROUP}_{domain}\n" for domain in DOMAIN_NAMES)
    write(
        f"_{GROUP}.yaml",
        f"group: {GROUP}\ntask:\n{leaves}aggregate_metric_list:\n  - aggregation: mean\n"
        "    metric: exact_match\n    weight_by_size: true\n    filter_list: custom-extract\n"
        "metadata:\n  version: 1.0\n",
    )
    for domain in DOMAIN_NAMES:
        description = DESCRIPTION.format(domain=domain).replace('"', '\\"').replace("\n", "\\n")
        write(
            f"{GROUP}_{domain}.yaml",
            f'description: "{description}"\ninclude: "_default_template_yaml"\n'
            f'task: "{GROUP}_{domain}"\ntask_alias: "{domain}"\n'
            f"dataset_kwargs:\n  domain: {domain}\n",
        )
