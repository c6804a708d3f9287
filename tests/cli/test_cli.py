"""The command line: its exit codes, its words, and no traceback for what a person can mend."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import fakes
from harness.cli.main import main
from harness.contract import BackendOptions
from harness.results import load_results
from harness.store.lines import Lines

HERE = Path(__file__).parents[1]
HARNESS = [sys.executable, "-m", "harness.cli.main"]

EXPERIMENT = fakes.EXPERIMENT
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tiny(write: Callable[..., Path], fake_plugin: Path) -> Path:
    """A whole experiment, in a process that has the fake plugin beside the built-in ones."""
    return write(EXPERIMENT)


# ── 0 ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("flags", [["--help"], ["-h"], ["eval", "--help"], ["check", "-h"]])
def test_help_is_given_with_the_exit_codes(said: Said, flags: list[str]) -> None:
    code, out, err = said(*flags)
    assert (code, err) == (0, "")
    assert out.startswith("Usage: harness")
    if len(flags) == 1:
        assert "Exit codes: 0 done" in out


def test_the_version_is_that_of_the_package(said: Said) -> None:
    from harness import __version__

    code, out, _ = said("--version")
    assert (code, __version__ in out) == (0, True)


def test_a_run_ends_well_and_says_where_its_results_are(
    said: Said, tiny: Path, tmp_path: Path
) -> None:
    code, out, err = said("eval", tiny, "--out", tmp_path / "run")
    assert code == 0
    slow = ("harness: importing", "harness: writing the report")  # said where it takes seconds
    assert [line for line in err.splitlines() if not line.startswith(slow)] == []
    assert "Does it work?" in out
    assert "Experiment e: chat on web" in out
    assert out.rstrip().endswith(f"Results: {tmp_path / 'run' / 'results.json'}")
    assert load_results(tmp_path / "run").status == "complete"


def test_the_same_command_without_a_folder_continues_in_the_same_one(
    said: Said, tiny: Path
) -> None:
    first = said("eval", tiny)
    second = said("eval", tiny)
    other = said("eval", tiny, "--set", "seed=1")
    folders = [out.rsplit("Results: ", 1)[1] for _, out, _ in (first, second, other)]
    assert folders[0] == folders[1] != folders[2]
    assert folders[0].startswith("runs/tiny-")


def test_several_tasks_have_a_folder_each(
    said: Said, tiny: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    text = tiny.read_text().replace('name = "tiny"', 'name = "other"')
    other = write(head=text, name="other.toml")
    code, _, _ = said("eval", tiny, other, "--out", tmp_path / "runs")
    assert code == 0
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"tiny", "other"}


def test_options_of_the_command_reach_every_model_and_data_set(
    said: Said, tiny: Path, tmp_path: Path
) -> None:
    flags = ["--limit", "2", "--device", "cuda:7", "--dtype", "bfloat16"]
    code, _, err = said("eval", tiny, "--out", tmp_path / "run", *flags)
    assert code == 0, err
    kept = load_results(tmp_path / "run")
    assert {model["device"] for model in kept.task["models"].values()} == {"cuda:7"}
    assert {model["dtype"] for model in kept.task["models"].values()} == {"bfloat16"}
    assert len(fakes.LAB.generated) == 2 * 2


def test_check_says_what_a_task_will_do_and_loads_nothing(said: Said, tiny: Path) -> None:
    code, out, err = said("check", tiny)
    assert (code, err) == (0, "")
    assert f"{tiny}: " in out
    assert "1 pass" in out
    assert "2 arms" in out
    assert not fakes.LAB.models


def test_tasks_are_listed_with_their_titles(said: Said) -> None:
    code, out, _ = said("tasks")
    assert code == 0
    assert any(line.startswith("refusal ") and "?" in line for line in out.splitlines())


def test_plugins_are_listed_with_what_they_provide(said: Said, fake_plugin: Path) -> None:
    code, out, _ = said("plugins")
    assert code == 0
    assert "fake  (acme-fake 1.0)  ready" in out
    for (kind, name), _ in fakes.COMPONENTS.items():
        assert any(line.split()[:1] == [kind.split("_")[0]] and f" {name} " in line
                   for line in out.splitlines()), (kind, name)  # fmt: skip


@pytest.mark.parametrize("name", ["probe", "fake/probe"])
def test_a_component_is_shown_with_its_options(said: Said, fake_plugin: Path, name: str) -> None:
    code, out, _ = said("plugins", name)
    assert code == 0
    assert "fake/probe  (direction)" in out
    assert 'tokens: "all" | "last" = "all"' in out
    assert "Which tokens it reads." in out
    assert "view: string | null = null" in out


def test_a_plugin_is_shown_by_its_name(said: Said, fake_plugin: Path) -> None:
    code, out, _ = said("plugins", "harness_metrics")
    assert code == 0
    assert "harness_metrics" in out
    assert "harness_saes" not in out


@pytest.mark.parametrize("command", [["plugins"], ["schema"], ["check"]])
def test_a_plugin_is_turned_off_for_every_command(
    said: Said, tiny: Path, command: list[str]
) -> None:
    more = [str(tiny)] if command == ["check"] else []
    code, out, err = said("-p", "no:fake", *command, *more)
    if more:
        assert code == 2
        assert "fake (disabled: turned off by -p or HARNESS_DISABLE)" in err
    else:
        assert code == 0
        assert "fake/probe" not in out
        assert ("turned off by -p" in out) == (command == ["plugins"])


# ── 2 ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evl"], "No such command 'evl'"),
        (["eval"], "Missing argument"),
        (["eval", "no_such_task"], "no such task"),
        (["check", "refusl"], "Did you mean refusal"),
        (["eval", "refusal", "--limit", "0"], "--limit"),
        (["eval", "refusal", "--limit", "many"], "--limit"),
        (["eval", "refusal", "--set", "x"], "must be KEY=VALUE"),
        (["check", "refusal", "--set", "x=1"], "unknown key 'x'"),
        (["check", "refusal", "--set", "data.web.limit=x"], "data.web.limit"),
        (["eval", "refusal", "refusal"], "two tasks are called refusal"),
        (["plugins", "nmse"], "unknown component 'nmse'"),
        (["-p", "harness_metrics", "plugins"], "write no:NAME"),
        (["-p", "no:harness_metrisc", "plugins"], "Did you mean harness_metrics"),
        (["check", "."], "is a folder"),
        (["eval", "refusal", "--out", "/dev/null/x"], "--out"),
    ],
)
def test_what_a_person_can_mend_is_said_in_words(
    said: Said, arguments: list[str], expected: str
) -> None:
    code, out, err = said(*arguments)
    assert code == 2, err
    assert expected in err
    assert "Traceback" not in out + err
    assert not list(Path.cwd().rglob("*.json"))


def test_every_problem_of_every_task_is_said_by_check(
    said: Said, tiny: Path, write: Callable[..., Path]
) -> None:
    one = write('[views.x]\nmodel = "bsae"\n', "one.toml")
    two = write("[directions.x]\nmethod = 'prob'\n[data.y]\nfile = 'gone'\n", "two.toml")
    code, out, err = said("check", one, tiny, two)
    assert code == 2
    assert [line.startswith("harness: ") for line in err.splitlines()] == [True] * 3
    assert "views.x.model" in err
    assert "directions.x.method" in err
    assert "data.y.file" in err
    assert "is fine" in out


@pytest.mark.parametrize(
    "error",
    ["data", "model", "plugin"],
)
def test_wrong_data_models_and_plugins_are_wrong_usage(
    said: Said, tiny: Path, tmp_path: Path, error: str, fake_dist: Callable[..., Path]
) -> None:
    flags: list[object] = []
    match error:
        case "data":
            (tmp_path / "web.jsonl").write_text("{")
        case "model":
            (tmp_path / "web.jsonl").write_text('{"text": "∞ and more"}')
        case "plugin":
            fake_dist("other", entry_points=("fake = other",))
    code, _, err = said("eval", tiny, "--out", tmp_path / "run", *flags)
    assert code == 2, err
    assert err.startswith("harness: ")
    assert "Traceback" not in err


# ── 3, 4, 70, 130 ────────────────────────────────────────────────────────────────────────────────


def test_an_invalid_run_is_3_with_its_reason_and_its_results(
    said: Said, tiny: Path, tmp_path: Path
) -> None:
    flags = ["--out", str(tmp_path / "run"), "--set", "experiments.e.intervention.silent=true"]
    code, _, err = said("eval", tiny, *flags)
    assert code == 3
    assert "changed nothing" in err
    assert "Traceback" not in err
    assert load_results(tmp_path / "run").status == "invalid"


@pytest.mark.parametrize(
    ("crash", "expected", "word"),
    [
        (OSError(28, "No space left on device"), 4, "No space left"),
        (MemoryError(), 4, "memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), 4, "memory"),
        (KeyboardInterrupt(), 130, "Run the same command again to continue"),
        (RuntimeError("oops"), 70, "a bug of ours"),
        (AssertionError("oops"), 70, "a bug of ours"),
        (EOFError("Ran out of input"), 70, "a bug of ours"),
        (KeyError("oops"), 70, "a bug of ours"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_goes_wrong_while_a_run_works_has_its_exit_code(
    said: Said, tiny: Path, tmp_path: Path, crash: BaseException, expected: int, word: str
) -> None:
    fakes.LAB.crash_at, fakes.LAB.crash = 2, crash
    code, _, err = said("eval", tiny, "--out", tmp_path / "run")
    assert (code, word in err) == (expected, True), err
    assert ("Traceback" in err) == (expected == 70)
    done = len(fakes.LAB.generated)
    fakes.LAB.clear()
    code, _, err = said("eval", tiny, "--out", tmp_path / "run")
    assert code == 0, err
    assert len(fakes.LAB.generated) == 2 * len(fakes.WEB) - done


def test_memory_that_gives_out_before_a_run_is_the_machines(
    said: Said, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise MemoryError

    monkeypatch.setattr("harness.task.fit.read_data", full)
    code, _, err = said("check", tiny)
    assert code == 4
    assert "out of memory" in err
    assert "Traceback" not in err


def test_a_bug_of_ours_asks_for_a_report(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("harness.registry.discover", broken)
    code, _, err = said("plugins")
    assert code == 70
    assert "ZeroDivisionError" in err
    assert "harness --version" in err


# ── Real processes ───────────────────────────────────────────────────────────────────────────────


def process(
    environment: Callable[..., dict[str, str]], *arguments: object, **more: Any
) -> subprocess.CompletedProcess[str]:
    # Everything the fake plugin needs: its module here, its metadata beside it.
    return subprocess.run(
        [*HARNESS, *map(str, arguments)], env=environment(*more.pop("folders", ())),
        capture_output=True, text=True, timeout=600, check=False, **more,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["evl"], 2), (["check", "refusl"], 2), (["-p", "no:x", "plugins"], 2)],
)
def test_a_process_ends_with_the_code(
    environment: Callable[..., dict[str, str]], arguments: list[str], code: int
) -> None:
    done = process(environment, *arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == (code != 0)


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_failure(
    environment: Callable[..., dict[str, str]],
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*HARNESS, "schema"], env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_an_interrupted_process_says_130_and_continues(
    environment: Callable[..., dict[str, str]], tiny: Path, fake_plugin: Path, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    stop.mkdir()
    # Sleeps once in the first edited batch, until it is interrupted.
    (stop / "sitecustomize.py").write_text(
        "import os, time\n"
        "if os.environ.get('SLEEP'):\n"
        f"    import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "    import fakes\n"
        "    was = fakes.FakeModel.generate\n"
        "    def generate(self, tokens, sampling):\n"
        "        if fakes.LAB.generations:\n"
        f"            open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "            time.sleep(1200)\n"
        "        return was(self, tokens, sampling)\n"
        "    fakes.FakeModel.generate = generate\n"
    )
    env = {**environment(stop, fake_plugin, HERE), "SLEEP": "1"}
    command = [*HARNESS, "eval", str(tiny), "--out", str(tmp_path / "run")]
    with subprocess.Popen(
        command,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that was started in the background hands down that interrupts are ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as running:
        deadline = time.monotonic() + 600
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            assert running.poll() is None, running.stderr and running.stderr.read()
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=600)
    assert running.returncode == 130
    assert "Run the same command again to continue" in err
    assert "Traceback" not in err
    (batch,) = Lines(tmp_path / "run" / "work" / "e.jsonl").values()
    assert sum(len(made["completions"]) for made in batch) == len(fakes.WEB)
    done = process(environment, *command[3:], folders=(fake_plugin, HERE))
    assert done.returncode == 0, done.stderr
    again = Lines(tmp_path / "run" / "work" / "e.jsonl").values()
    made = [sum(len(one["completions"]) for one in batch) for batch in again]
    assert made == [len(fakes.WEB)] * 2


@pytest.mark.slow
def test_a_second_process_is_kept_out(
    environment: Callable[..., dict[str, str]], tiny: Path, fake_plugin: Path, tmp_path: Path
) -> None:
    import fcntl

    assert main(["eval", str(tiny), "--out", str(tmp_path / "run")]) == 0
    lock = os.open(tmp_path / "run" / ".lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        arguments = ["eval", tiny, "--out", tmp_path / "run"]
        done = process(environment, *arguments, folders=(fake_plugin, HERE))
    finally:
        os.close(lock)
    assert done.returncode == 2
    assert "another run is using it" in done.stderr


def test_code_that_comes_with_a_model_runs_only_if_asked_for_twice(
    said: Said, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BackendOptions, "runs_remote_code", lambda self: True)
    code, _, err = said("eval", tiny, "--out", tmp_path / "run")
    assert (code, "--trust-remote-code" in err) == (2, True)
    assert not (tmp_path / "run").exists()
    assert said("eval", tiny, "--out", tmp_path / "run", "--trust-remote-code")[0] == 0
