"""The directory of plugins: every entry is valid, and what a stranger writes there is harmless."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from pydantic import ValidationError

ROOT = Path(__file__).parents[1]
if str(ROOT / "docs") not in sys.path:
    sys.path.insert(0, str(ROOT / "docs"))

from generator.directory import ENTRIES, EXAMPLE, EXAMPLES, page, read  # noqa: E402

GOOD: dict[str, Any] = tomllib.loads(EXAMPLE)


def entry(folder: Path, name: str = "harness-growth.toml", **changes: Any) -> Path:
    file = folder / name
    values = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    file.write_text(tomli_w.dumps(values), encoding="utf-8")
    return file


def test_every_entry_is_valid() -> None:
    """What somebody has sent is read with the words of the page, and said here if it isn't."""
    assert ENTRIES.is_dir()
    files = [file for file in ENTRIES.iterdir() if file.name != ".gitkeep"]
    assert all(file.suffix == ".toml" for file in files)
    for file in files:
        read(file)


def test_the_example_of_the_page_is_an_entry(tmp_path: Path) -> None:
    text = re.search(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert text is not None
    file = tmp_path / "harness-growth.toml"
    file.write_text(text[1], encoding="utf-8")
    assert read(file).provides == ("metric: growth",)


def test_an_entry_is_a_row(tmp_path: Path) -> None:
    assert "None is listed yet" in page(tmp_path)
    entry(tmp_path)
    entry(tmp_path, "a-b.toml", package="a-b", status="archived", provides=["sae_format: x"])
    rows = [line for line in page(tmp_path).splitlines() if line.startswith("| [")]
    assert rows[0].startswith(f"| [a-b]({GOOD['repository']}) (archived) | ")
    assert rows[1].startswith(f"| [harness-growth]({GOOD['repository']}) | {GOOD['summary']} | ")
    assert "`metric: growth`" in rows[1]


def test_an_entry_changes_nothing_else_on_the_page(tmp_path: Path) -> None:
    entry(tmp_path, summary="a | b <script>alert(1)</script>", license="MIT | x <b>")
    text = page(tmp_path)
    assert "<script>" not in text
    assert "<b>" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| [harness-growth]")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"package": "Harness_Growth"},
        {"package": "other"},
        {"summary": ""},
        {"summary": "x" * 121},
        {"summary": "two\nlines"},
        {"summary": "red \x1b[31m"},
        {"provides": []},
        {"provides": ["metrics: growth"]},
        {"provides": ["metric growth"]},
        {"provides": ["metric: a b"]},
        {"repository": "http://example.org/x"},
        {"repository": "javascript:alert(1)"},
        {"repository": "https://example.org/x) [y](z"},
        {"license": None},
        {"harness": "any"},
        {"status": "best"},
        {"stars": 5},
    ],
    ids=str,
)
def test_what_is_no_entry_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises((ValidationError, ValueError)):
        read(entry(tmp_path, **changes))


def test_every_example_of_the_tests_is_there() -> None:
    text = page()
    for project in EXAMPLES.glob("*/pyproject.toml"):
        name = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["name"]
        (row,) = [line for line in text.splitlines() if line.startswith(f"| [{name}](")]
        assert "?" not in row.split("|")[3], f"{name}: write Component(kind=…, name=…) with texts"
    assert "`sae_format: polar`, `metric: length_ratio`" in text
