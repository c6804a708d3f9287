"""What the plugin declares can be loaded, and its light half is light."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from harness.contract import LabelsOptions
from harness.registry import discover

POINT = EntryPoint("harness_labels", "harness_labels.plugin", "harness")
LIGHT = (
    "harness_labels.plugin, harness_labels.options, harness_analyses.clusters.options, "
    "harness_statistics.options"
)


@pytest.mark.parametrize("name", ["neuronpedia", "contexts", "file"])
def test_what_is_declared_is_there(name: str) -> None:
    (owned,) = [o for o in discover(candidates=[POINT]).of("labels") if o.component.name == name]
    assert issubclass(owned.options(), LabelsOptions)
    assert callable(owned.load().describe)


@pytest.mark.slow
def test_the_light_halves_import_nothing_heavy() -> None:
    code = f"import sys, {LIGHT}; print({{'torch', 'urllib3', 'numpy'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
