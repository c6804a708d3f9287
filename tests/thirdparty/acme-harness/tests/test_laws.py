"""The laws of the contract, on the samples that the package ships."""

from pathlib import Path

from acme_harness.samples import length_ratio, polar


def test_the_laws_hold(tmp_path: Path) -> None:
    for sample in (*polar(tmp_path), *length_ratio(tmp_path)):
        sample()
