"""What lm_eval says of tasks that are unknown, broken, or read from local files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from harness.contract import Outcome, Tools
from harness.errors import DataError, MachineError
from harness_evaluators.lm_eval import index as lm_eval_index
from harness_evaluators.lm_eval.benchmark import LmEval
from harness_evaluators.lm_eval.options import LmEvalOptions as Given
from harness_evaluators.lm_eval.tasks import load
from harness_transformers.backend import TransformersBackend
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

ORGANISM = Path(__file__).parents[3] / "tasks" / "organism"
Asked = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares each run the second in which lm-eval asks pip and git of the machine."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


@pytest.fixture(scope="module")
def base() -> TransformersModel:
    return TransformersBackend(TransformersOptions(path=str(ORGANISM / "base"))).load()


@pytest.fixture
def asked(base: TransformersModel, tmp_path: Path) -> Iterator[Asked]:
    """Asks tasks of `tmp_path/tasks`; `forwards` counts what the model read."""
    forwards: list[int] = []
    handle = base.hf.register_forward_hook(lambda *_: forwards.append(1))

    def asked(*tasks: str, **more: Any) -> Outcome:
        forwards.clear()
        options = {
            "tasks": tasks, "include_path": str(tmp_path / "tasks"), "apply_chat_template": False,
            "max_new_tokens": 4, **more,
        }  # fmt: skip
        given = Given.model_validate(options)
        return LmEval(given).run(base, tmp_path / "run", Tools())

    asked.forwards = forwards  # type: ignore[attr-defined]
    yield asked
    handle.remove()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Writes a task of three questions; `more` changes its configuration."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [{"q": f"Question {i}?", "a": "Pave"} for i in range(3)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "utils.py").write_text("def broken(doc, results):\n    return results[9]\n")

    def write(name: str, functions: dict[str, str] | None = None, **more: Any) -> None:
        config = {
            "task": name, "dataset_path": "json", "output_type": "generate_until",
            "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
            "test_split": "test", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4},
            "metric_list": [
                {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
            ],
            **more,
        }  # fmt: skip
        lines = [f"{key}: {json.dumps(value)}" for key, value in config.items()]
        lines += [f"{key}: !function {value}" for key, value in (functions or {}).items()]
        (folder / f"{name}.yaml").write_text("\n".join(lines))

    return write


@pytest.fixture
def small_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks of lm-eval are those of MMLU-Pro, to spare a test their ten seconds."""
    real = lm_eval_index.TaskManager
    shipped = str(lm_eval_index._SHIPPED / "mmlu_pro")

    def manager(include_path: Any = None, include_defaults: bool = True) -> Any:
        own = [include_path] if isinstance(include_path, str) else list(include_path or [])
        folders = [shipped, *own] if include_defaults else own
        return real(include_path=folders, include_defaults=False)

    monkeypatch.setattr(lm_eval_index, "TaskManager", manager)


# ── Unknown and broken tasks ─────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_an_unknown_task_is_named_with_a_guess(
    asked: Asked, write: Callable[..., None], small_index: None
) -> None:
    write("capitals")
    with pytest.raises(DataError, match=r"unknown lm-eval task 'capitls'. Did you mean capitals\?"):
        asked("capitls")
    with pytest.raises(DataError, match=r"'mmlu_pr_law'. Did you mean mmlu_pro_law\?") as caught:
        asked("capitals", "mmlu_pr_law")
    assert "(capitals)" in str(caught.value)


def test_a_task_that_does_not_load_is_named(asked: Asked, write: Callable[..., None]) -> None:
    write("fine")
    write("gone", dataset_kwargs={"data_files": {"test": "/nowhere/rows.jsonl"}})
    with pytest.raises(DataError, match=r"lm-eval task gone: does not load \(FileNotFoundError"):
        asked("fine", "gone")
    assert not asked.forwards  # type: ignore[attr-defined]


def test_the_member_of_a_group_that_does_not_load_is_named(
    asked: Asked, write: Callable[..., None], tmp_path: Path
) -> None:
    write("fine")
    write("gone", test_split="nosuch")
    group = {"group": "both", "task": ["fine", "gone"]}
    (tmp_path / "tasks" / "both.yaml").write_text(json.dumps(group))
    with pytest.raises(DataError, match=r"lm-eval task gone: does not load \(KeyError"):
        asked("both")


def test_a_task_that_does_not_score_is_named_before_anything_is_asked(
    asked: Asked, write: Callable[..., None]
) -> None:
    write("broken", functions={"process_results": "utils.broken"})
    with pytest.raises(DataError, match=r"task broken: fails to score \(IndexError"):
        asked("broken", trust_remote_code=True)
    assert not asked.forwards  # type: ignore[attr-defined]


