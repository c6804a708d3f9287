"""The suite on other versions: what is asked for, and of which Python."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.version import Version

HERE = Path(__file__).parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from versions import command, place  # noqa: E402
from versions.bounds import allowed, lower  # noqa: E402

PYPROJECT = HERE.parents[1] / "pyproject.toml"
OWN = """
[project]
classifiers = ["Programming Language :: Python :: 3", "Programming Language :: Python :: 3.13",
               "Programming Language :: Python :: 3.9"]
dependencies = ["Some_Thing>=2.0,<3,!=2.1", "free", "both>=1"]
[project.optional-dependencies]
dev = ["both[extra]>=1.10", "exact==4"]
other = ["left-out>=1"]
"""


def test_every_lower_bound_is_a_constraint(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(OWN)
    found = allowed(tmp_path / "pyproject.toml")
    assert found.lowest() == ("some-thing==2.0", "both==1.10", "exact==4")
    assert found.pythons == ("3.9", "3.13")


def test_the_projects_own_bounds_hold_what_the_project_needs() -> None:
    """Each package that it stands on has a lower bound, and the one that `lowest` installs is
    allowed; the Pythons that it names begin with the lowest that it allows."""
    found = allowed(PYPROJECT)
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    for line in project["dependencies"]:
        one = Requirement(line)
        low = lower(one)
        assert low is not None, line
        assert one.specifier.contains(low), line
    assert project["requires-python"] == f">={found.pythons[0]}"
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert Version(running) >= Version(found.pythons[0])


def test_the_installed_packages_are_allowed() -> None:
    """Where this suite runs, so that a bound that was raised is noticed."""
    there = place.Place(Path(sys.prefix)).installed()
    for one in allowed(PYPROJECT).packages:
        if (version := there.get(one.name.lower().replace("_", "-"))) is not None:
            assert one.specifier.contains(version, prereleases=True), one


def test_words_stand_for_a_python_and_constraints() -> None:
    given = allowed(PYPROJECT)
    assert command.chosen("lowest", given) == (given.pythons[0], given.lowest())
    assert command.chosen("highest", given) == (given.pythons[-1], ())
    assert command.chosen("3.11", given) == ("3.11", ())


def test_both_installers_take_the_same_constraints(tmp_path: Path) -> None:
    asked = [tmp_path, tmp_path / "v", Path(sys.executable), tmp_path / "c.txt"]
    for uv in (None, "/usr/bin/uv"):
        made, filled = place.commands(*asked, uv)  # type: ignore[arg-type]
        assert sys.executable in made
        assert str(tmp_path / "v") in made
        assert filled[-4:] == ["-c", str(tmp_path / "c.txt"), "-e", f"{tmp_path}[dev]"]


def test_this_python_is_found_and_one_of_the_future_is_not() -> None:
    assert place.find(f"{sys.version_info[0]}.{sys.version_info[1]}") == Path(sys.executable)
    assert place.find("3.99") is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["newest"], "WHICH: 'newest' is none of lowest, highest, 3.11"),
        (["lowest", "--folder", "."], "--folder: . is there already"),
    ],
)
def test_mistakes_are_said(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find", lambda version: Path(sys.executable))
    done = CliRunner().invoke(command.main, arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_a_python_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find", lambda version: None)
    done = CliRunner().invoke(command.main, ["highest"])
    assert done.exit_code == 2
    assert "is not on the path, of pyenv, or of uv" in " ".join(done.output.split())


def test_the_table_says_what_is_there_and_what_is_allowed() -> None:
    shown = command.table((Requirement("b_c>=2"), Requirement("a<1")), {"b-c": "2.1"})
    assert shown.splitlines() == ["a    -    <1", "b_c  2.1  >=2"]
