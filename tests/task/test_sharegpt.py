"""Conversations as ShareGPT writes them, and rows that cannot be read. Issue 20, 6."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from harness.task.data import load_data
from harness.task.data_spec import DataSpec

# Rows in the columns of datasets on the hub: ShareGPT's, and LLaMA-Factory's with calls of tools.
SHARED = {
    "id": "QWJhYvA_0",
    "conversations": [
        {"from": "system", "value": "Be brief.", "weight": None},
        {"from": "human", "value": "What is the weather?"},
        {"from": "gpt", "value": "Rain."},
    ],
}
CALLED = {
    "conversations": [
        {"from": "human", "value": "Is it raining?"},
        {"from": "function_call", "value": '{"name": "rain", "arguments": {"where": "here"}}'},
        {"from": "observation", "value": '{"rain": true}'},
        {"from": "gpt", "value": "It is."},
    ],
    "tools": '[{"name": "rain", "description": "Is there rain?", "parameters": {}}]',
}
READ = [
    {"role": "user", "content": "Is it raining?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "rain", "arguments": {"where": "here"}}}
        ],
    },
    {"role": "tool", "content": '{"rain": true}'},
    {"role": "assistant", "content": "It is."},
]
Read = Callable[..., list[Any]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def of(*rows: object, **options: Any) -> list[Any]:
        file = tmp_path / "rows.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        spec = DataSpec(file=str(file), column="conversations", **options)
        left: list[tuple[str, str]] = []
        found = load_data("d", spec, tmp_path, lambda row, why: left.append((row, why)))
        return [found, left]

    return of


def said(who: object, value: object) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": value}]}


def test_from_and_value_are_role_and_content(read: Read) -> None:
    ((row, called), _) = read(SHARED, CALLED)
    assert row.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is the weather?"},
        {"role": "assistant", "content": "Rain."},
    )
    assert list(called.messages) == READ
    assert called.fields["tools"] == CALLED["tools"]


def test_several_calls_and_a_call_that_is_no_text(read: Read) -> None:
    calls = [{"name": "a", "arguments": '{"x": 1}'}, {"name": "b"}]
    ((one, other), _) = read(said("tool_call", json.dumps(calls)), said("function_call", calls[0]))
    names = [call["function"] for call in one.messages[0]["tool_calls"]]
    assert names == [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": {}}]
    assert other.messages[0]["tool_calls"][0]["function"]["arguments"] == {"x": 1}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            said("narrator", "a"),
            r"turn 1: it is from 'narrator'\. Allowed: assistant, .*human.*lea",
        ),
        (said(3, "a"), r"it is from 3\. Allowed"),
        (said("human", None), r"turn 1 \(user\): its content is null"),
        (
            said("function_call", "rain"),
            r"\(function_call\): its value is no call .*: 'rain'\. All",
        ),
        (said("function_call", "[1]"), r"is no call of a tool"),
        ({"conversations": [{"from": "human"}]}, r"must have role and content, not from\. A"),
    ],
)
def test_a_row_that_cannot_be_read(read: Read, row: Any, says: str) -> None:
    with pytest.raises(DataError, match=rf"data\.d: row 2 of .*{says}"):
        read(SHARED, row, CALLED)
    found, left = read(SHARED, row, CALLED, on_bad_rows="skip")
    assert [example.place for example in found] == ["row 1 of rows.jsonl", "row 3 of rows.jsonl"]
    ((place, why),) = left
    assert place == "row 2"
    with pytest.raises(DataError, match=rf"nothing is left of it: no row can be read\. .*{says}"):
        read(row, row, on_bad_rows="skip")
    assert "row 2" in why


def test_rows_that_are_left_out_count_among_those_that_are_wanted(read: Read) -> None:
    found, left = read(said("narrator", "a"), SHARED, SHARED, on_bad_rows="skip", limit=2)
    assert (len(found), len(left)) == (1, 1)
