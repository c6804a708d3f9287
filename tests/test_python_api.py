"""The functions of `harness`: light to import, still functions after their modules are imported."""

from __future__ import annotations

import inspect
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fakes
import harness
from harness.comparison.comparison import Comparison
from harness.contract import Record
from harness.errors import DataError, TaskError
from harness.planning.plan import Plan
from harness.results import Results, load_results
from harness.results.write import write_results
from harness.task.task import Task

ROOT = Path(__file__).parents[1]
EXPERIMENT = fakes.EXPERIMENT
HEAVY = ("torch", "numpy", "pandas", "pydantic", "scipy", "transformers", "rich", "click", "pluggy")

# ── Light ────────────────────────────────────────────────────────────────────────────────────────


def modules(code: str) -> set[str]:
    """What a fresh Python has imported after some code, that it had not before."""
    told = f"import sys, json\nbefore = set(sys.modules)\n{code}\n"
    told += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=600
    )
    return set(json.loads(done.stdout))


def test_importing_imports_nothing_heavy_and_none_of_our_modules() -> None:
    found = modules("import harness")
    assert not found & set(HEAVY)
    assert {name for name in found if name.startswith("harness")} == {"harness"}
    assert len(found) < 20  # the standard library's, and few of it


@pytest.mark.slow
def test_the_test_notices_an_import() -> None:
    assert "pandas" in modules("import harness.results.read, pandas")


def test_looking_at_the_functions_imports_nothing_either() -> None:
    code = "import harness\nfor name in harness.__all__: getattr(harness, name).__doc__"
    assert {name for name in modules(code) if name.startswith("harness")} == {"harness"}


# ── Functions ────────────────────────────────────────────────────────────────────────────────────


def test_what_is_promised_is_there_and_described() -> None:
    assert harness.__all__ == ["compare", "load", "load_results", "load_runs", "plan", "run"]
    for name in harness.__all__:
        function = getattr(harness, name)
        assert inspect.isfunction(function)
        assert function.__doc__


@pytest.mark.slow
def test_functions_stay_functions_whatever_is_imported() -> None:
    """Python would put a submodule of a function's name into its place."""
    code = (
        "import harness, types\n"
        "import harness.running.runner, harness.planning.planner\n"
        "import harness.comparison.comparison, harness.report.terminal\n"
        "for name in harness.__all__:\n"
        "    assert isinstance(getattr(harness, name), types.FunctionType), name\n"
    )
    assert modules(code) >= {
        "harness.planning.planner",
        "harness.running.runner",
        "harness.comparison.comparison",
    }
    package = Path(harness.__file__).parent
    assert not {path.stem for path in package.iterdir()} & set(harness.__all__)


def test_from_a_task_to_a_comparison(
    write: Callable[..., Path], fake_plugin: Path, tmp_path: Path
) -> None:
    file = write(EXPERIMENT)
    for seed in (0, 1):
        task = harness.load(file, seed=seed, models={"chat": {"scale": 3 + seed}})
        assert isinstance(task, Task)
        assert task.spec.seed == seed
        planned = harness.plan(task)
        assert isinstance(planned, Plan)
        results = harness.run(planned, tmp_path / str(seed))
        assert harness.load_results(tmp_path / str(seed)).records == results.records
    # The same again continues, and ends where it was.
    assert harness.run(planned, str(tmp_path / "1")).records == results.records
    assert harness.run(planned, tmp_path / "1", fresh=True).records == results.records
    found = harness.compare(tmp_path / "0", str(tmp_path / "1"), only="polite.")
    assert isinstance(found, Comparison)
    assert all(row.id.startswith("polite.") for row in found.rows)
    assert harness.compare(tmp_path / "0", tmp_path / "0").changes == ()


def test_what_is_wrong_is_raised(write: Callable[..., Path], fake_plugin: Path) -> None:
    with pytest.raises(TaskError, match="nonsense"):
        harness.load(write(EXPERIMENT), nonsense=1)
    with pytest.raises(DataError, match=r"holds no results\.json"):
        harness.load_results("/nowhere")
    with pytest.raises(DataError, match=r"holds no results\.json"):
        harness.compare("/nowhere", "/nowhere")


