"""Label files: what they give, and what is wrong with which line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from harness.contract import Findings, Label, SaeFacts
from harness.errors import DataError
from harness_labels import options
from harness_labels.label_file import File

Write = Callable[..., str]


def read(path: str, features: Sequence[int] = range(100), **more: Any) -> list[Label]:
    source = File(options.FileOptions(path=path, **more))
    return list(source.describe("mid", SaeFacts(d_sae=100), features, Findings()))


def test_csv(write: Write) -> None:
    text = '\ufefffeature,description,cluster,note\r\n7,"a, ""b""\nc",x,1\r\n 3 ,,y,\r\n\r\n'
    assert read(write("a.csv", text)) == [
        Label("mid", 3, "", cluster="y"), Label("mid", 7, 'a, "b"\nc', cluster="x"),
    ]  # fmt: skip


def test_jsonl(write: Write) -> None:
    rows = [
        {"feature": 7, "description": "a\r\u2028b", "url": "http://x"},
        {"feature": "3", "cluster": "y"},
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    assert read(write("a.jsonl", text), [7, 3, 5]) == [
        Label("mid", 7, "a\r\u2028b", url="http://x"), Label("mid", 3, "", cluster="y"),
    ]  # fmt: skip


def test_only_some_rows(write: Write) -> None:
    rows = [{"sae": sae, "feature": 1, "description": sae} for sae in ("low", "high")]
    path = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [label.description for label in read(path, only={"sae": "high"})] == ["high"]
    with pytest.raises(DataError, match="of 2 rows none has"):
        read(path, only={"sae": "mid"})


def test_a_value_that_is_null_is_not_the_word_none(write: Write) -> None:
    """The kind of CASES rows 3 and 4: `str()` made words of null, lists and objects."""
    rows = [{"sae": sae, "feature": 1, "description": str(sae)} for sae in (None, ["a"], 5)]
    path = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [label.description for label in read(path, only={"sae": "5"})] == ["5"]
    for word in ("None", "['a']"):
        with pytest.raises(DataError, match="of 3 rows none has"):
            read(path, only={"sae": word})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "feature,cluster\n1,x\n100,x\n", r"a.csv:3: feature 100 is unknown. .* 0 to 99"),
        ("a.csv", "feature,cluster\n1,x\n2,y\n1,x\n", r"a.csv:4: feature 1 was in line 2 already"),
        ("a.csv", "feature,cluster\n-1,x\n", r":2: feature is '-1'. Allowed: a whole number"),
        ("a.csv", "feature,cluster\n1.5,x\n", r":2: feature is '1.5'"),
        ("a.csv", "feature,cluster\n" + "9" * 5000 + ",x\n", r":2: feature is '999"),
        ("a.csv", "feature,cluster\n1,\n", r":2: neither description nor cluster"),
        ("a.csv", "feature,cluster\n1,x,y\n", r":2: has 3 cells, the header has 2"),
        ("a.csv", "number,cluster\n1,x\n", r":1: the columns are number, cluster. Needed: feature"),
        ("a.csv", "feature,text\n1,x\n", r":1: the columns are feature, text"),
        ("a.csv", "", r":1: the columns are none"),
        ("a.csv", 'feature,cluster\n1,"x\n', r"is not CSV"),
        ("a.csv", "feature,cluster\n", r"it has no rows"),
        ("a.csv", b"feature,cluster\n1,\xff\n", r"is not UTF-8"),
        ("a.jsonl", '{"feature": 1, "cluster": "x"}\n{', r"a.jsonl:2: is not JSON"),
        ("a.jsonl", "[1]", r":1: is a list, not an object"),
        ("a.jsonl", '{"feature": true, "cluster": "x"}', r":1: feature is True"),
        ("a.jsonl", '{"feature": null, "cluster": "x"}', r":1: feature is None"),
        ("a.jsonl", '{"cluster": "x"}', r":1: feature is None"),
        ("a.jsonl", '{"feature": 1, "cluster": 3}', r":1: cluster is 3. Allowed: text"),
        ("a.jsonl", 2 * '{"feature": 1, "cluster": "x"}\n', r":2: feature 1 was in line 1"),
        ("a.jsonl", "[" * 100_000, r":1: is not JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(
    write: Write, name: str, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(write(name, text), [50])  # also where the feature is not asked for


def test_a_file_that_is_gone_and_another_form(write: Write) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read("/nowhere/a.csv")
    with pytest.raises(ValidationError, match=r"neither \.csv nor \.jsonl"):
        options.FileOptions(path="labels.xlsx")
