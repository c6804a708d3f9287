"""The laws of the contract, on the samples that the package ships."""

from pathlib import Path

from harness.cli.main import main
from harness_ledger.samples import samples


def test_the_laws_hold(tmp_path: Path) -> None:
    tried = [sample() for sample in samples(tmp_path)]
    assert len(tried) == 2


def test_the_harness_finds_nothing_wrong() -> None:
    assert main(["plugins", "check", "harness_ledger/ledger"]) == 0
