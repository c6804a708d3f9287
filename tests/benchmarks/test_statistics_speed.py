"""The benchmark runs every statistic that needs no SAE beside the drift's pass."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_runs_them_beside_the_pass_of_the_drift() -> None:
    import statistics_speed
    from drift_speed import TOY

    found = statistics_speed.times(TOY, "cpu", 1, ["cka"])
    assert list(found) == ["drift", "cka", "together"]
    assert all(len(seconds) == 1 for seconds in found.values())


def test_it_says_whether_the_bound_holds() -> None:
    import statistics_speed

    rows = statistics_speed.report({"drift": [1.0, 2.0, 3.0], "together": [2.1, 2.3, 2.1]})
    assert rows[-1] == "together: +0.050, bound 0.1: holds"
    assert "DOES NOT HOLD" in statistics_speed.report({"drift": [1.0], "together": [1.2]})[-1]
