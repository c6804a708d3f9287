"""How fast a stage goes: laws of the pace."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from harness.running.pace import Gauge, Pace, figure, remaining


def test_what_an_earlier_run_has_done_is_no_speed() -> None:
    """900 of 1,000 are there at once; then one a second."""
    pace = Pace(0.0, 1000, Gauge())
    pace.add(900, 0.01)
    for second in range(1, 21):
        pace.add(1, float(second))
    assert pace.rate() == pytest.approx(1, rel=0.01)
    assert pace.left(20.0) == pytest.approx(80, rel=0.01)


def test_what_workers_hand_in_together_is_a_speed() -> None:
    """Eight workers with 100 things each, every minute."""
    pace = Pace(0.0, 8000, Gauge())
    for minute in range(1, 6):
        for _ in range(8):
            pace.add(100, 60.0 * minute)
    assert pace.rate() == pytest.approx(800 / 60, rel=0.35)
    assert pace.left(300.0) == pytest.approx(300, rel=0.35)


def test_it_follows_a_change() -> None:
    pace = Pace(0.0, 0, Gauge())
    for second in range(1, 51):
        pace.add(10, float(second))
    for second in range(51, 151):
        pace.add(1, float(second))
    assert pace.rate() == pytest.approx(1, rel=0.05)
    assert pace.left(150.0) is None


@pytest.mark.slow
@given(st.integers(1, 400), st.floats(0.001, 100), st.integers(1, 50))
def test_an_even_pace_is_found(ticks: int, each: float, many: int) -> None:
    total = 2 * ticks * many
    tokens = [0]
    pace = Pace(5.0, total, Gauge(lambda: tokens[0]))
    for number in range(1, ticks + 1):
        tokens[0] = 7 * number * many
        pace.add(many, 5.0 + number * each)
    now = 5.0 + ticks * each
    assert pace.rate() == pytest.approx(many / each, rel=1e-6)
    assert pace.tokens() == pytest.approx(7 * many / each, rel=1e-6)
    assert pace.left(now) == pytest.approx(ticks * each, rel=0.02, abs=2 * each)
    assert len(pace._looks) < 1000


def test_what_cannot_be_told_is_not() -> None:
    pace = Pace(1.0, 10, Gauge())
    assert (pace.rate(), pace.tokens(), pace.left(1.0), pace.speed(), pace.where()) == (
        None, None, None, [], "",
    )  # fmt: skip
    pace.add(3, 1.0)  # in no time at all
    assert pace.rate() is None
    pace.add(0, 2.0)
    assert pace.rate() == 3


@pytest.mark.parametrize(
    ("rate", "said"),
    [(0.2501, "0.25"), (1.66, "1.7"), (12.4, "12"), (999.0, "999"), (8412.0, "8,400")],
)
def test_figures(rate: float, said: str) -> None:
    assert figure(rate) == said


def test_words_of_time() -> None:
    assert [remaining(s) for s in (0, 89, 180, 9000, 90000)] == [
        "0 s",
        "89 s",
        "3 min",
        "2.5 h",
        "25 h",
    ]
