"""The laws of the contract, on the samples that the package ships."""

from pathlib import Path

import pytest
from lantern_harness import samples
from lantern_harness.plugin import harness_components


@pytest.mark.parametrize("name", [one.name for one in harness_components()])
def test_the_laws_hold(name: str, tmp_path: Path) -> None:
    for sample in getattr(samples, name)(tmp_path):
        sample()
