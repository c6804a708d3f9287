"""Item 3 of the issue: each part of the key of lm-eval's answers alone drops them.

What a person changes (questions, model, generation settings) is in test_lm_eval.py.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.store.notes import hearing
from harness_evaluators.lm_eval import model
from harness_evaluators.lm_eval.model import AnswersKey, Store, TaskAnswers

KIND, IDENTITY = "generate_until", ("weights", "float32", "{}")
REQUESTS: list[Any] = [SimpleNamespace(args=("Why?", {"until": ["\n"], "max_gen_toks": 5}))]
FOUND = TaskAnswers(["Because."], [])


def other(text: str, **settings: Any) -> list[Any]:
    return [SimpleNamespace(args=(text, {"until": ["\n"], "max_gen_toks": 5, **settings}))]


PARTS: dict[str, list[tuple[str, tuple[str, ...], list[Any]]]] = {
    "kind": [("loglikelihood", IDENTITY, REQUESTS)],
    "identity": [
        (KIND, ("others", "float32", "{}"), REQUESTS),
        (KIND, ("weights", "bfloat16", "{}"), REQUESTS),
        (KIND, ("weights", "float32", '{"repetition_penalty": 1.1}'), REQUESTS),
    ],
    "requests": [
        (KIND, IDENTITY, other("Why so?")),
        (KIND, IDENTITY, other("Why?", max_gen_toks=6)),
        (KIND, IDENTITY, REQUESTS * 2),
    ],
}
CASES = [(part, case) for part, cases in PARTS.items() for case in cases]


def test_every_part_of_a_key_has_a_case() -> None:
    assert list(PARTS) == [part.name for part in fields(AnswersKey)]


@pytest.mark.parametrize(("part", "case"), CASES)
def test_a_part_that_changes_drops_the_answers(tmp_path: Path, part: str, case: Any) -> None:
    Store(tmp_path, IDENTITY).write("task", KIND, REQUESTS, FOUND)
    kind, identity, requests = case
    with hearing() as heard:
        assert Store(tmp_path, identity).read("task", kind, requests) is None
    assert len(heard) == (part != "kind")  # each kind has a file of its own
    assert Store(tmp_path, IDENTITY).read("task", KIND, REQUESTS) == FOUND


@pytest.mark.parametrize("package", ["lm-eval", "transformers", "torch"])
def test_another_version_of_a_library_drops_the_answers(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path, IDENTITY).write("task", KIND, REQUESTS, FOUND)
    real = model.version
    monkeypatch.setattr(model, "version", lambda name: "0" if name == package else real(name))
    assert Store(tmp_path, IDENTITY).read("task", KIND, REQUESTS) is None


def test_where_the_folder_lies_does_not_count(tmp_path: Path) -> None:
    Store(tmp_path / "a", IDENTITY).write("task", KIND, REQUESTS, FOUND)
    (tmp_path / "a").rename(tmp_path / "b")
    assert Store(tmp_path / "b", IDENTITY).read("task", KIND, REQUESTS) == FOUND
