"""`python -m tests.durations` on a file as pytest writes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import durations
from durations import Before, Timed, before, main, read

JUNIT = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite>
<testcase classname="tests.tasks.test_a" name="test_long[2]" time="12.5"><properties>
<property name="slow" value="yes" /></properties></testcase>
<testcase classname="tests.plugins.saes.test_b" name="test_long" time="1.25" />
<testcase classname="tests.plugins.saes.test_b" name="test_short" time="0.25" />
</testsuite></testsuites>"""


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    (tmp_path / "junit.xml").write_text(JUNIT)
    return tmp_path / "junit.xml"


def test_the_slowest_come_first_and_sums_add_up(
    junit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(junit)])
    table, sums, folders, unmarked = capsys.readouterr().out.strip("\n").split("\n\n")
    assert table.splitlines()[2:] == [
        "| 12.5 | `tests/tasks/test_a.py::test_long[2]` | yes |",
        "| 1.2 | `tests/plugins/saes/test_b.py::test_long` |  |",
        "| 0.2 | `tests/plugins/saes/test_b.py::test_short` |  |",
    ]
    assert [line.split() for line in sums.splitlines()] == [
        ["14.0", "s", "3", "tests", "all"], ["1.5", "s", "2", "tests", "without", "`slow`"],
    ]  # fmt: skip
    assert [line.split()[::2] for line in folders.splitlines()] == [
        ["12.5", "tests/tasks"], ["1.5", "tests/plugins/saes"],
    ]  # fmt: skip
    assert unmarked.split() == ["1.2", "s", "tests/plugins/saes/test_b.py::test_long"]


def test_what_was_there_before_is_told_by_its_function_though_its_file_has_moved(
    junit: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = Before(frozenset({("tests/test_a.py", "test_long"), ("tests/test_c.py", "test_short")}))
    assert [known.has(one) for one in read(junit)] == [True, False, False]
    monkeypatch.setattr(durations, "before", lambda commit: known)
    main([str(junit), "--since", "v1"])
    sums = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in sums] == ["14.0", "1.5", "12.5", "1.5"]


def test_the_tests_of_a_commit_are_read_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        "def test_one(): ...\n\ndef helper(): ...\n\nclass TestIt:\n"
        "    def test_two(self): ...\n\n    async def test_three(self): ...\n"
    )
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    (tmp_path / "tests" / "test_a.py").write_text("def test_four(): ...\n")
    monkeypatch.setattr(durations, "ROOT", tmp_path)
    known = before("HEAD").functions
    assert known == {("tests/test_a.py", f"test_{name}") for name in ("one", "two", "three")}
    with pytest.raises(SystemExit, match="--since nothing: "):
        before("nothing")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "two"])
def test_pytest_writes_the_mark_of_a_slow_test(
    workers: tuple[str, ...], tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    """With the hook of these tests' conftest, as a run of them has it."""
    (tmp_path / "conftest.py").write_text(
        "from tests.slow_first import pytest_collection_modifyitems\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.slow\ndef test_slow(): ...\n\ndef test_fast(): ...\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: takes long\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o",
               "filterwarnings=", "--junitxml=junit.xml", *workers]  # fmt: skip
    root = Path(durations.__file__).parents[1]
    # Other plugins of pytest that are installed take seconds to import.
    env = {**environment(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {(one.name, one.slow) for one in read(tmp_path / "junit.xml")}
    assert found == {("test_slow", True), ("test_fast", False)}


def test_a_test_in_a_class_is_of_its_file(tmp_path: Path) -> None:
    """As pytest writes it: the class follows the module, and one in a class that."""
    junit = tmp_path / "junit.xml"
    names = ("tests.test_a", "tests.test_a.TestIt", "tests.test_a.TestIt.TestInIt")
    cases = "".join(f'<testcase classname="{name}" name="test_x" time="1" />' for name in names)
    junit.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert [one.file for one in read(junit)] == ["tests/test_a.py"] * 3
    known = Before(frozenset({("tests/test_a.py", "test_x")}))
    assert all(known.has(one) for one in read(junit))


def test_a_test_is_its_function_with_parameters() -> None:
    assert Timed("tests/test_a.py", "test_x[1-[2]]", 0.0, False).function == "test_x"
