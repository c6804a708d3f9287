"""The benchmark runs, and says what a part costs beside its work."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, strategies as st

from harness.contract import ShardFinished, Stamp

SCRIPT = Path(__file__).parent / "executor_speed.py"


@pytest.fixture(scope="module")
def speed() -> ModuleType:
    """The script as a module."""
    return importlib.import_module("executor_speed")


@pytest.mark.slow
def test_it_says_what_a_part_costs_beside_its_work() -> None:
    given = ["parts", "--parts", "20", "--seconds", "0.02"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *given], capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| local \| 2 \| 20 of 0\.02 s \| [\d.]+ \|", done.stdout, re.MULTILINE)
    assert re.search(r"beside a part, s: -?[\d.]+, bound 0\.05: ", done.stdout), done.stdout


@pytest.mark.slow
def test_the_throughput_of_two_workers_is_compared_with_that_of_one(
    speed: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two did more: on a busy machine one may do all shards but one, and then
    the line says that there is no number. In small: shards of a quarter of the tokens."""
    monkeypatch.setattr(speed, "SHARD", speed.SHARD // 4)
    speed.main(["drift", "--tokens", "2000", "--repeats", "1"])
    told = capsys.readouterr().out
    rates = re.findall(r"^\| ([12]) \| (\w+) \|", told, re.MULTILINE)
    assert [workers for workers, _ in rates] == ["1", "2"]
    (_, one), (_, two) = rates
    assert int(one) > 0
    if two == "undefined":
        assert "in 1 of 1 turns a worker ended fewer than two shards" in told
        assert "2 workers against 1: undefined" in told
    else:
        assert int(two) > 0
        assert re.search(r"2 workers against 1: [\d.]+, bound 1\.7: ", told)


def rate(speed: ModuleType, ended: Sequence[tuple[float, str]], workers: int) -> float | None:
    clock = speed.Clock()
    for at, worker in ended:
        clock.see(ShardFinished(Stamp("run", 0, at, worker), "activations of web"))
    found = clock.rate(workers)
    assert found is None or isinstance(found, float)
    return found


def test_a_rate_is_what_each_worker_does_from_its_first_shard_to_its_last(
    speed: ModuleType,
) -> None:
    a = [(t, "a") for t in (0.0, 1.0, 2.0, 3.0)]
    b = [(t, "b") for t in (10.0, 10.5, 11.0)]
    assert rate(speed, a, 1) == pytest.approx(1.0)
    assert rate(speed, [*a, *b], 2) == pytest.approx(1.0 + 2.0)


@pytest.mark.parametrize(
    "ended",
    [
        [],
        [(0.0, "a"), (1.0, "a"), (2.0, "a"), (3.0, "b")],  # b's only shard is the last of all
        [(0.0, "b"), (1.0, "a"), (2.0, "a")],
        [(0.0, "a"), (1.0, "a")],  # b has ended none
        [(0.0, "a"), (0.0, "a"), (0.0, "b"), (1.0, "b")],  # a clock that stood still
    ],
)
def test_a_worker_with_fewer_than_two_shards_has_no_rate(
    speed: ModuleType, ended: list[tuple[float, str]]
) -> None:
    assert rate(speed, ended, 2) is None


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab")), max_size=12))
def test_whatever_the_order_in_which_shards_end_there_is_a_rate_or_none(
    speed: ModuleType, ended: list[tuple[int, str]]
) -> None:
    found = rate(speed, [(float(at), worker) for at, worker in ended], 2)
    spans = {w: [at for at, who in ended if who == w] for w in "ab"}
    if all(len(set(times)) > 1 for times in spans.values()):
        wanted = sum((len(ts) - 1) / (max(ts) - min(ts)) for ts in spans.values())
        assert found == pytest.approx(wanted)
    else:
        assert found is None


def test_turns_without_a_rate_are_counted_and_the_others_compared(
    speed: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    speed.tell({1: [100.0, 90.0, 110.0], 2: [None, 180.0, 165.0]})
    told = capsys.readouterr().out.splitlines()
    assert told[2:] == [
        "| 1 | 100 | 90 | 110 |",
        "| 2 | 172 | 165 | 180 |",
        "in 1 of 3 turns a worker ended fewer than two shards of 4096 tokens: undefined. More "
        "--tokens",
        "2 workers against 1: 1.750, bound 1.7: holds",
    ]
