"""The gallery is what its runs say: figures are drawn again from the records in the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.export.export import export_run, read_run
from harness.registry import discover
from harness.results import load_results

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
RUNS = sorted(folder for folder in GALLERY.iterdir() if folder.is_dir())
NAMES = [folder.name for folder in RUNS]


@pytest.mark.parametrize("run", RUNS, ids=NAMES)
def test_the_figures_are_drawn_from_the_records(run: Path, tmp_path: Path) -> None:
    """Each picture that is committed is the one that `harness export` draws today."""
    registry = discover()
    export_run(read_run(run, registry), registry.find("export", "figures"), tmp_path)
    committed = sorted(run.glob("*.svg"))
    for picture in committed:
        again = (tmp_path / picture.name).read_text(encoding="utf-8")
        assert picture.read_text(encoding="utf-8") == again, f"{picture.name} is out of date"


@pytest.mark.parametrize("run", RUNS, ids=NAMES)
def test_each_figure_names_its_run_and_command(run: Path) -> None:
    """A picture that travels alone still says where it comes from."""
    command = str(load_results(run).provenance["command"])
    assert command.startswith("harness eval tasks/smollm2/")
    for picture in run.glob("*.svg"):
        assert command in picture.read_text(encoding="utf-8")


@pytest.mark.parametrize("run", RUNS, ids=NAMES)
def test_records_name_no_path_of_a_machine(run: Path) -> None:
    """Paths are relative to the repository, and runs are complete."""
    text = (run / "results.json").read_text(encoding="utf-8")
    assert json.loads(text)["status"] == "complete"
    assert not re.findall(r'"/[^"]*"', text)


def test_the_page_shows_every_figure() -> None:
    """Nothing lies in the gallery that no page shows."""
    page = (GALLERY.parent / "gallery.md").read_text(encoding="utf-8")
    pictures = [f"gallery/{run.name}/{file.name}" for run in RUNS for file in run.glob("*.svg")]
    assert pictures
    assert [name for name in pictures if f"({name})" not in page] == []
