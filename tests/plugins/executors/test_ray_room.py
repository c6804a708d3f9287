"""How many workers of `ray` fit where; no ray is needed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from harness_executors.options import RayOptions
from harness_executors.ray_room import Room, ask_in_words, asked, places

SHARES = st.integers(0, 40_000).map(lambda n: n / 10_000)
"""Amounts in the steps in which Ray counts."""


def room(*nodes: dict[str, float], free: dict[str, float] | None = None) -> Room:
    told = [{"Alive": True, "Resources": node} for node in nodes]
    total: dict[str, float] = {}
    for node in nodes:
        for name, n in node.items():
            total[name] = total.get(name, 0) + n
    dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
    return Room.of([*told, dead], total if free is None else free)


@given(
    ask=st.dictionaries(st.sampled_from(["CPU", "GPU", "big"]), SHARES, max_size=3),
    have=st.dictionaries(st.sampled_from(["CPU", "GPU", "big"]), SHARES, max_size=3),
)
def test_places_are_what_exact_arithmetic_says(
    ask: dict[str, float], have: dict[str, float]
) -> None:
    def exact(number: float) -> Fraction:
        return Fraction(round(number * 10_000), 10_000)

    expected = [exact(have.get(name, 0)) // exact(n) for name, n in ask.items() if n]
    assert places(ask, have) == (min(expected) if expected else 1)


def test_a_third_of_a_gpu_fits_three_times_and_not_four() -> None:
    assert places({"GPU": 0.3333}, {"GPU": 1.0}) == 3
    assert places({"GPU": 0.1}, {"GPU": 0.3}) == 3  # 0.3 / 0.1 is 2.999… in floats


def test_a_worker_fits_on_one_node_or_on_none() -> None:
    assert room({"CPU": 1}, {"CPU": 1}).ever({"CPU": 2}) == 0
    assert room({"CPU": 3}, {"CPU": 5}).ever({"CPU": 2}) == 3


def test_no_more_fit_now_than_what_is_free() -> None:
    both = room({"CPU": 4, "GPU": 2}, {"CPU": 4}, free={"CPU": 5, "GPU": 1})
    assert both.now({"CPU": 1, "GPU": 1}) == 1
    assert both.now({"CPU": 1}) == 5
    assert room({"GPU": 1}, free={}).now({"GPU": 1}) == 0


def test_without_options_a_worker_has_a_gpu_if_there_is_any() -> None:
    assert asked(RayOptions(), room({"CPU": 8.0}), own=False) == {"CPU": 1.0}
    some = room({"CPU": 8.0}, {"CPU": 8.0, "GPU": 4.0})
    assert asked(RayOptions(), some, own=False) == {"CPU": 1.0, "GPU": 1.0}
    assert asked(RayOptions(gpus=0), some, own=False) == {"CPU": 1.0}
    given = RayOptions(gpus=0.5, cpus=2, resources={"big": 1})
    assert asked(given, some, own=False) == {"CPU": 2.0, "GPU": 0.5, "big": 1.0}


@pytest.mark.parametrize(
    ("cpus", "workers", "share"),
    [(16, 2, 8), (16, 5, 3), (2, 2, 1), (2, 4, 0.5), (2, 3, 0.6666), (8, None, 1)],
)
def test_a_machine_of_its_own_is_shared_out(cpus: int, workers: int | None, share: float) -> None:
    here = room({"CPU": float(cpus)})
    ask = asked(RayOptions(workers=workers), here, own=True)
    assert ask == {"CPU": share}
    assert here.ever(ask) >= (workers or cpus)


def test_in_words() -> None:
    has = room({"CPU": 4.0}, {"CPU": 12.0, "GPU": 2.0}, free={"CPU": 3.5})
    assert has.in_words({"CPU": 1, "GPU": 1}) == "2 nodes: CPU 16 (3.5 free); GPU 2 (0 free)"
    assert ask_in_words({"CPU": 1, "GPU": 0.25}) == "CPU 1, GPU 0.25"
