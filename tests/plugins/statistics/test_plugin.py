import importlib
import subprocess
import sys

import pytest

from harness.contract import StatisticOptions
from harness_statistics.plugin import harness_components

COMPONENTS = list(harness_components())


def _loaded(path):
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def test_names_are_unique():
    names = [component.name for component in COMPONENTS]
    assert len(set(names)) == len(names)
    assert {component.kind for component in COMPONENTS} == {"statistic"}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_both_halves_exist_and_every_option_is_described(component):
    options = _loaded(component.options)
    assert issubclass(options, StatisticOptions)
    assert all(field.description for field in options.model_fields.values())
    assert options.finish_only <= set(options.model_fields)
    built = _loaded(component.load)
    assert all(callable(getattr(built, name)) for name in ("start", "update", "merge", "finish"))


@pytest.mark.slow
def test_the_light_half_imports_nothing_heavy():
    modules = ", ".join(sorted({c.options.partition(":")[0] for c in COMPONENTS}))
    code = (
        f"import sys; import harness_statistics.plugin, {modules};"
        "print(sorted({'torch', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
