"""Item 3 of the issue: each part of the key of a judge's answer alone has it asked again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.replay import Replay
from harness.contract import Completion, Findings, Prompt, Sampling, Tokens, Tools
from harness_analyses.clusters.analysis import Clusters
from harness_analyses.clusters.judge import AnswerKey
from harness_analyses.clusters.options import ClustersOptions

from .test_clusters_judge import FINE, NAMES, PATH, rows, said


@dataclass
class Person:
    """What a person has: a taxonomy, labels, options, and a judge among the task's models."""

    taxonomy: Path
    cache: Path
    labels: list[dict[str, Any]] = field(default_factory=lambda: rows("people talking"))
    options: dict[str, Any] = field(default_factory=dict)
    weights: str = "weights"
    asked: int = 0

    def asks(self) -> int:
        """How many questions the judge is asked for the cluster of the feature."""
        before = self.asked
        given = {"sae": "mid", "labels": "np", "taxonomy": str(self.taxonomy), "judge": "judge"}
        options = ClustersOptions.model_validate({**given, **self.options})
        tools = Tools({"judge": self._model()}, self.cache)
        Clusters(options).run(Findings(tables={"labels.np": self.labels}, tools=tools))
        return self.asked - before

    def _model(self) -> Any:
        def render(examples: Any, prompt: Prompt) -> list[Tokens]:
            return [Tokens(one.id, (1,), (0, 1), one.text) for one in examples]

        def generate(tokens: list[Tokens], sampling: Sampling) -> list[Completion]:
            self.asked += len(tokens)
            return [Completion(FINE, 5, stopped=True) for _ in tokens]

        facts = SimpleNamespace(chat_template=False)
        return SimpleNamespace(
            fingerprint=self.weights, facts=facts, device="cpu", render=render, generate=generate
        )


@pytest.fixture
def person(tmp_path: Path) -> Person:
    file = tmp_path / "taxonomy.json"
    file.write_text(json.dumps({"clusters": NAMES}))
    return Person(file, tmp_path / "cache")


def _weights(person: Person) -> None:
    person.weights = "others"


def _longer(person: Person) -> None:
    person.options["max_tokens"] = 65


def _taxonomy(person: Person) -> None:
    person.taxonomy.write_text(json.dumps({"clusters": {**NAMES, "story": "persons"}}))


def _label(person: Person) -> None:
    person.labels = rows("people talk")


PARTS: dict[str, list[Callable[[Person], None]]] = {
    "judge": [_weights],
    "max_tokens": [_longer],
    "prompt": [_taxonomy, _label],
}


def test_every_part_of_a_key_has_a_case() -> None:
    assert list(PARTS) == [part.name for part in fields(AnswerKey)]


@pytest.mark.parametrize("change", [change for changes in PARTS.values() for change in changes])
def test_a_part_that_changes_has_it_asked_again(
    person: Person, change: Callable[[Person], None]
) -> None:
    assert (person.asks(), person.asks()) == (1, 0)
    change(person)
    assert (person.asks(), person.asks()) == (1, 0)


def test_what_does_not_count_asks_nothing_again(person: Person) -> None:
    """Where the taxonomy lies, the number of the feature, and what is counted over clusters."""
    assert person.asks() == 1
    person.taxonomy = person.taxonomy.rename(person.taxonomy.with_name("same.json"))
    person.labels[0]["feature"] = 7
    person.options |= {"top": 3, "within": 4, "task": ["story"]}
    assert person.asks() == 0


@pytest.fixture
def replay() -> Iterator[Replay]:
    server = Replay()
    yield server
    server.close()


def test_another_model_of_a_server_is_asked_again(person: Person, replay: Replay) -> None:
    """Where the server is, and how patiently it is asked, is no part of the key."""
    replay.replies[PATH] = [said(FINE)]
    person.options |= {"judge": None, "server": replay.url, "server_model": "m"}
    person.asks()
    person.options |= {"timeout": 9.0, "retries": 1, "concurrency": 2}
    person.options["server"] = replay.url.replace("127.0.0.1", "localhost")
    person.asks()
    assert len(replay.sent) == 1
    person.options["server_model"] = "other"
    person.asks()
    assert len(replay.sent) == 2
