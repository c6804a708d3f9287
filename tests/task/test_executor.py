"""Which executor a run gets: that of a command or a call, of the task, of a person's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import fakes
from harness.errors import TaskError
from harness.registry import Registry, discover
from harness.task.executor import Wanted, given_executor, wanted, with_executor
from harness.task.file import Origin, read_source
from harness.task.resolve import resolve
from harness.task.task import Task

EXECUTORS = '''
from typing import Annotated
from harness.contract import ByHand, Component, ExecutorOptions, hookimpl

class Near(ExecutorOptions):
    """Here."""
    near: int = 0
    """One of its own."""

class Far(ExecutorOptions):
    """There."""
    address: str = ""
    """Where."""
    cluster: Annotated[str, ByHand(("here",))] = "here"
    """Whose."""

@hookimpl
def harness_components():
    return [Component("executor", name, name, f"places:{name}", f"places:{made}")
            for name, made in (("local", "Near"), ("far", "Far"))]
'''
COMMAND = Origin(None, given="--executor")
PERSON = Origin(Path("config.toml"), 3)


@pytest.fixture
def places(fake_dist: Callable[..., Path]) -> Registry:
    fake_dist("places", EXECUTORS)
    points = [EntryPoint("fake", "fakes", "harness"), EntryPoint("places", "places", "harness")]
    return discover(candidates=points)


def layer(keys: Mapping[str, Any], origin: Origin) -> Wanted:
    return Wanted(keys, dict.fromkeys(keys, origin))


def table(keys: Mapping[str, Any]) -> str:
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in keys.items()]
    return "\n".join(["[executor]", *lines, ""])


CASES = (
    # A command's executor over a task's: with another method the task's keys fall away.
    ({"method": "far"}, {"near": 2, "workers": 3}, {}, {"method": "far"}),
    ({"method": "far"}, {"method": "far", "address": "x"}, {}, {"method": "far", "address": "x"}),
    ({"method": "places/far"}, {"method": "far", "address": "x"}, {},
     {"method": "places/far", "address": "x"}),
    # Workers alone: the method is the task's, or a person's, or the usual one.
    ({"workers": 8}, {"method": "far", "workers": 2, "address": "x"}, {},
     {"method": "far", "workers": 8, "address": "x"}),
    ({"workers": 8}, {}, {"method": "far", "address": "x"},
     {"method": "far", "workers": 8, "address": "x"}),
    ({"workers": 8}, {}, {}, {"method": "local", "workers": 8}),
    # A person's settings are beneath the task.
    ({}, {}, {"method": "far", "workers": 2}, {"method": "far", "workers": 2}),
    ({}, {}, {"workers": 2}, {"method": "local", "workers": 2}),
    ({}, {"near": 1}, {"method": "far", "workers": 2}, {"method": "local", "near": 1}),
    ({}, {"near": 1}, {"workers": 2}, {"method": "local", "near": 1, "workers": 2}),
    ({}, {"method": "far"}, {"method": "far", "address": "x"}, {"method": "far", "address": "x"}),
    ({"method": "far"}, {"near": 1}, {"method": "far", "address": "x"},
     {"method": "far", "address": "x"}),
)  # fmt: skip


@pytest.mark.parametrize(("above", "own", "below", "found"), CASES)
def test_the_uppermost_decides(
    places: Registry, write: Callable[..., Path],
    above: dict[str, Any], own: dict[str, Any], below: dict[str, Any], found: dict[str, Any],
) -> None:  # fmt: skip
    source = read_source(write(table(own) if own else ""))
    merged, given = with_executor(source, places, layer(above, COMMAND), layer(below, PERSON))
    assert {"method": "local", **merged.values["executor"]} == found
    said = {key for key, value in below.items() if found.get(key) == value}
    assert given == said - above.keys() - own.keys() - ({"method"} if own else set())
    task = resolve(merged, places)
    assert task.executor is not None
    assert task.executor.options.workers == found.get("workers")
    assert "executor" not in task.resolved


@pytest.mark.slow
def test_the_answer_is_that_of_a_slow_reading_of_the_rule(
    places: Registry, write: Callable[..., Path]
) -> None:
    """All combinations of what three may say, against the rule said key by key."""
    methods, workers = (None, "local", "far"), (None, 2)
    for above, own, below in product(product(methods, workers), repeat=3):
        keys = [
            {key: value for key, value in zip(("method", "workers"), one, strict=True) if value}
            for one in (above, own, below)
        ]
        source = read_source(write(table(keys[1]) if keys[1] else ""))
        merged, _ = with_executor(source, places, layer(keys[0], COMMAND), layer(keys[2], PERSON))
        if not any(keys):
            assert merged is source
            continue
        named = [one.get("method", "local") if i and one else one.get("method")
                 for i, one in enumerate(keys)]  # fmt: skip
        method = next((one for one in named if one), "local")
        fits = [one for one, name in zip(keys, named, strict=True) if name in (None, method)]
        most = next((one["workers"] for one in fits if "workers" in one), None)
        assert merged.values["executor"].get("workers") == most
        assert merged.values["executor"].get("method", "local") == method


def test_what_set_wrote_belongs_to_the_command(
    places: Registry, write: Callable[..., Path]
) -> None:
    file = write(table({"near": 1}))
    source = read_source(file, ["executor.address=x"])
    merged, _ = with_executor(source, places, layer({"method": "far"}, COMMAND))
    assert merged.values["executor"] == {"method": "far", "address": "x"}
    source = read_source(file, ["executor.method=far", "executor.address=x"])
    merged, _ = with_executor(source, places, layer({"method": "local"}, COMMAND))
    assert merged.values["executor"] == {"method": "local", "near": 1}


@pytest.mark.parametrize(
    ("method", "workers", "said"),
    [
        ("faar", None, "--executor: executor.method: unknown executor 'faar'. "
         "Allowed: desk, far, local. Did you mean far?"),
        (None, 0, "--workers: executor.workers: input should be greater than or equal to 1"),
        (None, 9999, "--workers: executor.workers: input should be less than or equal to 4096"),
    ],
)  # fmt: skip
def test_it_is_checked_as_the_task_is(
    places: Registry, write: Callable[..., Path], method: str | None, workers: int | None, said: str
) -> None:
    asked = wanted(method, workers, "--{}")
    source, _ = with_executor(read_source(write(table({"near": 1}))), places, asked)
    with pytest.raises(TaskError) as wrong:
        resolve(source, places)
    assert [str(one)[: len(said)] for one in wrong.value.problems] == [said]
    task = resolve(read_source(write(table({"near": 1}))), places)
    with pytest.raises(TaskError) as again:
        given_executor(task, places, asked)
    assert [str(one) for one in again.value.problems] == [str(o) for o in wrong.value.problems]


def test_what_the_task_has_wrong_is_said_where_it_stands(
    places: Registry, write: Callable[..., Path]
) -> None:
    source = read_source(write(table({"method": "far", "adress": "x"})))
    source, _ = with_executor(source, places, wanted(None, 2, "--{}"))
    with pytest.raises(TaskError, match=r"task\.toml:\d+: executor\.adress: unknown key 'adress'"):
        resolve(source, places)


def test_a_table_that_is_none_is_said_by_the_task(
    places: Registry, write: Callable[..., Path]
) -> None:
    source = read_source(write(head='executor = "far"\nname = "x"\n'))
    merged, given = with_executor(source, places, wanted("far", None, "--{}"))
    assert (merged, given) == (source, frozenset())
    with pytest.raises(TaskError, match=r"executor: .*table"):
        resolve(merged, places)


def test_a_call_gives_a_task_another_executor(places: Registry, task: Callable[..., Task]) -> None:
    before = task()
    after = given_executor(before, places, wanted("far", 4, "run(…, {}=…)"))
    assert before.executor is None
    assert after.executor is not None
    assert str(after.executor.owner) == "places/far"
    assert after.executor.options.workers == 4
    assert after.spec.executor is not None
    assert after.spec.executor.method == "far"
    assert after.resolved == before.resolved


def test_a_task_file_names_no_cluster_of_others(places: Registry, tmp_path: Path) -> None:
    file = tmp_path / "task.toml"
    file.write_text(fakes.TINY + '[executor]\nmethod = "far"\ncluster = "evil.example:1"\n')
    (tmp_path / "web.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(TaskError, match=r"executor\.cluster: a task file may not say this") as no:
        resolve(read_source(file), places)
    assert "task.toml:" in str(no.value)
    for override in ("executor.cluster=here", "executor.cluster=host:1"):
        made = resolve(read_source(file, [override]), places).executor
        assert made is not None
    file.write_text(file.read_text().replace("evil.example:1", "here"))
    assert resolve(read_source(file), places).executor is not None
