"""Every golden file is claimed by its own format and by no other that is registered."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from harness_saes.plugin import harness_components

HERE = Path(__file__).parent
FORMATS = ("sparsify", "dictionary_learning", "openai", "goodfire")
GOLDEN = sorted(file for name in FORMATS for file in (HERE / name).glob("*.safetensors"))


def claimed(path):
    names = []
    for component in harness_components():
        module, _, cls = component.options.partition(":")
        if getattr(importlib.import_module(module), cls).claims(str(path)):
            names.append(component.name)
    return names


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_one_format_claims_it(file):
    files = [f for f in file.with_suffix("").rglob("*") if f.is_file()]
    assert claimed(files[0].parent) == [file.parent.name]
    if len(files) == 1:
        assert claimed(files[0]) == [file.parent.name]
