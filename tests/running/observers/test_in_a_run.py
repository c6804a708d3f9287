"""Observers of a run see all of it and change nothing, whatever they do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fakes
from harness.contract import (
    EVENTS,
    Artifact,
    Event,
    Progress,
    Records,
    RunFailed,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
    Warned,
)
from harness.errors import InvalidRun, TaskError
from harness.planning.planner import plan
from harness.registry import Registry
from harness.results.read import Results
from harness.running.observers import audience
from harness.running.runner import run
from harness.task.task import Task, task_hash

MakeTask = Callable[..., Task]

WORK = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.gap]
pair = "p"
sites = ["resid_post.1"]
[analyses.peek]
"""
TASK = WORK + fakes.EXPERIMENT


def of(method: str, more: str = "", name: str = "one") -> str:
    return f'[observers.{name}]\nmethod = "{method}"\n{more}\n'


@pytest.fixture
def runs(task: MakeTask, registry: Registry, tmp_path: Path) -> Callable[..., Results]:
    """Runs the task with more text into a folder of its own."""

    def runs(text: str, folder: str = "run", **more: Any) -> Results:
        return run(plan(task(TASK + text)), registry, tmp_path / folder, **more)

    return runs


def written(folder: Path) -> dict[str, Any]:
    """What a run has written, without what no two runs share: seconds, memory, the folder."""
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for name in ("seconds", "memory_bytes"):
        del found["provenance"]["usage"][name]
    return found


def seen(kind: type[Event]) -> list[Any]:
    return [event for event in fakes.LAB.seen if isinstance(event, kind)]


# ── What they see ────────────────────────────────────────────────────────────────────────────────


