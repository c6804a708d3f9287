"""The laws of exports, tried on what each form ships for that; and how the forms are declared."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from harness_exports.plugin import harness_components

FORMS = {
    one.name: one for one in harness_components() if one.name in ["card", "eee", "gguf", "inspect"]
}


@pytest.mark.parametrize("name", sorted(FORMS))
def test_it_keeps_the_laws_of_exports(name: str, tmp_path: Path) -> None:
    if name == "gguf":
        pytest.importorskip("gguf", exc_type=ImportError)
    module, _, function = FORMS[name].samples.partition(":")
    cases = list(getattr(importlib.import_module(module), function)(tmp_path))
    assert len(cases) == 2
    for case in cases:
        case()


def test_what_needs_a_package_says_which() -> None:
    assert {name: one.extra for name, one in FORMS.items() if one.extra} == {
        "gguf": "sae-harness[gguf]"
    }


@pytest.mark.parametrize("name", sorted(FORMS))
def test_its_options_have_defaults(name: str) -> None:
    module, _, made = FORMS[name].options.partition(":")
    getattr(importlib.import_module(module), made)()
