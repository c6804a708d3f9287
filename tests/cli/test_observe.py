"""`--observe`: an observer for one run, without a change to its task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes

ORGANISM = Path(__file__).parents[2] / "tasks" / "organism"
Said = Callable[..., tuple[int, str, str]]
TASK = '[metrics.mean]\nview = "base"\ndata = "web"\nsites = ["embed"]\n'


@pytest.fixture
def tiny(write: Callable[..., Path], fake_plugin: Path) -> Path:
    return write(TASK)


def kinds() -> list[str]:
    return [event.kind for event in fakes.LAB.seen]


@pytest.mark.parametrize("name", ["witness", "fake/witness"])
def test_it_is_told_and_the_run_is_the_same(said: Said, tiny: Path, name: str) -> None:
    assert said("eval", tiny, "--out", "run")[0] == 0
    before = json.loads(Path("run", "results.json").read_text(encoding="utf-8"))
    code, _, err = said("eval", tiny, "--out", "run", "--observe", name)
    assert code == 0, err
    assert kinds()[0] == "run_started"
    assert kinds()[-1] == "run_finished"
    after = json.loads(Path("run", "results.json").read_text(encoding="utf-8"))
    assert (after["task"], after["records"]) == (before["task"], before["records"])
    assert "witness" not in json.dumps([after, Path("run", "task.toml").read_text()])


def test_several_and_the_options_of_one(said: Said, tiny: Path) -> None:
    words = ("--observe", "witness", "--observe", "clumsy", "--set", "observers.clumsy.at=records")
    code, out, err = said("eval", tiny, "--out", "run", *words)
    assert code == 0, err
    assert "observers.clumsy: it broke at 'records': ValueError" in err
    assert "1 warning: observers.clumsy: it broke" in out
    assert kinds().count("run_finished") == 1


def test_the_environment_may_name_some(
    said: Said, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_OBSERVE", "witness slow")
    assert said("eval", tiny, "--out", "run")[0] == 0
    assert kinds().count("run_finished") == 2


def test_a_task_that_has_it_already_has_it_once(said: Said, write: Callable[..., Path],
                                                fake_plugin: Path) -> None:  # fmt: skip
    file = write(TASK + '[observers.mine]\nmethod = "witness"\n')
    assert said("eval", file, "--out", "run", "--observe", "witness")[0] == 0
    assert kinds().count("run_finished") == 1


@pytest.mark.parametrize("name", ["witnes", "gap", "", 'a"b', "x\ny"])
def test_one_that_does_not_exist_is_a_mistake(said: Said, tiny: Path, name: str) -> None:
    code, _, err = said("eval", tiny, "--observe", name)
    assert code == 2
    assert "unknown observer" in err
    assert "Traceback" not in err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_diff_knows_it_too(said: Said, fake_plugin: Path) -> None:
    code, _, err = said("diff", "no", "where", "--observe", "witnes")
    assert code == 2
    assert "unknown observer 'witnes'" in err
    models = [ORGANISM / name for name in ("base", "chat")]
    words = ("--limit", "2", "--out", "run", "--observe", "witness")
    code, _, err = said("diff", *models, *words)
    assert code == 0, err
    assert kinds()[-1] == "run_finished"
    assert "witness" not in Path("run", "diff.toml").read_text(encoding="utf-8")


def test_an_option_that_is_wrong_says_where(said: Said, tiny: Path) -> None:
    code, _, err = said(
        "check", tiny, "--set", "observers.witness.method=witness", "--set",
        "observers.witness.patience=no",
    )  # fmt: skip
    assert code == 2
    assert "--set: observers.witness.patience" in err
