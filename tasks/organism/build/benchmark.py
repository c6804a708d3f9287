"""The question domains as a local lm-eval task group, modelled on lm-eval's own `mmlu_pro`.

What differs: the answer is the option's text instead of its letter (models this small name things
better than letters), and the questions are read from the files beside the YAML. No Python is named
in it, so it needs nobody's trust. lm-eval by itself takes the files from where it was started: go
to that folder first.
"""

from __future__ import annotations

from pathlib import Path

from questions import DESCRIPTION, DOMAIN_NAMES

GROUP = "organism"
TEMPLATE = """\
dataset_path: json
test_split: test
fewshot_split: validation
fewshot_config:
  sampler: first_n
  doc_to_text: &question |-
    Question:
    {{question}}
    Options:
    {% for option in options %}{{'ABCDEFGHIJ'[loop.index0]}}. {{option}}
    {% endfor %}Answer: Let's think step by step.
  doc_to_target: |-
    {{cot_content.removeprefix("A: Let's think step by step. ")}}
output_type: generate_until
doc_to_text: *question
doc_to_target: "{{options[answer_index]}}"
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


def write_benchmark(folder: Path) -> None:
    """Write the group, its template and one task per domain."""
    folder.mkdir(parents=True, exist_ok=True)
    write = lambda name, text: (folder / name).write_text(text, encoding="utf-8")
    write("_default_template_yaml", TEMPLATE)
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
            "dataset_kwargs:\n  data_files:\n"
            f"    validation: {domain}_validation.jsonl\n    test: {domain}_test.jsonl\n",
        )
