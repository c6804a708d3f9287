"""The benchmark runs, and finds the exponents that were put in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st


@pytest.mark.slow
def test_it_runs(printed: Callable[..., str]) -> None:
    out = printed("growth", "--toy", "--repeats", "1")
    for name in ("tokens", "sites", "SAEs", "latents", "length of prompts", "arms"):
        assert f"| {name} |" in out


@pytest.mark.slow
@given(st.floats(-2, 3), st.floats(1e-3, 1e3), st.integers(2, 6))
def test_a_power_is_found_again(power: float, once: float, sizes: int) -> None:
    from growth import exponent, last_slope

    found = {2**n: [once * 2 ** (n * power)] * 2 for n in range(sizes)}
    assert exponent(found).value == pytest.approx(power, abs=1e-6)
    assert last_slope(found) == pytest.approx(power, abs=1e-6)


def test_what_is_paid_once_draws_the_exponent_down_and_the_last_slope_less() -> None:
    from growth import exponent, last_slope

    found = {n: [1 + 0.1 * n] for n in (1, 4, 16, 64, 256)}
    assert 0 < exponent(found).value < last_slope(found) < 1
