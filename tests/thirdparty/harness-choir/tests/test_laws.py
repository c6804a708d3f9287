"""The laws of the contract, on the samples that the package ships."""

from pathlib import Path

from harness.cli.main import main
from harness_choir.options import ChoirOptions
from harness_choir.samples import samples


def test_the_laws_hold(tmp_path: Path) -> None:
    tried = [sample() for sample in samples(tmp_path)]
    assert tried


def test_the_harness_finds_nothing_wrong() -> None:
    assert main(["plugins", "check", "harness_choir/choir"]) == 0


def test_there_are_four_unless_a_task_says_how_many() -> None:
    assert ChoirOptions().size() == 4
    assert ChoirOptions(workers=7).size() == 7
