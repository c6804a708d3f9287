"""The judge of `clusters`: a server that replays answers, and a model of the task."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.replay import Replay, Reply, only_what_hangs_times_out, pauses_of_web
from harness.contract import Completion, Example, Findings, Outcome, Prompt, Sampling, Tokens, Tools
from harness.errors import UsageError
from harness.store.lines import Lines
from harness_analyses.clusters.analysis import Clusters
from harness_analyses.clusters.options import ClustersOptions as Options
from harness_analyses.clusters.question import question

PATH = "/v1/chat/completions"
NAMES = {"refusal": "declining", "story": "people", "other": "anything else"}
FINE = '{"label": "story", "confidence": 0.9}'


@pytest.fixture
def replay() -> Iterator[Replay]:
    server = Replay()
    yield server
    server.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return pauses_of_web(monkeypatch)


@pytest.fixture
def taxonomy(tmp_path: Path) -> str:
    file = tmp_path / "taxonomy.json"
    file.write_text(json.dumps({"clusters": NAMES}))
    return str(file)


def said(text: Any, status: int = 200) -> Reply:
    return Reply(
        json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}), status
    )


def rows(*texts: str, cluster: str | None = None) -> list[dict[str, Any]]:
    return [{"sae": "mid", "feature": f, "description": text, "cluster": cluster, "url": None,
             "contexts": []} for f, text in enumerate(texts)]  # fmt: skip


def ask(
    taxonomy: str,
    replay: Replay,
    table: list[dict[str, Any]],
    cache: Path | None = None,
    **more: Any,
) -> Outcome:
    given = {
        "server": replay.url,
        "server_model": "m",
        "concurrency": 1,
        "timeout": 600.0,
        "retries": 2,
    }
    options = Options(sae="mid", taxonomy=taxonomy, labels="np", **{**given, **more})
    return Clusters(options).run(Findings(tables={"labels.np": table}, tools=Tools(cache=cache)))


def clusters(outcome: Outcome) -> list[Any]:
    return [(row["cluster"], row["invalid"]) for row in outcome.tables["assignments"]]


def invalid(outcome: Outcome) -> tuple[Any, int]:
    (record,) = [r for r in outcome.records if r.id == "invalid_labels@1"]
    return record.value, record.n


# ── A server ─────────────────────────────────────────────────────────────────────────────────────


def test_what_is_asked_and_answered(taxonomy: str, replay: Replay) -> None:
    replay.replies[PATH] = [said(FINE)]
    outcome = ask(taxonomy, replay, rows("people talking"))
    (sent,) = replay.sent
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("m", 0, 64)
    assert "people talking" in sent["messages"][0]["content"]
    (row,) = outcome.tables["assignments"]
    assert (row["cluster"], row["confidence"], row["invalid"]) == ("story", 0.9, None)
    assert invalid(outcome) == (0, 1)


def test_nothing_is_asked_twice(taxonomy: str, replay: Replay, tmp_path: Path) -> None:
    replay.replies[PATH] = [said(FINE)]
    ask(taxonomy, replay, rows("a", "b", "a"), tmp_path)
    assert len(replay.sent) == 2  # the same text, the same answer
    ask(taxonomy, replay, rows("b", "a", "c"), tmp_path)
    assert len(replay.sent) == 3
    (file,) = tmp_path.rglob("answers.jsonl")
    whole = file.read_text()
    file.write_text("nonsense\n[]\n" + whole[:-10])  # torn inside the last answer
    ask(taxonomy, replay, rows("a", "b", "c"), tmp_path)
    assert len(replay.sent) == 4
    ask(taxonomy, replay, rows("a", "b", "c"), tmp_path)
    assert len(replay.sent) == 4
    ask(taxonomy, replay, rows("a"), tmp_path, server_model="another")
    assert len(replay.sent) == 5


@pytest.mark.parametrize(
    "lie", ["poetry", '{"label": "poetry", "confidence": 1}', "", None, 3, '{"label": "story"}']
)
def test_a_lying_judge_is_asked_once_more_then_counted(
    taxonomy: str, replay: Replay, tmp_path: Path, lie: Any
) -> None:
    replay.replies[PATH] = [said(lie)]
    outcome = ask(taxonomy, replay, rows("a"), tmp_path)
    assert len(replay.sent) == 2
    first, second = (sent["messages"][0]["content"] for sent in replay.sent)
    assert second.startswith(first)
    assert "must be one of: refusal, story, other" in second
    ((cluster, why),) = clusters(outcome)
    assert cluster == "other"
    assert why.startswith("no valid answer")
    assert invalid(outcome) == (1, 1)
    ask(taxonomy, replay, rows("a"), tmp_path)
    assert len(replay.sent) == 2


def test_a_judge_that_mends_its_ways(taxonomy: str, replay: Replay) -> None:
    replay.replies[PATH] = [said("```json"), said(FINE)]
    assert clusters(ask(taxonomy, replay, rows("a"))) == [("story", None)]


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"choices": []}', "<html>", "[" * 100_000])
def test_malformed_bodies_are_no_answer(taxonomy: str, replay: Replay, body: str) -> None:
    replay.replies[PATH] = [Reply(body), said(FINE)]
    assert clusters(ask(taxonomy, replay, rows("a"))) == [("story", None)]


def test_limits_and_errors_are_waited_out(
    taxonomy: str, replay: Replay, pauses: list[float]
) -> None:
    limit = Reply("slow", 429, {"Retry-After": "21"})
    replay.replies[PATH] = [limit, Reply("oh", 500), said(FINE)]
    assert clusters(ask(taxonomy, replay, rows("a"))) == [("story", None)]
    assert pauses[0] == 21
    assert 1 <= pauses[1] < 10


def test_an_unreachable_judge_costs_the_rest_but_not_the_run(
    taxonomy: str, replay: Replay, pauses: list[float], tmp_path: Path
) -> None:
    replay.replies[PATH] = [said(FINE), Reply("oh", 503)]
    outcome = ask(taxonomy, replay, rows("a", "b", "c"), tmp_path)
    found = clusters(outcome)
    assert found[0] == ("story", None)
    for cluster, why in found[1:]:
        assert cluster == "other"
        assert "cannot be reached" in why
        assert "503" in why
    assert len(replay.sent) == 1 + 3  # the second one thrice, the third one never
    assert invalid(outcome) == (2 / 3, 3)
    replay.replies[PATH] = [said(FINE)]
    assert clusters(ask(taxonomy, replay, rows("a", "b", "c"), tmp_path)) == [("story", None)] * 3
    assert len(replay.sent) == 6


def test_nobody_there_and_a_server_that_hangs(
    taxonomy: str, replay: Replay, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_what_hangs_times_out(monkeypatch, replay)
    outcome = ask(taxonomy, replay, rows("a", "b"), server="http://127.0.0.1:9")
    assert invalid(outcome) == (1, 2)
    replay.replies[PATH] = [Reply(hangs=True)]
    outcome = ask(taxonomy, replay, rows("a", "b"), timeout=0.2, retries=0)
    assert invalid(outcome) == (1, 2)
    assert len(replay.asked) == 1


def test_a_pause_that_is_none_any_more(taxonomy: str, replay: Replay, pauses: list[float]) -> None:
    replay.replies[PATH] = [Reply("slow", 429, {"Retry-After": "7200"})]
    ((_, why),) = clusters(ask(taxonomy, replay, rows("a")))
    assert "asks to wait 7200 seconds" in why
    assert not pauses


def test_several_at_a_time(taxonomy: str, replay: Replay) -> None:
    replay.replies[PATH] = [said(FINE)]
    outcome = ask(taxonomy, replay, rows(*"abcdefghijkl"), concurrency=4)
    assert clusters(outcome) == [("story", None)] * 12
    assert len(replay.sent) == 12


def test_keys(taxonomy: str, replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(UsageError, match="JUDGE_KEY is not set"):
        ask(taxonomy, replay, rows("a"), api_key_variable="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", "sk-secret")
    replay.replies[PATH] = [said(FINE)]
    ask(taxonomy, replay, rows("a"), api_key_variable="JUDGE_KEY")
    assert replay.asked[0][1]["authorization"] == "Bearer sk-secret"
    replay.replies[PATH] = [Reply("sk-secret is wrong", 401)]
    with pytest.raises(UsageError, match=r"refused: 401 .*variable JUDGE_KEY") as caught:
        ask(taxonomy, replay, rows("a"), api_key_variable="JUDGE_KEY")
    assert "sk-secret" not in str(caught.value)
    with pytest.raises(UsageError, match="name that: api_key_variable"):
        ask(taxonomy, replay, rows("a"))
    monkeypatch.setenv("JUDGE_KEY", "two\nlines")
    with pytest.raises(UsageError, match="holds no key"):
        ask(taxonomy, replay, rows("a"), api_key_variable="JUDGE_KEY")


@pytest.mark.parametrize("status", [400, 404, 302])
def test_a_wrong_address(taxonomy: str, replay: Replay, status: int) -> None:
    replay.replies[PATH] = [Reply("no", status, {"Location": "http://127.0.0.1:9/"})]
    with pytest.raises(UsageError, match=r"server must be the address"):
        ask(taxonomy, replay, rows("a"))


def test_features_without_a_description_are_not_asked_about(taxonomy: str, replay: Replay) -> None:
    replay.replies[PATH] = [said(FINE)]
    assert clusters(ask(taxonomy, replay, rows("", "a"))) == [(None, None), ("story", None)]
    assert len(replay.sent) == 1
    assert invalid(ask(taxonomy, replay, [])) == (None, 0)


def test_the_judge_against_the_labels_own_clusters(taxonomy: str, replay: Replay) -> None:
    table = rows(*(f"text {i}" for i in range(20)))
    for index, row in enumerate(table):
        row["cluster"] = "refusal" if index % 2 else "story"
    replies = [said(FINE), said('{"label": "refusal", "confidence": 1}')] * 10
    replay.replies[PATH] = replies
    (record,) = [r for r in ask(taxonomy, replay, table).records if r.id == "clusters.kappa@1"]
    assert (record.value, record.n, record.axes["against"]) == (1.0, 20, "np")
    replay.replies[PATH] = [said(FINE)]
    assert not [r for r in ask(taxonomy, replay, rows("a")).records if r.id == "clusters.kappa@1"]


# ── A model of the task ──────────────────────────────────────────────────────────────────────────


class Model:
    """Answers with what it finds between « and »."""

    fingerprint = "f00"

    def __init__(self, template: bool) -> None:
        self.facts = SimpleNamespace(chat_template=template)
        self.styles: set[str] = set()
        self.sizes: list[int] = []

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        self.styles.add(prompt.style)
        return [Tokens(e.id, (1,), (0, 1), e.text) for e in examples]

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        assert sampling.temperature == 0
        self.sizes.append(len(tokens))
        found = [re.findall(r"«(\w+)»", t.text)[-1] for t in tokens]
        return [Completion(json.dumps({"label": f, "confidence": 1}), 9, True) for f in found]


@pytest.mark.parametrize("template", [True, False])
def test_a_local_model(taxonomy: str, template: bool, tmp_path: Path) -> None:
    model = Model(template)
    table = rows(*"abcdefghijk")
    for index, row in enumerate(table):
        token = ("refusal", "poetry")[index == 10]
        row["contexts"] = [{"tokens": [token], "values": [1.0], "mark": 0}]
    analysis = Clusters(Options(sae="mid", taxonomy=taxonomy, labels="np", judge="tiny"))
    tools = Tools(models={"tiny": model}, cache=tmp_path)  # type: ignore[dict-item]
    for _ in range(2):
        outcome = analysis.run(Findings(tables={"labels.np": table}, tools=tools))
        assert [one for one, _ in clusters(outcome)] == ["refusal"] * 10 + ["other"]
        assert invalid(outcome) == (1 / 11, 11)
    assert model.styles == {"chat" if template else "plain"}
    assert model.sizes == [8, 3, 1]  # and nothing in the second run


@pytest.mark.parametrize("sealed", [True, False])
def test_what_an_earlier_version_was_answered_counts_where_it_has_its_hash(
    taxonomy: str, replay: Replay, tmp_path: Path, sealed: bool
) -> None:
    """Keys are the hash of judge and prompt. CASES row 10: the first lines had no hash of
    themselves, so nobody can tell whether a letter of them was changed."""
    table = rows("a")
    asked = f"server m 64\0{question(table[0], NAMES)}"
    key = hashlib.sha256(asked.encode()).hexdigest()
    file = tmp_path / "clusters" / "answers.jsonl"
    file.parent.mkdir()
    line = {"key": key, "answer": FINE}
    if sealed:
        with closing(Lines(file)) as lines:
            lines.add(line)
    else:
        file.write_text(json.dumps(line) + "\n")
        replay.replies[PATH] = [said(FINE)]
    assert clusters(ask(taxonomy, replay, table, tmp_path)) == [("story", None)]
    assert len(replay.asked) == (0 if sealed else 1)
