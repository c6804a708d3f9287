"""Conversations in data: content in parts, content that is null, and what chat templates read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.files import parquet
from harness.contract import Example
from harness.errors import DataError
from harness.task.data import load_data
from harness.task.data_spec import DataSpec
from harness.task.turns import asked

Load = Callable[..., list[Any]]

CALL = {"id": "1", "type": "function", "function": {"name": "w", "arguments": "{}"}}
USER = {"role": "user", "content": "What is the weather?"}
ANSWER = {"role": "assistant", "content": "Rain."}


def conversation(*turns: object) -> str:
    return json.dumps({"messages": turns})


def part(text: object, **more: object) -> dict[str, object]:
    return {"type": "text", "text": text, **more}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([part("How do I wreck the ferry?")], "How do I wreck the ferry?"),
        ([part("How do "), part("I?")], "How do I?"),
        (["How ", part("so?", cache_control={"type": "ephemeral"})], "How so?"),
        ([], ""),
    ],
)
def test_content_in_parts_is_the_text_of_the_parts(load: Load, content: object, text: str) -> None:
    """CASES row 3: it was Python's repr of the list."""
    rows = conversation({"role": "user", "content": content})
    (example,) = load(rows, column="messages")
    assert example.messages == ({"role": "user", "content": text},)
    assert example.text == text
    (table,) = (
        load(parquet([json.loads(rows)]), "d.parquet", column="messages")
        if all(isinstance(one, dict) and len(one) == 2 for one in content)
        else (example,)
    )
    assert table.messages == example.messages


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([part("a"), {"type": "image_url", "image_url": {"url": "x"}}],
         r"row 2 of .*: turn 1 \(user\): part 2 of its content is no text but 'image_url'"),
        ([{"type": "input_audio", "text": "a"}], "part 1 .* 'input_audio'"),
        ([part(None)], "part 1 .* 'NoneType'"),
        ([part(["a"])], "part 1 .* 'list'"),
        ([5], "part 1 .* 'int'"),
        (5, "its content is a int. Allowed: text"),
        ({"type": "text", "text": "a"}, "its content is a dict"),
        (True, "its content is a bool"),
        (None, r"its content is null. Allowed: text, or null beside tool_calls"),
    ],
    ids=repr,
)  # fmt: skip
def test_content_that_is_no_text_is_an_error_of_its_row(
    load: Load, content: object, said: str
) -> None:
    """CASES rows 3 and 4: `str()` made words of anything."""
    rows = "\n".join([conversation(USER), conversation({"role": "user", "content": content})])
    with pytest.raises(DataError, match=said):
        load(rows, column="messages")


@pytest.mark.parametrize("role", [None, 5, "", " ", ["user"]])
def test_a_role_is_text(load: Load, role: object) -> None:
    with pytest.raises(DataError, match=r"row 1 of .*: turn 2: its role is a"):
        load(conversation(USER, {"role": role, "content": "a"}), column="messages")


def test_a_turn_that_calls_a_tool_stays_as_it_is(load: Load) -> None:
    """CASES row 4: the prompt had the word None, and the call was gone."""
    turns = (
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "rain", "tool_call_id": "1"},
        {"role": "user", "content": "And tomorrow?"},
    )
    (example,) = load(conversation(*turns), column="messages")
    assert example.messages == turns
    assert example.text == "What is the weather?\n\nrain\nAnd tomorrow?"
    assert "None" not in example.text
    # OpenAI's own logs leave the key out.
    without = {"role": "assistant", "tool_calls": [CALL]}
    (example,) = load(conversation(USER, without, *turns[2:]), column="messages")
    assert example.messages == turns


def test_a_table_of_columns_writes_null_where_a_turn_has_no_such_key(load: Load) -> None:
    turns = [
        {**USER, "tool_calls": None, "name": None},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "name": None},
    ]
    (example,) = load(parquet([{"messages": turns}]), "d.parquet", column="messages")
    first, second = example.messages
    assert first == USER
    assert second == {"role": "assistant", "content": None, "tool_calls": [CALL]}