def test_scoring_that_fails_later_is_named_too(
    asked: Asked, write: Callable[..., None], tmp_path: Path
) -> None:
    code = (
        "def picky(doc, results):\n    assert results[0] == 'Pave', 'only Pave'\n"
        "    return {'exact_match': 1}\n"
    )
    (tmp_path / "tasks" / "picky.py").write_text(code)
    write("picky", functions={"process_results": "picky.picky"})
    with pytest.raises(DataError, match=r"task picky: fails to score an answer \(Assert.*only Pav"):
        asked("picky", trust_remote_code=True)
    assert asked.forwards  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"limit": 4}, "has 3 questions, and limit = 4 asks for more"),
        ({"metric": "exact_mach"}, "has no metric 'exact_mach'. Did you mean exact_match?"),
        ({"filter": "strict"}, "has no filter 'strict'. Allowed: none"),
        ({"max_new_tokens": 2048}, "2048 new tokens leave no room for a prompt in a context of"),
        ({"num_fewshot": 9}, "has a prompt that cannot be written"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_asked(
    asked: Asked, write: Callable[..., None], more: dict[str, Any], what: str
) -> None:
    write("capitals")
    with pytest.raises(DataError) as caught:
        asked("capitals", **more)
    assert str(caught.value).startswith("lm-eval task capitals: ")
    assert what in str(caught.value)
    assert not asked.forwards  # type: ignore[attr-defined]


def test_code_of_the_model_is_not_run(asked: Asked, write: Callable[..., None]) -> None:
    write("coding", unsafe_code=True)
    with pytest.raises(DataError, match="runs code that the model writes"):
        asked("coding")


def test_data_that_cannot_be_fetched_are_the_machines_fault(
    asked: Asked, write: Callable[..., None]
) -> None:
    write("far", dataset_path="acme/nowhere", dataset_kwargs=None)
    with pytest.raises(MachineError, match="task far: its data cannot be fetched"):
        asked("far")


def test_at_most_takes_what_there_is(asked: Asked, write: Callable[..., None]) -> None:
    write("capitals")
    assert len(asked("capitals", at_most=99).tables["samples"]) == 3
    assert len(asked("capitals", at_most=2).tables["samples"]) == 2


@pytest.mark.parametrize("different", [1, 2])
def test_equal_questions_are_one_cluster(
    asked: Asked, write: Callable[..., None], tmp_path: Path, different: int
) -> None:
    """CASES row 12: sixteen copies of one question counted as sixteen independent ones.

    Copies are told by what they ask: benchmarks number their rows.
    """
    rows = [{"q": f"Question {i % different}?", "a": "Pave", "id": i} for i in range(16)]
    file = tmp_path / "tasks" / "copies.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write("copies", dataset_kwargs={"data_files": {"test": "copies.jsonl"}})
    outcome = asked("copies")
    (accuracy,) = [r for r in outcome.records if r.id == "accuracy@1"]
    assert (accuracy.n, accuracy.clusters) == (16, different)
    assert [row["same_as"] for row in outcome.tables["samples"]] == [
        i % different for i in range(16)
    ]
    if different == 1:
        assert accuracy.ci is None
        assert (
            accuracy.ci_why == "all 16 are of one question, which says nothing of other questions"
        )
    else:  # all wrong: as uncertain as two questions
        assert accuracy.value == 0
        assert accuracy.ci == pytest.approx((0, 3.841458820694124 / (2 + 3.841458820694124)))
    write("single")
    assert all("same_as" not in row for row in asked("single").tables["samples"])


# ── Loud ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_pattern_that_never_matches_is_loud(asked: Asked, write: Callable[..., None]) -> None:
    regex = [{"function": "regex", "regex_pattern": "answer is ([+])"}, {"function": "take_first"}]
    write("silent", filter_list=[{"name": "extract", "filter": regex}])
    outcome = asked("silent")
    (warning,) = outcome.tables["warnings"]
    assert warning["warning"].startswith("not one of 3 answers has the form that extract extracts")
    assert any("lm-eval task silent: not one of 3 answers" in note for note in outcome.notes)
    shares = {r.id: r.value for r in outcome.records}
    assert shares == {"accuracy@1": 0.0, "invalid_answers@1": 1.0, "prompts_truncated@1": 0.0}


@pytest.mark.slow
def test_prompts_that_lose_their_start_are_counted(
    asked: Asked, write: Callable[..., None], tmp_path: Path
) -> None:
    rows = [{"q": "word " * n, "a": "Pave"} for n in (10, 4000)]
    (tmp_path / "tasks" / "long.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    files = {"data_files": {"test": str(tmp_path / "tasks" / "long.jsonl")}}
    write("long", dataset_kwargs=files)
    for _ in range(2):  # asked, and remembered
        outcome = asked("long")
        assert [row["truncated"] for row in outcome.tables["samples"]] == [False, True]
        assert {r.id: r.value for r in outcome.records}["prompts_truncated@1"] == 0.5
        assert "1 of 2 prompts lost their start" in outcome.tables["warnings"][-1]["warning"]


# ── Local copies of data ─────────────────────────────────────────────────────────────────────────


def mmlu_pro(category: str, n: int) -> list[dict[str, Any]]:
    """Rows in MMLU-Pro's own columns."""
    return [
        {
            "question_id": i, "question": f"What is {i}?", "options": ["this", "that"],
            "answer": "B", "answer_index": 1, "category": category, "src": "test",
            "cot_content": "A: Let's think step by step. It is that. The answer is (B).",
        }
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_mmlu_pro_from_local_files(asked: Asked, tmp_path: Path, kind: str) -> None:
    data = tmp_path / "copy" / "data"
    data.mkdir(parents=True)
    rows = pd.DataFrame([*mmlu_pro("law", 3), *mmlu_pro("computer science", 2)])
    for split in ("test", "validation"):
        if kind == "jsonl":
            rows.to_json(data / f"{split}.jsonl", orient="records", lines=True)
        else:
            rows.to_parquet(data / f"{split}-00000-of-00001.parquet")
    tasks = ["mmlu_pro_law", "mmlu_pro_computer_science"]
    outcome = asked(
        *tasks,
        include_path=None,
        data_dir=str(data.parent),
        num_fewshot=1,
        apply_chat_template=False,
    )
    assert {r.axes["domain"]: r.n for r in outcome.records} == dict(zip(tasks, (3, 2), strict=True))
    sample = json.loads(
        (tmp_path / "run" / "samples_mmlu_pro_law.jsonl").read_text().split("\n")[0]
    )
    prompt = sample["arguments"][0][0]
    assert "multiple choice questions (with answers) about law" in prompt
    assert "It is that. The answer is (B)." in prompt
    assert prompt.endswith("A. this\nB. that\nAnswer: Let's think step by step.")
    assert {row["version"] for row in outcome.tables["tasks"]} == {"3.1"}


def test_without_a_validation_split_there_are_no_examples(asked: Asked, tmp_path: Path) -> None:
    file = tmp_path / "test_sample.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in mmlu_pro("law", 3)))
    options = {"include_path": None, "data_dir": str(file)}
    outcome = asked("mmlu_pro_law", num_fewshot=0, **options)
    assert outcome.tables["tasks"][0]["num_fewshot"] == 0
    with pytest.raises(DataError, match=r"takes 5 solved examples from the split 'validation'"):
        asked("mmlu_pro_law", **options)


def test_local_data_without_the_split_that_is_asked(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="asks the split 'test', and data_dir has train"):
        asked("mmlu_pro_law", include_path=None, data_dir=str(tmp_path))


@pytest.mark.slow
def test_a_group_has_its_domains_without_its_name(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    rows = [r for c in _categories() for r in mmlu_pro(c, 2)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = Given(
        tasks=("mmlu_pro",), data_dir=str(file), apply_chat_template=False, num_fewshot=0, limit=1
    )
    leaves = load(given, 0, tmp_path / "scratch").leaves
    assert [leaf.domain for leaf in leaves] == [c.replace(" ", "_") for c in _categories()]
    assert {leaf.filter for leaf in leaves} == {"custom-extract"}
    assert {leaf.fallbacks for leaf in leaves} == {frozenset({"[invalid]"})}


def _categories() -> list[str]:
    return [
        "biology", "business", "chemistry", "computer science", "economics", "engineering",
        "health", "history", "law", "math", "other", "philosophy", "physics", "psychology",
    ]  # fmt: skip


# ── Options ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({}, "apply_chat_template\n  Field required"),
        ({"apply_chat_template": True, "limit": 1, "at_most": 2}, "give one of limit and at_most"),
        (
            {"apply_chat_template": False, "fewshot_as_multiturn": True},
            "fewshot_as_multiturn needs apply_chat_template",
        ),
        ({"apply_chat_template": True, "tasks": ["a", "b", "a"]}, "tasks names a twice"),
        ({"apply_chat_template": True, "tasks": []}, "at least 1 item"),
        ({"apply_chat_template": True, "data_dir": "."}, "no file called after a split"),
        ({"apply_chat_template": True, "use_cache": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_options(
    more: dict[str, Any], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError) as caught:
        Given.model_validate({"tasks": ["a"], **more})
    assert what in str(caught.value)


def test_turns_follow_the_chat_template() -> None:
    assert Given(tasks=("a",), apply_chat_template=True).multiturn
    assert not Given(tasks=("a",), apply_chat_template=False).multiturn
    given = Given(tasks=("a",), apply_chat_template=True, fewshot_as_multiturn=False)
    assert not given.multiturn


@pytest.mark.slow
def test_options_import_nothing_heavy() -> None:
    code = (
        "import sys, harness_evaluators.lm_eval.options, harness_evaluators.plugin\n"
        "assert not {'torch', 'lm_eval', 'datasets', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
