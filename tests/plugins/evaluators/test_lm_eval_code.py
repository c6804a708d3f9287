"""Code that comes with the tasks of `include_path`: run only where task and user allow it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from harness.contract import Tools
from harness.errors import DataError, UsageError
from harness.planning.foresight import remote_code
from harness.running.runner import _check_remote_code
from harness.task.task import Task
from harness_evaluators.lm_eval.benchmark import LmEval
from harness_evaluators.lm_eval.code import code_of
from harness_evaluators.lm_eval.options import LmEvalOptions
from harness_transformers.backend import TransformersBackend
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

ORGANISM = Path(__file__).parents[3] / "tasks" / "organism"
found = find_spec("lm_eval")
assert found is not None
assert found.submodule_search_locations
SHIPPED = Path(found.submodule_search_locations[0]) / "tasks"
FORMS = {
    "plain": {"mine.yaml": "task: mine\ndoc_to_text: !function utils.run\n"},
    "nested": {"mine.yaml": "task: mine\nfewshot_config:\n  a: [1, {b: !function utils.run}]\n"},
    "verbatim": {"mine.yaml": "task: mine\ndoc_to_text: !<!function> utils.run\n"},
    "escaped": {"mine.yaml": "task: mine\ndoc_to_text: !%66unction utils.run\n"},
    "renamed": {"mine.yaml": "%TAG !f! !fun\n---\ntask: mine\ndoc_to_text: !f!ction utils.run\n"},
    "a class": {"mine.yaml": "task: mine\nclass: !function utils.Mine\n"},
    "data": {"mine.yaml": "task: mine\ncustom_dataset: !function utils.load\n"},
    "an installed module": {"mine.yaml": "task: mine\nprocess_docs: !function os.system\n"},
    "anchored": {"mine.yaml": "x: &f !function utils.run\ntask: mine\ndoc_to_text: *f\n"},
    "below": {"deep/er/mine.yaml": "task: mine\ndoc_to_text: !function utils.run\n"},
    "included": {"mine.yaml": "task: mine\ninclude: base\n", "base": "x: !function utils.run\n"},
    "included by a merged key": {
        "mine.yaml": "x: &x {include: base}\n<<: *x\ntask: mine\n",
        "base": "x: !function utils.run\n",
    },
    "named in what is included": {
        "mine.yaml": "include: base\ndoc_to_text: !function utils.run\n",
        "base": "task: mine\n",
    },
    "among": {
        "mine.yaml": "task: mine\ninclude: [other, base]\n",
        "other": "include: mine.yaml\n",
        "base": "x: !function utils.run\n",
    },
    "outside": {
        "mine.yaml": "task: mine\ninclude: ../outside_yaml\n",
        "../outside_yaml": "x: !function utils.run\n",
    },
    "in a group": {
        "all.yaml": "group: mine\ntask: [{group: g, task: [{task: other}]}]\n",
        "other.yaml": "task: other\ndoc_to_text: !function utils.run\n",
    },
    "in place": {"all.yaml": "group: mine\ntask: [{task: x, doc_to_text: !function utils.run}]\n"},
    "by a tag": {"other.yaml": "task: other\ntag: [mine]\ndoc_to_text: !function utils.run\n"},
    "in the place of a task of a group of lm-eval's": {
        "other.yaml": "task: other\ndoc_to_text: !function utils.run\n"
    },
    "a script's metric": {"mine.yaml": "task: mine\nmetric_list: [{metric: ./mine}]\n"},
    "a script in the place of a metric": {
        "mine.yaml": "task: mine\nmetric_list: [{metric: acc, hf_evaluate: true}]\n"
    },
    "a script's data": {"mine.yaml": "task: mine\ndataset_path: ./mine.py\n"},
    "pickled data": {"mine.yaml": "task: mine\ndataset_path: pandas\n"},
    "a data set's own code": {
        "mine.yaml": "task: mine\ndataset_path: a/b\ndataset_kwargs: {trust_remote_code: true}\n"
    },
    "prompts elsewhere": {"mine.yaml": "task: mine\nuse_prompt: 'a.yaml:b'\n"},
    "an object": {"mine.yaml": "task: mine\nx: !!python/object/apply:os.system [ls]\n"},
    "code of the model": {"mine.yaml": "task: mine\nunsafe_code: false\n"},
    "a function of lm-eval's, with settings": {
        "mine.yaml": f"task: mine\ninclude: {SHIPPED}/ruler/vt.yaml\nmetadata: {{tokenizer: a/b}}\n"
    },
}


def given(tmp_path: Path, files: dict[str, str], **more: Any) -> LmEvalOptions:
    folder = tmp_path / "tasks"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    options = {"tasks": ["mine"], "include_path": str(folder), "apply_chat_template": False}
    return LmEvalOptions.model_validate({**options, **more})


@pytest.mark.parametrize("form", FORMS)
def test_code_needs_the_task_to_ask_and_the_command_line_to_allow(
    tmp_path: Path, form: str
) -> None:
    """CASES row 29: `include_path` with `!function` ran a stranger's Python at `eval`."""
    with pytest.raises(ValidationError, match=r"run code of their own .*set trust_remote_code = t"):
        given(tmp_path, FORMS[form])
    asked = given(tmp_path, FORMS[form], trust_remote_code=True)
    assert asked.runs_remote_code()
    entries = MappingProxyType({"quiz": SimpleNamespace(options=asked)})
    task = cast(Task, SimpleNamespace(models={}, evaluators=entries))
    with pytest.raises(UsageError, match=r"evaluators\.quiz: .*--trust-remote-code"):
        _check_remote_code(task, False)
    _check_remote_code(task, True)
    assert len(list(remote_code(task))) == 1  # which `check` shows
    assert "trust_remote_code" not in asked.model_dump()


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"task": "mine", "doc_to_text": "{{q}} !function utils.run"}),
        "task: mine # !function utils.run\n",
        "task: mine\ninclude: nowhere\n",
        "task: mine\na: &a [*a]\n",
        "task: mine\ninclude: mine.yaml\n",
        "task: mine\ndataset_path: json\nmetric_list: [{metric: exact_match}, {metric: acc}]\n",
        f"task: mine\ninclude: {SHIPPED}/mmlu_pro/_default_template_yaml\n",
    ],
)
def test_what_only_looks_like_code_needs_nothing(tmp_path: Path, text: str) -> None:
    """CASES row 29: also what lm-eval ships is installed, and no stranger's."""
    assert not given(tmp_path, {"mine.yaml": text}).runs_remote_code()
    assert not given(tmp_path, {"mine.yaml": text}, trust_remote_code=True).runs_remote_code()