def test_an_observer_sees_a_run_from_its_beginning_to_its_end(
    runs: Callable[..., Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience, "OFTEN", 0.0)
    results = runs(of("witness"))
    events = fakes.LAB.seen
    assert {type(event) for event in events} == set(EVENTS) - {RunFailed, Warned}
    assert [event.stamp.number for event in events] == list(range(len(events)))
    assert len({event.stamp.run for event in events}) == 1
    times = [event.stamp.time for event in events]
    assert times == sorted(times)
    first, last = events[0], events[-1]
    assert isinstance(first, RunStarted)
    assert (first.name, first.title, first.resumed) == ("tiny", "Does it work?", False)
    assert first.folder == str(tmp_path / "run")
    assert first.task["metrics"] == {"gap": {"pair": "p", "sites": ["resid_post.1"]}}
    assert isinstance(last, RunFinished)
    assert (last.status, last.problems) == ("complete", ())
    assert last.effort.seconds > 0
    assert last.effort.memory > 1e6
    usage = results.provenance["usage"]["total"]
    assert last.effort.tokens == usage["tokens"] + usage["completion_tokens"]
    told = [record for event in seen(Records) for record in event.records]
    assert sorted(map(repr, told)) == sorted(map(repr, results.records))
    files = {event.name: event.path for event in seen(Artifact)}
    assert files == {
        "results": str(tmp_path / "run" / "results.json"),
        "report": str(tmp_path / "run" / "report.html"),
    }


def test_stages_begin_go_on_and_end(
    runs: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience, "OFTEN", 0.0)
    results = runs(of("witness"))
    stages = [event.stage for event in seen(StageStarted)]
    assert stages == [event.stage for event in seen(StageFinished)]
    assert stages == list(results.provenance["usage"]["stages"])
    assert len(set(stages)) == len(stages)
    by_stage = results.provenance["usage"]["stages"]
    for begun, ended in zip(seen(StageStarted), seen(StageFinished), strict=True):
        assert begun.total == ended.total
        ticks = not ended.stage.startswith("verdicts")  # the fake judge says nothing
        assert ended.done == (ended.total if ticks and ended.total else ended.done)
        counted = by_stage[ended.stage].values()
        assert ended.effort.tokens == sum(c["tokens"] + c["completion_tokens"] for c in counted)
        done = [one.done for one in seen(Progress) if one.stage == ended.stage]
        assert done == sorted(done)
        assert done[-1:] in ([], [ended.done])


def test_progress_is_told_twice_a_second_at_most(runs: Callable[..., Results]) -> None:
    runs(of("witness"))
    assert not seen(Progress)
    assert seen(StageFinished)


def test_warnings_are_told_once_each(runs: Callable[..., Results]) -> None:
    results = runs('[models.slim]\nbackend = "fake"\n' + of("witness") + of("clumsy", name="two"))
    told = [event.text for event in seen(Warned)]
    assert [text for text in told if "observers.two" in text]
    assert set(results.warnings) == set(told)
    assert len(told) == len(set(told))


def test_a_rerun_says_that_it_goes_on_and_tells_the_same_records(
    runs: Callable[..., Results],
) -> None:
    runs(of("witness"))
    first = fakes.LAB.seen[:]
    fakes.LAB.seen.clear()
    runs(of("witness"))
    assert [event.resumed for event in seen(RunStarted)] == [True]
    before = [r for event in first if isinstance(event, Records) for r in event.records]
    assert [r for event in seen(Records) for r in event.records] == before
    assert first[0].stamp.run != fakes.LAB.seen[0].stamp.run


@pytest.mark.parametrize(
    ("crash", "error", "code"),
    [
        (RuntimeError("the power went off"), "RuntimeError: the power went off", 70),
        (KeyboardInterrupt(), "interrupted", 130),
        (MemoryError(), r"out of memory", 4),
    ],
)
def test_a_run_that_fails_says_so_last(
    runs: Callable[..., Results], crash: BaseException, error: str, code: int
) -> None:
    fakes.LAB.crash_at, fakes.LAB.crash = 2, crash
    with pytest.raises(BaseException):  # noqa: B017, PT011
        runs(of("witness"))
    last = fakes.LAB.seen[-1]
    assert isinstance(last, RunFailed)
    assert error in last.error
    assert last.exit_code == code
    assert not seen(RunFinished)
    assert isinstance(fakes.LAB.seen[-2], StageFinished)


def test_an_invalid_run_has_finished_with_its_problems(
    task: MakeTask, registry: Registry, tmp_path: Path
) -> None:
    same = WORK.replace('saes = ["mid"]', 'saes = ["mid"]\nexpect = "different"')
    made = task(same + of("witness"), "models.chat.scale=1")
    with pytest.raises(InvalidRun):
        run(plan(made), registry, tmp_path / "run")
    (last,) = seen(RunFinished)
    assert last.status == "invalid"
    assert last.problems
    assert fakes.LAB.seen[-1] is last


def test_objects_may_be_given_in_python(runs: Callable[..., Results]) -> None:
    class Mine:
        def __init__(self) -> None:
            self.kinds: list[str] = []

        def see(self, event: Event) -> None:
            self.kinds.append(event.kind)

    mine = Mine()
    runs("", observers=[mine])
    assert mine.kinds[0] == "run_started"
    assert mine.kinds[-1] == "run_finished"


def test_each_sees_in_a_thread_of_its_own(runs: Callable[..., Results]) -> None:
    runs(of("witness") + of("slow", name="two"))
    assert fakes.LAB.threads == {"observers.one", "observers.two"}


def test_the_same_observer_is_told_once(runs: Callable[..., Results]) -> None:
    runs(of("witness") + of("witness", name="two") + of("witness", 'note = "x"', name="three"))
    assert len(seen(RunFinished)) == 2


# ── What they cannot do ──────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    ("observers", "notes"),
    [
        (of("witness"), []),
        (of("meddler"), []),
        (of("meddler") + of("witness", name="two"), []),
        (of("clumsy"), [r"observers.one: it broke at 'run_started': ValueError: I do not like it"]),
        (of("clumsy", 'at = "records"'), [r"observers.one: it broke at 'records'"]),
        (of("clumsy", 'at = "run_finished"'), [r"observers.one: it broke at 'run_finished'"]),
        (of("broken"), [r"observers.one: it broke when it was made: SystemExit: 3"]),
        (of("absent"), [r"observers.one: fake/absent: .*cannot be imported"]),
        (of("stuck", "patience = 0.2"), [r"observers.one: it had not taken \d+ of \d+ events"]),
        (
            of("stuck", "patience = 0.2") + of("clumsy", name="two") + of("meddler", name="three"),
            [r"observers.two: it broke", r"observers.one: it had not taken"],
        ),
    ],
)  # fmt: skip
def test_whatever_they_do_the_results_are_those_of_a_run_without(
    runs: Callable[..., Results], tmp_path: Path, observers: str, notes: list[str]
) -> None:
    runs("", "without")
    plain = written(tmp_path / "without")
    results = runs(observers, "with")
    assert written(tmp_path / "with") == plain
    for name in ("task.toml", ".task"):
        texts = [(tmp_path / f / name).read_text("utf-8") for f in ("without", "with")]
        assert texts[0] == texts[1]
    said = results.warnings[len(plain["warnings"]) :]
    assert len(said) == len(notes)
    for text, pattern in zip(said, notes, strict=True):
        assert re.match(pattern, text), text
        assert "hf_" not in text
        assert "results are complete" in text