# ── Results ──────────────────────────────────────────────────────────────────────────────────────


def of(*records: Record) -> Results:
    return Results("complete", {"name": "x"}, {"seed": 0}, records)


ONE = Record("x.y@1", 0.5, 10, "tokens", "ratio", {"a": 1}, 4, (0.25, 0.75), axes={"k": 8})
GONE = Record("x.y@1", None, 0, "tokens", "ratio", {"a": 1}, undefined="nothing was measured",
              ci_why="nothing", axes={"site": "embed"})  # fmt: skip


def test_the_frame_has_a_row_for_each_record_and_a_column_for_each_axis() -> None:
    frame = of(ONE, GONE).frame
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "id", "value", "n", "n_of", "unit", "options", "clusters", "ci", "ci_why", "null",
        "undefined", "k", "site",
    ]  # fmt: skip
    first, second = frame.iloc[0], frame.iloc[1]
    assert (first.id, first.value, first.n, first.k) == ("x.y@1", 0.5, 10, 8)
    assert (list(first.ci), first.options) == ([0.25, 0.75], {"a": 1})
    assert pd.isna(second.value)
    assert pd.isna(second.k)
    assert (second.undefined, second.site) == ("nothing was measured", "embed")


def test_an_axis_never_hides_a_field() -> None:
    frame = of(Record("x@1", 0.5, 10, "tokens", "ratio", axes={"value": 3, "n": 4})).frame
    assert frame.loc[0, ["value", "n", "axis_value", "axis_n"]].tolist() == [0.5, 10, 3, 4]


def test_no_records_are_an_empty_frame() -> None:
    assert len(of().frame) == 0


@pytest.mark.parametrize("id", ["x.y", "x.y@1"])
def test_a_value_is_found_by_id_and_axes(id: str) -> None:
    results = of(ONE, GONE, Record("x@1", 2.0, 1, "tokens", "ratio"))
    assert results.value(id, k=8) == 0.5
    assert results.value(id, site="embed") is None
    assert results.value("x") == 2
    for axes, count in (({}, 2), ({"k": 9}, 0), ({"k": 8, "site": "embed"}, 0)):
        with pytest.raises(KeyError, match=f"{count} records"):
            results.value(id, **axes)


def test_loaded_results_are_what_a_run_found_and_can_be_kept(tmp_path: Path) -> None:
    write_results(tmp_path, of(ONE, GONE))
    loaded = harness.load_results(tmp_path)
    assert isinstance(loaded, Results)
    assert loaded == harness.load_results(str(tmp_path)) == pickle.loads(pickle.dumps(loaded))
    assert repr(loaded) == repr(of(ONE, GONE))
    assert "2 records" in replace(loaded, warnings=("w",))._repr_html_()


# ── docs/python.md ───────────────────────────────────────────────────────────────────────────────

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_page_names_every_function_and_exists_for_its_blocks() -> None:
    assert len(BLOCKS) >= 6
    missing = [name for name in harness.__all__ if f"harness.{name}" not in PAGE]
    assert not missing


@pytest.mark.slow
def test_the_code_of_the_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert "sed" in capsys.readouterr().out
    assert names["results"].status == "complete"
    assert names["results"].records == load_results(tmp_path / "runs" / "refusal").records
    assert names["unedited"] > 0.5 > names["bypassed"]
    assert set(names["table"].columns) == {"bypass", "induce"}
    assert set(names["samples"].direction) >= {"none", "refusal", "random"}
    comparison = names["comparison"]
    assert {row.id for row in comparison.rows} == {"refusal_score@1"}
    assert all(
        row.differences[0].paired for row in comparison.rows if row.baseline.value is not None
    )
    assert "provenance.seed" in {change.what for change in comparison.changes}
    assert names["charts"]