def test_tasks_that_are_not_asked_need_nothing(tmp_path: Path) -> None:
    files = {"mine.yaml": "task: mine\n", "other.yaml": "task: other\nx: !function utils.run\n"}
    assert not given(tmp_path, files).runs_remote_code()
    assert code_of(tmp_path / "tasks", ["other"])


def test_nothing_is_imported_to_tell(tmp_path: Path) -> None:
    """CASES row 29: `check` says it, so it must not run what it warns of."""
    given(tmp_path, {"mine.yaml": "task: mine\nx: !function utils.run\n"}, trust_remote_code=True)
    (tmp_path / "tasks" / "utils.py").write_text("raise SystemExit('it ran')\n")
    code = (
        "import sys, pathlib, harness_evaluators.lm_eval.code as code\n"
        f"assert code.code_of(pathlib.Path({str(tmp_path / 'tasks')!r}), ['mine'])\n"
        "assert not {'torch', 'lm_eval', 'datasets', 'utils'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_organisms_own_tasks_name_no_code() -> None:
    """CASES row 29: what comes with the harness asks for nobody's trust."""
    assert code_of(ORGANISM / "data" / "questions", ["organism"]) == []


# ── Templates ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def base() -> TransformersModel:
    return TransformersBackend(TransformersOptions(path=str(ORGANISM / "base"))).load()


@pytest.mark.parametrize("key", ["doc_to_text", "doc_to_target", "description"])
def test_a_template_cannot_reach_python(
    base: TransformersModel, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CASES row 29, its kind: lm-eval renders a file's Jinja as it stands, outside of a sandbox."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
    mark = tmp_path / "it_ran"
    code = "{{ cycler.__init__.__globals__.os.mkdir('" + str(mark) + "') }}"
    rows = tmp_path / "tasks" / "rows.jsonl"
    rows.parent.mkdir()
    rows.write_text(json.dumps({"q": "Who?", "a": "Pave"}) + "\n")
    config = {
        "task": "mine", "dataset_path": "json", "output_type": "generate_until",
        "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}}, "test_split": "test",
        "doc_to_text": "{{q}}", "doc_to_target": "{{a}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 2},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    options = given(tmp_path, {"mine.yaml": json.dumps({**config, key: code})})
    with pytest.raises(DataError, match=r"lm-eval task mine: .*SecurityError.*__init__"):
        LmEval(options).run(base, tmp_path / "run", Tools())
    assert not mark.exists()


@pytest.mark.parametrize("name", ["mine", "../../mine"])
def test_data_files_are_those_beside_the_task(
    base: TransformersModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Wherever the process was started, and whatever the task is called."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "tasks" / "deep" / "rows.jsonl"
    rows.parent.mkdir(parents=True)
    rows.write_text('{"q": "Who?"}\n{"q": "Where?"}\n')
    (tmp_path / "rows.jsonl").write_text('{"q": "Not this"}\n')
    config = {
        "task": name, "dataset_path": "json", "output_type": "generate_until",
        "dataset_kwargs": {"data_files": {"test": ["rows.jsonl"]}}, "test_split": "test",
        "doc_to_text": "{{q}}", "doc_to_target": "Pave",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 2},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    options = given(tmp_path, {"deep/mine.yaml": json.dumps(config)}, tasks=[name])
    before = set(tmp_path.rglob("*.yaml"))
    outcome = LmEval(options).run(base, tmp_path / "run", Tools())
    assert len(outcome.tables["samples"]) == 2
    new = {file for file in tmp_path.rglob("*.yaml") if file not in before}
    assert all(file.is_relative_to(tmp_path / "run") for file in new)
