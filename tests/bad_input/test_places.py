"""Paths that no folder of a task's files has: a whole disk, a name that no disk takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaign.grammar import TABLES
from campaign.referee import run
from harness.contract import Place
from harness.registry import discover
from harness.store.folders import files_below
from harness.task.validate import marks

REGISTRY = discover()
NEEDED = {"lm_eval": 'tasks = ["mmlu"]\napply_chat_template = false\n'}
"""What must stand beside a path before it is looked at."""


def _places() -> list[tuple[str, str, str, str]]:
    """Every key of every component of every table that holds a path."""
    found = []
    tables = [(table, kind, key) for table, (_, kind, key) in TABLES.items()]
    tables += [("models", "backend", "backend"), ("saes", "sae_format", "format")]
    for table, kind, key in tables:
        for owned in [] if kind is None else REGISTRY.of(kind):
            for name, mark in marks(owned.options()):
                if isinstance(mark, Place):
                    found.append((table, key, owned.component.name, name))
    return found


PLACES = _places()


def test_places_are_of_many_kinds() -> None:
    assert {table for table, _, _, _ in PLACES} >= {"models", "saes", "evaluators", "analyses"}
    assert ("evaluators", "method", "lm_eval", "data_dir") in PLACES
    assert ("analyses", "method", "clusters", "taxonomy") in PLACES


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=".".join)
@pytest.mark.parametrize("written", ["/", "a" * 5000, "x\\u0000y", "/proc/1/root"])
def test_a_place_that_is_none_is_said(
    place: tuple[str, str, str, str], written: str, tmp_path: Path
) -> None:
    table, key, component, name = place
    file = tmp_path / "task.toml"
    needed = NEEDED.get(component, "")
    file.write_text(
        f'name = "x"\n[{table}.x]\n{key} = "{component}"\n{needed}{name} = "{written}"\n'
    )
    verdict = run("check", str(file))
    assert not verdict.broken(), verdict.err[-2000:]
    assert verdict.code == 2
    assert len([line for line in verdict.err.splitlines() if f".{name}:" in line]) <= 1


def test_a_folder_of_too_many_files(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "one.jsonl").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(files_below(tmp_path, most=30)) == 12
    with pytest.raises(ValueError, match="over 20 files and folders"):
        files_below(tmp_path, most=20)


def test_an_option_that_looks_at_a_file_of_a_stranger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A validator of a plugin that opens what it was given: no traceback where it can't."""
    file = tmp_path / "task.toml"
    file.write_text(
        'name = "x"\n[evaluators.x]\nmethod = "lm_eval"\ntasks = ["mmlu"]\n'
        f'apply_chat_template = false\ndata_dir = "{tmp_path}"\n'
    )

    def refuse(folder: Path, most: int = 0) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("harness_evaluators.lm_eval.options.files_below", refuse)
    verdict = run("check", str(file))
    assert not verdict.broken(), verdict.err[-2000:]
    assert "evaluators.x: " in verdict.err
    assert "Permission denied" in verdict.err
