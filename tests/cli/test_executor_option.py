"""`--executor` and `--workers`, `run(…, executor=…)`, and a person's file: who computes a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import TaskError
from harness.planning.planner import plan
from harness.registry import Registry
from harness.running.pace import Gauge
from harness.running.progress import NO_GAUGE, Progress, Tick
from harness.running.runner import run
from harness.task.task import Task

Said = Callable[..., tuple[int, str, str]]
METRIC = '[metrics.mean]\nview = "base"\ndata = "web"\nsites = ["embed"]\n[batch]\nshard = 8\n'


@pytest.fixture
def tiny(write: Callable[..., Path], fake_plugin: Path) -> Path:
    return write(METRIC)


def about(folder: str | Path) -> dict[str, Any]:
    text = Path(folder, "results.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_command_chooses_and_the_numbers_are_the_same(said: Said, tiny: Path) -> None:
    assert said("eval", tiny, "--out", "alone")[0] == 0
    code, _, err = said("eval", tiny, "--out", "spread", "--executor", "local", "--workers", "1")
    assert code == 0, err
    alone, spread = about("alone"), about("spread")
    assert spread["records"] == alone["records"]
    assert spread["task"] == alone["task"]
    assert "executor" not in alone["provenance"]
    assert spread["provenance"]["executor"]["component"] == "harness_executors/local"
    assert spread["provenance"]["executor"]["options"]["workers"] == 1
    assert "settings" not in spread["provenance"]


def test_a_persons_file_chooses_where_nobody_else_does(
    said: Said, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path("mine.toml").absolute()
    file.write_text('executor = "local"\nworkers = 1\n', encoding="utf-8")
    monkeypatch.setenv("HARNESS_CONFIG", str(file))
    code, _, err = said("eval", tiny, "--out", "run")
    assert code == 0, err
    assert "mine.toml gives executor, workers" in err
    found = about("run")["provenance"]
    assert found["executor"]["options"]["workers"] == 1
    assert found["settings"] == {"path": "mine.toml", "keys": {"executor": [], "workers": []}}


def test_what_is_wrong_is_one_message(said: Said, tiny: Path) -> None:
    code, _, err = said("eval", tiny, "--executor", "desc")
    assert code == 2
    assert err.startswith("harness: --executor: executor.method: unknown executor 'desc'. Allowed:")
    assert err.rstrip().endswith("Did you mean desk?")
    code, _, err = said("eval", tiny, "--workers", "0")
    assert (code, "--workers: executor.workers: input should be greater" in err) == (2, True)
    assert said("eval", tiny, "--workers", "two")[0] == 2


def test_python_chooses_too(tiny: Path, tmp_path: Path) -> None:
    planned = harness.plan(harness.load(tiny))
    harness.run(planned, tmp_path / "run", cache=False, executor="local", workers=1)
    assert about(tmp_path / "run")["provenance"]["executor"]["options"]["workers"] == 1
    assert planned.task.executor is None
    with pytest.raises(TaskError, match=r"^run\(…, executor=…\): executor\.method: unknown"):
        harness.run(planned, tmp_path / "other", executor="desc")
    assert not (tmp_path / "other").exists()


class _Watching(Progress):
    """Remembers on how many workers each stage is when something is done."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, int]]] = {}

    @contextmanager
    def stage(self, name: str, total: int, gauge: Gauge = NO_GAUGE) -> Iterator[Tick]:
        seen = self.seen.setdefault(name, [])

        def tick(done: int) -> None:
            seen.append((gauge.workers(), gauge.tokens()))

        yield tick
        seen.append((gauge.workers(), gauge.tokens()))


def test_progress_knows_the_workers_and_what_all_of_them_read(
    task: Callable[..., Task], registry: Registry, tmp_path: Path
) -> None:
    ends = []
    for number, more in enumerate(("", '[executor]\nmethod = "desk"\nworkers = 3\n')):
        watching = _Watching()
        run(plan(task(METRIC + more)), registry, tmp_path / str(number), progress=watching)
        ends.append(watching.seen["activations, pass 1 of 1"][-1])
    (one, tokens), (three, of_three) = ends
    assert (one, three) == (1, 3)
    assert tokens == of_three > 0
