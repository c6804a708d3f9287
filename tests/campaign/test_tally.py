"""The frame of all campaigns: what is kept, what is tried again, and how parts add up."""

from __future__ import annotations

import random
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from campaign import command, tally
from campaign.trial import Tried


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a campaign of three kinds of try was asked for; one in three is a fault."""
    seen: list[float] = []

    class Dice:
        about = "dice"

        @contextmanager
        def ready(self, place: Path):  # type: ignore[no-untyped-def]
            def attempt(chance: random.Random) -> Tried:
                seen.append(value := chance.random())
                return Tried("odd" if value < 0.5 else "even", "thrown", f"{value}",
                             "six\nof them" if value > 0.9 else "")  # fmt: skip

            yield attempt

    module = type("Module", (), {"CAMPAIGN": Dice()})
    monkeypatch.setattr(command.importlib, "import_module", lambda name: module)
    return seen


def thrown(out: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(command.main, ["files", "--out", str(out), *arguments])
    return done.exit_code, done.output


def test_a_campaign_goes_on_where_it_was_and_tries_faults_again(
    attempts: list[float], tmp_path: Path
) -> None:
    code, said = thrown(tmp_path, "--n", "20")
    first = list(attempts)
    faults = [value for value in first if value > 0.9]
    assert code == bool(faults) == 1
    assert said.count("again: python -m tests.campaign files --seed 0 --first ") == len(faults)
    assert f"files: 20 tried, {len(faults)} faults" in said
    attempts.clear()
    thrown(tmp_path, "--n", "30")
    assert [value for value in attempts if value in first] == faults
    assert len(attempts) == 10 + len(faults)


def test_parts_add_up_and_a_try_counts_once(attempts: list[float], tmp_path: Path) -> None:
    thrown(tmp_path / "whole", "--n", "20")
    thrown(tmp_path / "a", "--n", "12")
    thrown(tmp_path / "b", "--n", "10", "--first", "10")
    whole, parts = (
        CliRunner().invoke(command.main, ["tally", *map(str, folders)]).output
        for folders in ([tmp_path / "whole"], [tmp_path / "a", tmp_path / "b"])
    )
    assert "20 tried" in parts
    assert whole.split("processor")[1] == parts.split("processor")[1]


def test_another_seed_is_another_campaign(attempts: list[float], tmp_path: Path) -> None:
    thrown(tmp_path, "--n", "5")
    thrown(tmp_path, "--n", "5", "--seed", "1")
    assert len(set(attempts)) == 10


def test_a_torn_line_is_tried_again(attempts: list[float], tmp_path: Path) -> None:
    thrown(tmp_path, "--n", "5")
    last = attempts[-1]
    file = tally.file_of(tmp_path, "files", 0, 0)
    file.write_bytes(file.read_bytes()[:-9])
    attempts.clear()
    thrown(tmp_path, "--n", "5")
    assert len(tally.lines(file)) == 5
    assert attempts[-1] == last
