"""Plugins in files beside a task: nothing of one runs before a person trusts it."""

from __future__ import annotations

import json
import py_compile
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.local import GROWTH, PAIR, ran
from harness.errors import TaskError
from harness.registry.local_code import PREFIX, read_local
from harness.task.trust import memory_file

Said = Callable[..., tuple[int, str, str]]


# ── Without trust ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["plan"], ["eval", "--out", "run"], ["eval", "-q", "--out", "run"]],
    ids=" ".join,
)
def test_nothing_of_a_file_runs_without_the_switch(
    mine: Callable[..., Path], said: Said, arguments: list[str]
) -> None:
    task = mine()
    code, out, err = said(arguments[0], task, *arguments[1:])
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1)
    sha256 = read_local(task.parent / "my_metric.py").sha256
    for part in ("task.toml:1: plugins", "my_metric.py", "19 lines", sha256[:12], "begins: open(",
                 "--trust-local-code", "can do anything that you can"):  # fmt: skip
        assert part in err
    assert "growth" not in err  # what is missing without it is no second mistake
    assert not ran(task)
    assert not list(Path.cwd().iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["schema"], ["plugins"], ["plugins", "my_metric"], ["tasks"]], ids=" ".join
)
def test_what_reads_no_task_runs_no_file_beside_it(
    mine: Callable[..., Path], said: Said, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = mine()
    monkeypatch.chdir(task.parent)
    _, out, _ = said(*arguments)
    assert "growth" not in out
    assert not ran(task)


def test_to_name_a_file_is_not_to_trust_it(mine: Callable[..., Path], said: Said) -> None:
    task = mine()
    file = task.parent / "my_metric.py"
    for words in ([file], ["check", file]):
        code, out, err = said("plugins", *words)
        assert (code, out) == (2, "")
        assert "--trust-local-code" in err
        assert not ran(task)
    code, out, _ = said("plugins", "check", file, "--trust-local-code")
    assert code == 0
    assert "my_metric/growth  (metric)" in out
    assert "FAILED" not in out
    assert "it ships no samples" in out
    assert "growth" in said("plugins", file)[1]  # remembered


@pytest.mark.parametrize(
    "text",
    ["trust_local_code = true\n", "trust = true\n", "[trust]\nmy_metric = true\n",
     "trusted = ['./my_metric.py']\n"],
)  # fmt: skip
def test_a_task_cannot_trust_itself(mine: Callable[..., Path], said: Said, text: str) -> None:
    key = 'plugins = ["./my_metric.py"]\n'
    head = (text, key) if "[" not in text.splitlines()[0][:1] else (key, "")
    task = mine(key="".join(head), text=PAIR + GROWTH + ("" if head[1] else text))
    code, _, err = said("check", task)
    assert code == 2
    assert "--trust-local-code" in err
    assert not ran(task)
    code, _, err = said("check", task, "--trust-local-code")
    assert code == 2
    assert "unknown key 'trust" in err


def test_a_task_that_another_extends_cannot_trust_itself(
    mine: Callable[..., Path], said: Said, tmp_path: Path
) -> None:
    foreign = mine(name="downloads.py")
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in ("task.toml", "downloads.py", "web.jsonl"):
        (foreign.parent / name).rename(folder / name)
    own = tmp_path / "own.toml"
    own.write_text('extends = "downloads/task.toml"\n')
    (tmp_path / "downloads.py").write_text("raise AssertionError('the one beside the other file')")
    code, _, err = said("check", own)
    assert code == 2
    assert "downloads/task.toml:1: plugins[0]: downloads.py is code" in err
    assert not (tmp_path / "it_ran").exists()
    # What a task's own author takes out of it is not even asked for.
    own.write_text('extends = "downloads/task.toml"\nplugins = []\n[metrics]\ngrowth = false\n')
    assert said("check", own)[0] == 0
    assert not (tmp_path / "it_ran").exists()


def test_all_files_are_read_before_one_runs(mine: Callable[..., Path], said: Said) -> None:
    task = mine(key='plugins = ["./my_metric.py", "./other.py"]\n')
    assert said("plugins", task.parent / "my_metric.py", "--trust-local-code")[0] == 0
    assert ran(task)
    (task.parent / "other.py").write_text("raise AssertionError")
    code, _, err = said("check", task)
    assert code == 2
    assert "other.py is code" in err
    assert not ran(task)


# ── What is remembered ───────────────────────────────────────────────────────────────────────────


def test_trust_is_remembered_until_the_file_changes(
    mine: Callable[..., Path], said: Said, state: Path
) -> None:
    task = mine()
    assert said("check", task, "--trust-local-code")[0] == 0
    assert ran(task)
    memory = state / "sae-harness" / "trusted.jsonl"
    assert memory_file() == memory
    assert memory.stat().st_mode & 0o777 == 0o600
    assert said("check", task)[0] == 0
    file = task.parent / "my_metric.py"
    before = file.read_text()
    file.write_text(before + "\n")
    sys.modules.pop(next(name for name in sys.modules if name.startswith(PREFIX)))
    ran(task)
    code, _, err = said("check", task)
    assert code == 2
    assert "It has changed since it was trusted." in err
    assert not ran(task)
    file.write_text(before)
    assert said("check", task)[0] == 0
    assert len(memory.read_text().splitlines()) == 1


@pytest.mark.parametrize("how", ["written", "line", "another", "cut"])
def test_a_memory_that_others_may_have_written_is_not_believed(
    mine: Callable[..., Path], said: Said, state: Path, how: str
) -> None:
    task = mine()
    assert said("check", task, "--trust-local-code")[0] == 0
    memory = state / "sae-harness" / "trusted.jsonl"
    if how == "written":
        memory.chmod(0o666)
    elif how == "line":
        memory.write_text(memory.read_text().replace("my_metric", "my_matric"))
    elif how == "another":
        memory.write_text(json.dumps({"sha256": read_local(task.parent / "my_metric.py").sha256}))
    else:
        memory.write_bytes(b"\xff" + memory.read_bytes()[:50])
    assert said("check", task)[0] == 2
    assert said("check", task, "--trust-local-code")[0] == 0


@pytest.mark.parametrize("where", ["", "relative/state", "/proc/nowhere", "/dev/null"])
def test_where_nothing_can_be_remembered_the_switch_is_needed_each_time(
    mine: Callable[..., Path], said: Said, where: str, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_STATE_HOME", where)
    monkeypatch.setenv("HOME", str(tmp_path / "home" if not where.startswith("/") else "/dev/null"))
    task = mine()
    assert said("check", task, "--trust-local-code")[0] == 0
    home = tmp_path / "home" / ".local" / "state" / "sae-harness" / "trusted.jsonl"
    assert home.exists() == (not where.startswith("/"))
    assert said("check", task)[0] == (0 if home.exists() else 2)


def test_python_is_asked_the_same(mine: Callable[..., Path]) -> None:
    import harness

    task = mine()
    with pytest.raises(TaskError, match="--trust-local-code"):
        harness.load(task)
    assert not ran(task)
    assert harness.load(task, trust_local_code=True, seed=3).spec.seed == 3
    assert harness.load(task).metrics.keys() == {"gap", "growth"}


def test_a_compiled_file_beside_it_is_not_looked_at(
    mine: Callable[..., Path], said: Said, tmp_path: Path
) -> None:
    """Python would run it in the place of a file with its size and time: it has no hash of ours."""
    task = mine()
    file = task.parent / "my_metric.py"
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'evil_ran')!r}, 'w').close()\n")
    cached = file.parent / "__pycache__" / f"my_metric.{sys.implementation.cache_tag}.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(evil), str(cached), invalidation_mode=mode)
    assert said("check", task, "--trust-local-code")[0] == 0
    assert ran(task)
    assert not (tmp_path / "evil_ran").exists()
