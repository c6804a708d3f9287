"""Sections are built from public modules alone, so that a third party can write their equal."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import harness_sections
from harness.contract import Record, Results
from harness.registry import discover
from harness.report import render

FOLDER = Path(harness_sections.__file__).parent
PUBLIC = {"harness.contract", "harness.errors", "harness.gates", "harness.results"}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def test_a_section_imports_only_public_modules_of_the_core() -> None:
    files = sorted(FOLDER.rglob("*.py"))
    assert len(files) > 40
    found = {
        str(file.relative_to(FOLDER)): {
            name for name in imports(file) if name.split(".")[0] == "harness"
        }
        - PUBLIC
        - ({"harness.testing"} if file.name == "samples.py" else set())
        for file in files
    }
    assert {file: names for file, names in found.items() if names} == {}


def test_everything_on_the_front_page_is_there_and_described() -> None:
    from harness import results

    text = (Path(results.__file__)).read_text(encoding="utf-8")
    names = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("harness.")
        for alias in node.names
    }
    assert len(names) > 30
    for name in names:
        value = getattr(results, name)
        assert name in str(results.__doc__) or name in ("PLACE_AXES", "DRAW", "SiteTable", "Series")
        assert value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        results.nonsense  # noqa: B018


@pytest.mark.parametrize("heavy", ["torch", "pandas", "numpy", "scipy"])
def test_the_front_page_is_light(heavy: str) -> None:
    code = f"import sys, harness.results; assert {heavy!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


SECTION = '''
from harness.contract import Component, Grid, Panel, Results, SectionOptions, hookimpl
from harness.results import (
    format_draws, format_estimate, group_series, headline_tables, records_by_experiment,
    sites_by_depth, sweep_axis, wilson,
)

class Options(SectionOptions):
    """None."""

class Strangers:
    """What a built-in section could show."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def panel(self, results: Results) -> Panel | None:
        rows = []
        for name, records in records_by_experiment(results).items():
            axis = sweep_axis(records)
            for one in group_series(records, axis):
                text = format_estimate(one.records[0])
                rows.append([name, one.label, one.shape, text, format_draws(one.records)])
        assert sites_by_depth(["resid_post.3", "resid_post.1"])[0] == "resid_post.1"
        low, high = wilson(50, 100)
        note = f"{low:.2f} to {high:.2f}; {len(headline_tables(results))} tables"
        return Panel("Strangers", [Grid("", ("e", "d", "s", "v", "all"), rows, note)])

@hookimpl
def harness_components():
    return [Component("section", "strangers", "s", f"{__name__}:Strangers", f"{__name__}:Options")]
'''


def test_a_section_of_a_third_party_can_do_what_ours_do(fake_dist: Callable[..., Path]) -> None:
    fake_dist("acme-sections", SECTION)
    axes = {"experiment": "bypass", "view": "chat", "data": "web"}
    records = tuple(
        Record("score@1", 0.1 * k, 10, "prompts", "share", axes={**axes, "direction": "d", "k": k})
        for k in (1, 2, 4)
    )
    text = render(Results("complete", {"name": "x"}, {}, records), discover())
    assert "Strangers" in text
    assert "0.40 to 0.60; 1 tables" in text
    assert "sweep" in text
    assert "could not be shown" not in text
