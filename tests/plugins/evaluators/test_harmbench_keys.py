"""Item 3 of the issue: each part of a verdict's key alone has the question asked again.

The parts are those of the code's own key. Each is changed by what a person can change: options,
files, rows, and the weights of the judge.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from harness.contract import Answer, Tools
from harness_evaluators.harmbench import evaluator
from harness_evaluators.harmbench.evaluator import HarmBench, Question, VerdictKey
from harness_evaluators.harmbench.options import HarmBenchOptions
from harness_evaluators.harmbench.template import FILES, template_text

from .conftest import Recorded, Server, answer, load


@dataclass
class Person:
    """What a person has: files, rows and options."""

    folder: Path
    template: Path
    cache: Path
    answer: Answer = field(
        default_factory=lambda: answer("Sure.", "Bake.", about="food", kind="cake")
    )
    options: dict[str, Any] = field(default_factory=dict)

    def asks(self) -> int:
        """How many questions the judge is asked for the verdict of the answer."""
        model = Recorded(load(self.folder))
        options = HarmBenchOptions(model="judge", **self.given())
        tools = Tools({"judge": model}, self.cache)  # type: ignore[dict-item]
        HarmBench(options).judge([self.answer], tools)
        return len(model.asked)

    def given(self) -> dict[str, Any]:
        return {
            "template_file": str(self.template),
            "context": 900,
            "context_column": "about",
            **self.options,
        }


@pytest.fixture
def person(classifier: Path, tmp_path: Path) -> Person:
    file = tmp_path / "template.txt"
    file.write_text(template_text(FILES["B"]) + "{context}")
    return Person(Path(shutil.copytree(classifier, tmp_path / "judge")), file, tmp_path / "cache")


def _protocol(person: Person) -> None:
    """A version of the plugin that asks in another way."""
    evaluator._PROTOCOL += 1  # undone by the test


def _weights(person: Person) -> None:
    tensors = load_file(person.folder / "model.safetensors")
    tensors["model.norm.weight"] += 1e-3
    save_file(tensors, person.folder / "model.safetensors", {"format": "pt"})


def _tokenizer(person: Person) -> None:
    settings = person.folder / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "model_max_length": 99}))


def _template(person: Person) -> None:
    person.template.write_text(person.template.read_text() + " ")


def _option(name: str, value: object) -> Callable[[Person], None]:
    return lambda person: person.options.update({name: value})


def _row(**values: object) -> Callable[[Person], None]:
    def change(person: Person) -> None:
        example = replace(person.answer.example, **values)  # type: ignore[arg-type]
        person.answer = replace(person.answer, example=example)

    return change


def _completion(person: Person) -> None:
    person.answer = replace(
        person.answer, completion=replace(person.answer.completion, text="Sure!")
    )


PARTS: dict[str, list[Callable[[Person], None]]] = {
    "protocol": [_protocol],
    "judge": [_weights, _tokenizer],
    "limits": [_option("clip", 100), _option("context", 600)],
    "question.template": [_template],
    "question.behavior": [_row(text="Bake it."), _option("behavior_column", "kind")],
    "question.context": [_row(fields={"about": "drinks"})],
    "question.generation": [_completion],
}
CHANGES = [
    pytest.param(change, id=f"{part}-{number}")
    for part, changes in PARTS.items()
    for number, change in enumerate(changes)
]


def test_every_part_of_a_key_has_a_case() -> None:
    parts = [part.name for part in fields(VerdictKey)]
    parts[parts.index("question") :] = [f"question.{part.name}" for part in fields(Question)]
    assert list(PARTS) == parts


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_part_that_changes_has_it_asked_again(
    person: Person, change: Callable[[Person], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "_PROTOCOL", evaluator._PROTOCOL)
    assert (person.asks(), person.asks()) == (1, 0)
    change(person)
    assert (person.asks(), person.asks()) == (1, 0)


def test_what_does_not_count_asks_nothing_again(person: Person) -> None:
    """Where files lie and what they are called, other columns, and how answers are read."""
    assert person.asks() == 1
    person.folder = person.folder.rename(person.folder.with_name("elsewhere"))
    person.template = person.template.rename(person.template.with_name("same.txt"))
    person.options["invalid"] = "no"
    _row(id="another", fields={"about": "food", "kind": "pie", "more": 1})(person)
    assert person.asks() == 0


# ── A server ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sent(person: Person, server: Server) -> Callable[[], int]:
    """How many questions a server is asked for the verdict."""

    def sent() -> int:
        own = {"server": server.url, "server_model": "cls", "tokenizer": str(person.folder)}
        options = HarmBenchOptions(**{**own, "timeout": 5.0, **person.given()})
        before = len(server.requests)
        HarmBench(options).judge([person.answer], Tools(cache=person.cache))
        return len(server.requests) - before

    return sent


def _longer(person: Person) -> None:
    settings = person.folder / "tokenizer.json"
    content = json.loads(settings.read_text())
    content["post_processor"] = None  # no start token, so other completions are clipped
    settings.write_text(json.dumps(content))


@pytest.mark.parametrize("change", [_option("server_model", "other"), _longer, _tokenizer])
def test_another_server_is_asked_again(
    person: Person, sent: Callable[[], int], change: Callable[[Person], None]
) -> None:
    """What is sent is clipped by the tokenizer, so its files count, not where they lie."""
    assert (sent(), sent()) == (1, 0)
    person.folder = person.folder.rename(person.folder.with_name("elsewhere"))
    person.options |= {"concurrency": 2, "timeout": 9.0, "retries": 1}
    assert sent() == 0
    change(person)
    assert (sent(), sent()) == (1, 0)


def test_another_address_is_the_same_judge(
    person: Person, sent: Callable[[], int], server: Server
) -> None:
    """Issue 16, item 5: where a server is says nothing about the number."""
    assert sent() == 1
    server.url = server.url.replace("127.0.0.1", "localhost")
    assert sent() == 0
