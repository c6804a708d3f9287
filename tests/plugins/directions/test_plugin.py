import importlib
import subprocess
import sys

import pytest

from harness.contract import DirectionOptions, Options
from harness_directions.plugin import harness_components

COMPONENTS = list(harness_components())


def _loaded(path):
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def test_names():
    assert [component.name for component in COMPONENTS] == [
        "difference_in_means",
        "sae_features",
        "linear_probe",
        "leace",
        "persona_vector",
        "decoder_difference",
        "contrast_pca",
        "class_pca",
        "random",
        "random_features",
        "feature",
        "principal_components",
        "shifted_features",
        "matched_features",
        "attributed_features",
        "attributed_controls",
        "sided_features",
        "shared_features",
        "genuine_features",
        "other_features",
        "closing_means",
        "selected_direction",
    ]
    assert {component.kind for component in COMPONENTS} == {"direction"}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_both_halves_exist_and_every_option_is_described(component):
    options = _loaded(component.options)
    assert issubclass(options, DirectionOptions)
    assert all(field.description for field in options.model_fields.values())
    assert options.finish_only <= set(options.model_fields)
    built = _loaded(component.load)
    assert all(callable(getattr(built, name)) for name in ("start", "update", "merge", "finish"))
    assert issubclass(options, Options)


@pytest.mark.slow
def test_the_light_half_imports_nothing_heavy():
    code = (
        "import sys; import harness_directions.plugin, harness_directions.options;"
        "import harness_directions.concepts.options;"
        "print(sorted({'torch', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
