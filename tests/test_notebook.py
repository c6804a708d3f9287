"""The example notebook is one, its cells run, and what it shows is what they show."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def executed() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """`executed` of docs/notebook.py."""
    spec = importlib.util.spec_from_file_location("docs_notebook", FILE.with_suffix(".py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[dict[str, Any]], dict[str, Any]] = module.executed
    return found


def read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cell: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(one["output_type"], sorted(one.get("data", ()))) for one in cell["outputs"]]


def of(*cells: str) -> dict[str, Any]:
    return {"cells": [{"cell_type": "code", "source": [one], "outputs": []} for one in cells]}


def test_it_is_a_notebook() -> None:
    """What Jupyter's format 4.5 asks of one; nbformat says so, too, where it is installed."""
    found = read()
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    for cell in found["cells"]:
        needed = {"cell_type", "id", "metadata", "source"}
        more = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == needed | more
    if importlib.util.find_spec("nbformat"):
        import nbformat

        nbformat.validate(found)


def test_it_shows_what_was_run_and_nothing_of_the_machine() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert [cell["execution_count"] for cell in code(read())] == list(range(1, 9))
    assert all(cell["outputs"] for cell in code(read())), "Run: python docs/notebook.py"
    for place in (str(ROOT), str(Path.home()), "/tmp/"):
        assert place not in text


@pytest.mark.slow
def test_its_cells_run_and_show_what_it_shows(
    executed: Callable[[dict[str, Any]], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))  # as whoever opens it has one
    done = executed(read())
    for ran, stored in zip(code(done), code(read()), strict=True):
        assert ran["source"] == stored["source"]
        assert kinds(ran) == kinds(stored), "".join(ran["source"])
    shown = json.dumps(done["cells"])
    for what in ("step", "results.claims", "'supported'", "refusal_score@1", "<svg", "baseline"):
        assert what in shown
    for run in ("notebook", "notebook-seed-1"):
        results = json.loads((tmp_path / "runs" / run / "results.json").read_text())
        assert results["status"] == "complete"


# ── What runs it ─────────────────────────────────────────────────────────────────────────────────


def test_a_cell_shows_what_it_prints_and_its_last_line(
    executed: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    cells = ("x = 2", "print('a')\nx + 1", "class T:\n    _repr_html_ = lambda self: '<p>'\nT()")
    found = [cell["outputs"] for cell in executed(of(*cells, "None"))["cells"]]
    assert found[0] == found[3] == []
    assert found[1][0] == {"output_type": "stream", "name": "stdout", "text": ["a\n"]}
    assert found[1][1]["data"] == {"text/plain": ["3"]}
    assert found[2][0]["data"]["text/html"] == ["<p>"]


def test_what_a_cell_raises_is_raised_and_the_notebook_stays(
    executed: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    given = of("1", "1 / 0")
    with pytest.raises(ZeroDivisionError):
        executed(given)
    assert given == of("1", "1 / 0")
