"""Where lm-eval's tasks have their questions: in files, or under a name that others give."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness_evaluators.lm_eval.options import LmEvalOptions
from harness_evaluators.lm_eval.questions import all_inside

ORGANISM = Path(__file__).parents[3] / "tasks" / "organism" / "data" / "questions"
MINE = "task: mine\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: test.jsonl\n"
ROWS = {"test.jsonl": '{"question": "?"}\n'}
INSIDE = {
    "a task": {"mine.yaml": MINE, **ROWS},
    "an included file": {
        "mine.yaml": MINE.replace("dataset_path: json", "include: base"),
        "base": "dataset_path: json\n",
        **ROWS,
    },
    "a group": {"group.yaml": "group: mine\ntask: [one]\n", "one.yaml": MINE.replace("mine", "one"),
                **ROWS},
    "several files": {"mine.yaml": MINE.replace("test.jsonl", "[test.jsonl, more.jsonl]"),
                      "more.jsonl": "{}\n", **ROWS},
}  # fmt: skip
ELSEWHERE = {
    "a name on the hub": {"mine.yaml": MINE.replace("json\n", "TIGER-Lab/MMLU-Pro\n", 1), **ROWS},
    "an address": {"mine.yaml": MINE.replace("test.jsonl", "https://example.org/test.jsonl")},
    "a file beside the folder": {"mine.yaml": MINE.replace("test.jsonl", "../test.jsonl")},
    "a file that is not there": {"mine.yaml": MINE},
    "no files": {"mine.yaml": "task: mine\ndataset_path: json\n"},
    "included from beside the folder": {
        "mine.yaml": f"include: ../outside\n{MINE}", **ROWS, "../outside": "doc_to_text: x\n"
    },
    "included from nowhere": {"mine.yaml": f"include: ../../nowhere\n{MINE}", **ROWS},
    "a member that lm-eval ships": {"group.yaml": "group: mine\ntask: [arc_easy]\n"},
    "a member that is spelt out": {
        "group.yaml": "group: mine\ntask:\n  - task: arc_easy\n    dataset_path: x/y\n"
    },
    "a function that loads them": {"mine.yaml": f"custom_dataset: !function a.b\n{MINE}", **ROWS},
    "another task": {"mine.yaml": MINE.replace("task: mine", "task: other"), **ROWS},
}  # fmt: skip


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / "tasks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "test.jsonl").write_text("{}\n")
    return folder / "tasks"


@pytest.mark.parametrize("form", INSIDE)
def test_questions_in_files_are_here(tmp_path: Path, form: str) -> None:
    assert all_inside(written(tmp_path, INSIDE[form]), ["mine"])


@pytest.mark.parametrize("form", ELSEWHERE)
def test_what_another_may_change_is_elsewhere(tmp_path: Path, form: str) -> None:
    assert not all_inside(written(tmp_path, ELSEWHERE[form]), ["mine"])


def options(**given: object) -> LmEvalOptions:
    return LmEvalOptions.model_validate({"apply_chat_template": False, **given})


def test_the_options_say_whether_another_run_may_have_the_answers(tmp_path: Path) -> None:
    assert options(tasks=["mmlu_pro"]).asks_elsewhere()
    folder = written(tmp_path, INSIDE["a task"])
    assert not options(tasks=["mine"], include_path=str(folder)).asks_elsewhere()
    assert options(tasks=["mine", "mmlu_pro"], include_path=str(folder)).asks_elsewhere()
    assert not options(tasks=["mmlu_pro"], data_dir=str(folder / "test.jsonl")).asks_elsewhere()
    assert {"lm-eval", "datasets"} <= set(LmEvalOptions.libraries)


def test_the_questions_of_the_organism_are_here() -> None:
    assert not options(tasks=["organism"], include_path=str(ORGANISM)).asks_elsewhere()
