"""Who gets which part next, whatever happens to the workers; no ray is needed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from harness.errors import MachineError
from harness_executors.ray_parts import Parts


@given(number=st.integers(0, 30), workers=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_each_part_is_done_once_though_workers_end(number: int, workers: int, seed: int) -> None:
    chance = random.Random(seed)
    todo = Parts(str(n).encode() for n in range(number))
    busy, done, deaths = [], [], {}
    while todo.left or busy:
        if len(busy) < workers and (part := todo.take()):
            busy.append(part)
            continue
        part = busy.pop(chance.randrange(len(busy)))
        fate = chance.random()
        if fate < 0.2 and deaths.get(part.number, 0) < 2:
            deaths[part.number] = deaths.get(part.number, 0) + 1
            todo.lost(part, "bad luck")
        elif fate < 0.4:
            todo.give_back(part)
        else:
            assert part.content == str(part.number).encode()
            done.append(part.number)
    assert sorted(done) == list(range(number))
    assert todo.take() is None


def test_parts_are_taken_when_they_are_asked_for() -> None:
    taken = []
    todo = Parts(taken.append(n) or b"" for n in range(5))
    assert taken == []
    assert todo.left
    assert taken == [0]
    assert todo.left
    assert taken == [0]
    assert todo.take().number == 0
    assert taken == [0]


def test_what_came_back_is_the_next() -> None:
    todo = Parts([b"a", b"b", b"c"])
    first, second = todo.take(), todo.take()
    todo.give_back(second)
    todo.lost(first, "gone")
    assert [todo.take().number for _ in range(3)] == [0, 1, 2]


def test_the_third_death_is_the_last() -> None:
    todo = Parts([b"a"])
    for _ in range(2):
        todo.lost(todo.take(), "it fell")
    with pytest.raises(MachineError) as caught:
        todo.lost(todo.take(), "it burnt", " Buy water.")
    text = str(caught.value)
    assert caught.value.exit_code == 4
    assert "3 workers ended over part 0" in text
    assert "it burnt. Buy water." in text
    assert "kept" in text
    assert "same command" in text
