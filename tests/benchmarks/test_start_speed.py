"""The script that measures how soon a command answers runs the commands, and says what failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from start_speed import TASK, Command, commands, least, main, ratios


def test_every_command_has_its_pair(tmp_path: Path) -> None:
    found = commands("/other/python", TASK, True, tmp_path)
    ours = {name for name in found if not name.startswith("other ") and name != "click"}
    assert ours == {"--help", "check", "first forward"}
    assert {f"other {name}" for name in ours} <= found.keys()
    assert {found[f"other {name}"].python for name in ours} == {"/other/python"}


def test_ratios_are_ours_by_the_others() -> None:
    seconds = {"click": 2.0, "--help": 3.0, "check": 1.0, "other --help": 6.0, "other check": 4.0}
    assert ratios(seconds) == {
        "--help / import click": 1.5, "--help / other": 0.5, "check / other": 0.25,
    }  # fmt: skip


@pytest.mark.slow
def test_it_measures_real_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--times", "1"])
    told = json.loads(capsys.readouterr().out)
    assert told["seconds"].keys() == {"click", "--help", "check"}
    assert all(took > 0 for took in told["seconds"].values())


def test_a_command_that_fails_is_no_fast_one() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        least({"wrong": Command(sys.executable, "raise SystemExit('no such thing')")}, 1)