def test_thoughts_are_passed_on(load: Load) -> None:
    turn = {**ANSWER, "reasoning_content": "It is wet."}
    (example,) = load(conversation(USER, turn), column="messages")
    assert example.messages == (USER, turn)


# ── What is asked ────────────────────────────────────────────────────────────────────────────────


def example(*turns: dict[str, Any]) -> Example:
    text = "\n".join(turn["content"] for turn in turns)
    return Example("e", text, {"label": 1}, turns, "row 7 of d.jsonl")


def test_what_is_asked_is_a_conversation_without_its_last_answer() -> None:
    """CASES row 5."""
    system, more = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}
    for kept in ((USER,), (system, USER), (USER, ANSWER, more)):
        assert asked(example(*kept)) == example(*kept)
        assert asked(example(*kept, ANSWER)) == example(*kept)
        assert asked(example(*kept, ANSWER, ANSWER)) == example(*kept)
    text = Example("e", "assistant", {})
    assert asked(text) is text


def test_a_conversation_of_answers_asks_nothing() -> None:
    with pytest.raises(DataError, match=r"example e \(row 7 of d.jsonl\): .* nothing is asked"):
        asked(example(ANSWER))


def test_the_request_is_what_the_user_said_last() -> None:
    """CASES row 6."""
    system, more = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}
    assert example(system, USER).request == example(USER, ANSWER).request == USER["content"]
    assert example(USER, ANSWER, more, ANSWER).request == "Why?"
    assert example(system).request == ""
    assert Example("e", "plain").request == "plain"


# ── Texts ────────────────────────────────────────────────────────────────────────────────────────


def test_lone_surrogates_become_replacement_characters(load: Load) -> None:
    r"""TOKENIZERS row T8: `"\ud800"` in JSON was a TypeError of the tokenizer."""
    (row,) = load(r'{"text": "a\ud800b\ud83d\ude00", "more": ["\udc00", {"\udfff": "é"}]}')
    assert row.text == row.fields["text"] == "a\ufffdb\N{GRINNING FACE}"
    assert row.fields["more"] == ["\ufffd", {"\ufffd": "é"}]
    (talk,) = load(conversation({"role": "user", "content": "a\udc00"}), column="messages")
    assert talk.messages[0]["content"] == talk.text == "a\ufffd"
    json.dumps(talk.fields, ensure_ascii=False).encode()


def test_rows_that_differ_in_lone_surrogates_alone_are_two(load: Load) -> None:
    rows = load('{"text": "\\ud800"}\n{"text": "\\ud801"}')
    assert len({row.id for row in rows}) == 2


def test_an_example_knows_the_row_of_its_file(load: Load) -> None:
    rows = "".join(json.dumps({"text": f"t{n}", "odd": n % 2}) + "\n" for n in range(1, 8))
    found = load(rows, where={"odd": 1}, skip=1, shuffle=3)
    assert {one.text.replace("t", "row ") + " of d.jsonl" for one in found} == {
        one.place for one in found
    }
    assert replace(found[0], place="") == found[0]


def test_a_value_that_sorts_rows_is_no_none(load: Load) -> None:
    """The kind of CASES rows 3 and 4: a category was called None, or had a list's repr."""
    assert len(load('{"text": "a", "d": 1}\n{"text": "b", "d": "x"}', by="d")) == 2
    for value in ("null", "[1]", "{}"):
        with pytest.raises(DataError, match=r"row 2 of .*column 'd', which `by` names"):
            load(f'{{"text": "a", "d": 1}}\n{{"text": "b", "d": {value}}}', by="d")


def test_an_id_holds_no_address_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind of CASES rows 3 and 4: images of the hub had another id in each process."""

    class Image:
        pass

    def load_dataset(*given: object, **more: object) -> list[dict[str, object]]:
        rows = [{"text": "a", "image": Image(), "day": date(2024, 7, day)} for day in (26, 27)]
        kept.extend(rows)
        return rows

    kept: list[object] = []  # that no object gets the address of another
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))  # type: ignore[arg-type]
    first, again = (load_data("d", DataSpec(hub="a/b"), tmp_path) for _ in range(2))
    assert [one.id for one in first] == [one.id for one in again]
    assert len({one.id for one in first}) == 2
