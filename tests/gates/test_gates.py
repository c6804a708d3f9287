"""Gates: the language, what holds, what CI is told."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cli.main import main
from harness.contract import Record
from harness.gates import check, parse
from harness.gates.junit import junit
from harness.gates.terminal import lines


def record(value: float | None, id: str = "ir.per_token@1", **axes: object) -> Record:
    ci = None if value is None else (value - 0.1, value + 0.1)
    why = None if value is not None else "no token"
    return Record(id, value, 10, "tokens", "share", ci=ci, undefined=why, axes=axes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value", "passed"),
    [
        ("ir.per_token >= 0.5", 0.5, True),
        ("ir.per_token > 0.5", 0.5, False),
        ("ir.per_token@1 <= 0.5", 0.5, True),
        ("ir.per_token < 5e-1", 0.5, False),
        ("ir.per_token == 0.5", 0.5, True),
        ("ir.per_token != 0.5", 0.5, False),
        ("low(ir.per_token) >= 0.5", 0.55, False),
        ("high( ir.per_token[site=a] ) < 0.7", 0.55, True),
        ("ir.per_token[site=a, k=8] >= 0", 0.55, True),
        ("ir.per_token[site='a',k=8.0] >= 0", 0.55, True),
        ("ir.per_token[on=true] >= -inf", 0.55, True),
        ("ir.per_token >= 0.5", None, False),
        ("ir.per_token[site=b] >= 0", 0.55, False),
        ("ir.per_tokens >= 0", 0.55, False),
        ("ir.per_token[layer=1] >= 0", 0.55, False),
        ("ir.per_token@2 >= 0", 0.55, False),
    ],
)
def test_a_gate_holds_or_does_not(text: str, value: float | None, passed: bool) -> None:
    (found,) = check([parse("g", text)], [record(value, site="a", k=8, on=True)])
    assert found.passed is passed


def test_every_record_that_fits_must_fulfil_it() -> None:
    records = [record(0.9, site="a"), record(0.1, site="b"), record(0.9, "other@1", site="c")]
    found = check([parse("g", "ir.per_token > 0.5")], records)
    assert [one.passed for one in found] == [True, False]
    assert "site=b" in found[1].message


def test_an_interval_that_is_not_there_fails_with_its_reason() -> None:
    bare = Record("x@1", 1.0, 1, "tokens", "share", ci_why="3 documents")
    (found,) = check([parse("g", "low(x) > 0")], [bare])
    assert not found.passed
    assert "3 documents" in found.message


def test_what_is_missing_is_said_with_a_suggestion() -> None:
    (found,) = check([parse("g", "ir.per_tokn > 0")], [record(1.0)])
    assert found.message == "no record ir.per_tokn was measured. Did you mean ir.per_token?"
    (found,) = check([parse("g", "ir.per_token[sight=a] > 0")], [record(1.0, site="a")])
    assert "no axis sight, but site" in found.message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is no condition"),
        ("ir >= ", "is no condition"),
        ("ir => 3", "is no condition"),
        ("low(ir >= 3", "is no condition"),
        ("ir >= much", "is no number"),
        ("ir >= nan", "is no number"),
        ("ir[site] >= 3", "is no axis"),
        ("ir[a=1,a=2] >= 3", "twice"),
        ("ir >= 3; import os", "is no condition"),
    ],
)
def test_what_is_no_gate_is_said(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse("g", text)


def test_junit_is_xml_whatever_stands_in_the_records() -> None:
    hostile = record(0.1, site="<a>&\x00\x1b]0;\ud800")
    xml = junit("t", check([parse("g", "ir.per_token > 0.5")], [hostile]))
    (suite,) = ElementTree.fromstring(xml)
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "<a>&" in str(failure.get("message"))


def test_lines_count() -> None:
    found = check([parse("g", "ir.per_token > 0.5")], [record(0.9), record(0.1)])
    assert [line.split()[0] for line in lines(found)] == ["passed", "FAILED", "Gates:"]
    assert lines(found)[-1] == "Gates: 1 passed, 1 failed."


def run_of(folder: Path, gates: object, status: str = "complete") -> Path:
    row = {**record(0.9).__dict__, "axes": {}, "options": {}}
    task = {"name": "t", "gates": gates}
    problems = ["broken"] if status == "invalid" else []
    content = {"schema": 1, "status": status, "task": task, "provenance": {}, "problems": problems}
    (folder / "results.json").write_text(json.dumps({**content, "records": [row]}))
    return folder


@pytest.mark.parametrize(
    ("gates", "status", "code", "says"),
    [
        ({"a": {"assert": "ir.per_token > 0.5"}}, "complete", 0, "1 passed, 0 failed"),
        ({"a": {"assert": "ir.per_token > 0.95"}}, "complete", 1, "0 passed, 1 failed"),
        ({"a": {"assert": "other > 0.95"}}, "complete", 1, "no record other"),
        ({"a": {"assert": "ir.per_token > 0.5"}}, "invalid", 3, "invalid"),
        ({}, "complete", 2, "no gates"),
        ({"a": {"assert": "nonsense"}}, "complete", 2, "no condition"),
        ({"a": "x"}, "complete", 2, "gates"),
    ],
)
def test_the_command(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    gates: object,
    status: str,
    code: int,
    says: str,
) -> None:
    file = tmp_path / "out.xml"
    folder = run_of(tmp_path, gates, status)
    assert main(["gate", str(folder), "--junit", str(file)]) == code
    shown = capsys.readouterr()
    assert says in shown.out + shown.err
    assert "Traceback" not in shown.err
    assert file.exists() is (code in (0, 1))
