"""Python looks for no garbage while code is imported, and goes on as it was before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from harness.task.file import builtin_tasks

COUNTED = """
import gc, sys
from harness.garbage import importing

def collections():
    return sum(one["collections"] for one in gc.get_stats())
"""
MANY = "kept = [[] for _ in range(200_000)]\n"


@pytest.fixture
def answers(environment: Callable[..., dict[str, str]]) -> Callable[..., list[str]]:
    """What a process prints that runs some code, as words."""

    def answers(code: str, *arguments: str) -> list[str]:
        command = [sys.executable, "-c", COUNTED + code, *arguments]
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return answers


def test_nothing_is_looked_through_within(answers: Callable[..., list[str]]) -> None:
    code = f"before = collections()\nwith importing():\n    {MANY}    within = collections()\n"
    assert answers(f"{code}print(within - before, gc.isenabled())") == ["0", "True"]
    assert int(answers(f"before = collections()\n{MANY}print(collections() - before)")[0]) > 100


@pytest.mark.parametrize("before", ["enable", "disable"])
def test_it_goes_on_as_before_also_after_an_error(
    answers: Callable[..., list[str]], before: str
) -> None:
    code = (
        f"gc.{before}()\ntry:\n    with importing():\n        raise ImportError\n"
        "except ImportError:\n    print(gc.isenabled())"
    )
    assert answers(code) == [str(before == "enable")]


def test_only_where_something_was_set_aside_is_what_was_imported(
    answers: Callable[..., list[str]],
) -> None:
    code = f"with importing():\n    import colorsys\n    {MANY}print(gc.get_freeze_count())"
    assert answers(code) == ["0"]
    assert int(answers(f"gc.freeze()\n{code}")[0]) > 200_000


def test_what_came_up_while_nothing_was_imported_may_become_garbage(
    answers: Callable[..., list[str]],
) -> None:
    code = f"with importing():\n    import json\n    {MANY}print(gc.get_freeze_count())"
    assert 0 < int(answers(f"import json\ngc.freeze()\n{code}")[0]) < 200_000


STARTED = """
sys.argv[0] = "harness"
from harness.__main__ import start
import harness.cli.main
before = collections()
code = start()
print("after", collections() - before, gc.isenabled())
"""


@pytest.mark.slow
def test_a_check_never_looks(answers: Callable[..., list[str]]) -> None:
    assert answers(STARTED, "check", str(builtin_tasks()["refusal"]))[-3:] == [
        "after",
        "0",
        "False",
    ]


@pytest.mark.slow
def test_a_command_that_may_last_does(answers: Callable[..., list[str]]) -> None:
    assert answers(STARTED, "runs", "/nowhere")[-1:] == ["True"]
