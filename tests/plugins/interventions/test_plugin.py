import importlib
import subprocess
import sys

import pytest

from harness.contract import InterventionOptions
from harness_interventions.plugin import harness_components

COMPONENTS = list(harness_components())


def _loaded(path):
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def test_names():
    assert [(c.kind, c.name) for c in COMPONENTS] == [
        ("intervention", "ablation"),
        ("intervention", "addition"),
        ("intervention", "pc_injection"),
        ("intervention", "feature_zeroing"),
        ("intervention", "conditional_addition"),
        ("intervention", "latent_clamp"),
        ("intervention", "affine_editing"),
        ("intervention", "concept_erasure"),
        ("intervention", "projection"),
        ("intervention", "latent_swap"),
    ]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_both_halves_exist_and_every_option_is_described(component):
    options = _loaded(component.options)
    assert issubclass(options, InterventionOptions)
    assert all(field.description for field in options.model_fields.values())
    built = _loaded(component.load)
    assert callable(getattr(built, "arms" if "other" in options.model_fields else "arm"))


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_each_keeps_the_laws_on_its_samples(component, tmp_path):
    samples = list(_loaded(component.samples)(tmp_path))
    assert samples
    for sample in samples:
        sample()


@pytest.mark.slow
def test_the_light_half_imports_nothing_heavy():
    code = (
        "import sys; import harness_interventions.plugin, harness_interventions.options;"
        "print(sorted({'torch', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