def test_a_meddler_reaches_no_other_observer(runs: Callable[..., Results]) -> None:
    results = runs(of("meddler") + of("witness", name="two"))
    told = [r for event in seen(Records) for r in event.records if r.id != -1.0]
    assert sorted(map(repr, told)) == sorted(map(repr, results.records))


@pytest.mark.slow
def test_one_that_hangs_holds_up_the_end_for_its_patience_alone(
    runs: Callable[..., Results],
) -> None:
    begun = time.monotonic()
    runs("", "without")
    plain = time.monotonic() - begun
    begun = time.monotonic()
    runs(of("stuck", "patience = 1") + of("stuck", 'patience = 1\nat = "records"', "two"), "with")
    # They hang for ten minutes. Two at once: test_channel.py.
    assert time.monotonic() - begun < 2 * plain + 60


def test_one_that_hangs_is_told_nothing_after_the_run(runs: Callable[..., Results]) -> None:
    runs(of("stuck", "patience = 0.1"))
    before = len(fakes.LAB.seen)
    assert before == 1
    fakes.LAB.release.set()
    time.sleep(0.2)
    assert len(fakes.LAB.seen) == before


# ── Whose run it is ──────────────────────────────────────────────────────────────────────────────


def test_observers_are_no_part_of_a_run(task: MakeTask) -> None:
    without, others = task(TASK), task(TASK + of("witness"))
    assert task_hash(without) == task_hash(others)
    assert without.resolved == others.resolved
    assert without.owners() == others.owners()


def test_turning_one_on_or_off_repeats_nothing(runs: Callable[..., Results]) -> None:
    runs("")
    forwards, generated = fakes.LAB.forwards, len(fakes.LAB.generations)
    runs(of("witness"))
    runs("")
    assert (fakes.LAB.forwards - forwards, len(fakes.LAB.generations)) == (0, generated)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[observers.x]\n", r"task.toml:\d+: observers.x.method: unknown observer 'x'. Allowed: "),
        (of("witnes"), r"unknown observer 'witnes'.*Did you mean witness\?"),
        (of("witness", "patience = -1"), r"observers.one.patience: .*greater than or equal to 0"),
        (of("witness", "patience = 1e9"), r"observers.one.patience: .*less than or equal to 600"),
        (of("witness", "ad = 1"), r"observers.one.ad: unknown key 'ad'.*at"),
        ("[observers]\none = 3\n", r"observers.one: "),
        (of("gap"), r"unknown observer 'gap'"),
    ],
)
def test_mistakes_are_said_before_the_run(
    problems: Callable[..., list[str]], text: str, said: str
) -> None:
    (problem,) = problems(TASK + text)
    assert re.search(said, problem), problem


def test_a_task_error_is_no_event(task: MakeTask) -> None:
    with pytest.raises(TaskError):
        task(TASK + of("witness") + "[metrics.nope]\n")
    assert not fakes.LAB.seen
