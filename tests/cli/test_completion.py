"""What a shell completes: tasks, runs, plugins and components; nothing heavy, nothing hostile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click
import pytest
from click.shell_completion import ShellComplete

import harness.registry
from harness.cli import completion
from harness.cli.main import cli
from harness.contract import Kind
from harness.errors import PluginError
from harness.registry import discover

HEAVY = ("torch", "transformers", "sae_lens", "datasets", "lm_eval", "numpy", "pandas")


def completed(*words: str) -> list[tuple[str, str]]:
    """What stands for the last word, each with what the shell takes it for."""
    shell = ShellComplete(cli, {}, "harness", "_HARNESS_COMPLETE")
    found = shell.get_completions(list(words[:-1]), words[-1])
    return [(item.type, item.value) for item in found]


def plain(*words: str) -> list[str]:
    return [value for kind, value in completed(*words) if kind == "plain"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with runs, and what is none."""
    monkeypatch.chdir(tmp_path)
    for run in ("runs/refusal-1", "runs/drift-1", "other", "runs/evil\n\x1b[31m", "deep/a/one"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "results.json").touch()
    (tmp_path / "runs" / "half").mkdir()
    for file in ("refine.toml", "notes.txt", "deep/re.toml"):
        (tmp_path / file).touch()
    return tmp_path


@pytest.mark.parametrize("command", ["eval", "check", "plan"])
def test_tasks_are_names_and_files(here: Path, command: str) -> None:
    found = completed(command, "re")
    assert found == [("plain", "refusal"), ("plain", "refine.toml"), ("file", "re")]
    assert plain(command, "deep/") == ["deep/re.toml"]
    assert "papers/feature_drift/drift_qwen3-8b" in plain(command, "papers/feature_drift/d")


@pytest.mark.parametrize("command", ["report", "compare", "gate", "export"])
def test_runs_are_folders_with_results(here: Path, command: str) -> None:
    assert plain(command, "") == ["other", "runs/drift-1", "runs/refusal-1"]
    assert completed(command, "runs/r") == [("plain", "runs/refusal-1"), ("dir", "runs/r")]
    assert plain(command, "drift") == ["runs/drift-1"]
    assert plain(command, "deep/a/") == ["deep/a/one"]
    assert plain(command, "nowhere/") == plain(command, "x\0/") == []


def test_a_second_run_is_completed_too(here: Path) -> None:
    assert plain("compare", "other", "runs/d") == ["runs/drift-1"]


def test_components_and_plugins_are_those_that_are_installed() -> None:
    known = discover()
    for words, kind in ((("eval", "--observe"), "observer"), (("plan", "--executor"), "executor"),
                        (("export", "--to"), "export")):  # fmt: skip
        names = [one.component.name for one in known.of(kind)]  # type: ignore[arg-type]
        assert sorted(plain(*words, "")) == sorted(set(names))
    assert "jsonl" in plain("eval", "--observe", "j")
    assert plain("new", "") == list(get_args(Kind))
    assert plain("-p", "no:harness_m") == ["no:harness_metrics"]
    assert plain("plugins", "harness_sae") == ["harness_saes"]
    assert "check" in plain("plugins", "ch")
    assert "l0" in plain("plugins", "check", "l")


def test_every_task_and_every_run_of_every_command_is_completed() -> None:
    """No command is forgotten: what is called TASK or RUN in the help completes as that."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for one in command.params:
            shown = one.make_metavar(context)
            for word, expected in (("TASK", completion.tasks), ("RUN", completion.runs)):
                if isinstance(one, click.Argument) and word in shown:
                    assert one._custom_shell_complete is expected, f"{name} {shown}"


def test_plugins_that_fail_or_print_complete_nothing_and_say_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> object:
        sys.stderr.write("hello from a plugin\n")
        raise PluginError("all is broken")

    monkeypatch.setattr(harness.registry, "discover", fail)
    assert plain("plugins", "") == ["check"]
    assert plain("-p", "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [("harness eval refus", "plain,refusal"), ("harness plugins check l", "plain,l0"),
     ("harness eval a --observe js", "plain,jsonl"), ("harness new exec", "plain,executor")],
)  # fmt: skip
def test_a_shell_asks_and_nothing_heavy_is_imported(
    words: str, said: str, tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text(f"raise AssertionError('{name} was imported')\n")
    asked = {"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": words,
             "COMP_CWORD": str(len(words.split()) - 1)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main"],
        env={**environment(tmp_path), **asked}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    assert said in done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    env = {**os.environ, "_HARNESS_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-m", "harness.cli.main"], env=env,
                          capture_output=True, text=True)  # fmt: skip
    assert "_HARNESS_COMPLETE" in done.stdout
    assert f"{shell}_complete" in done.stdout
