"""tasks/transfer.toml from end to end: forecast, measurement and correlation on the organism."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.cli.main import main
from harness.results.read import Results

TASKS = Path(__file__).parents[2] / "tasks"
DOMAINS = {
    "biology", "business", "chemistry", "economics", "health", "history", "law", "math", "physics",
}  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    out = tmp_path_factory.mktemp("transfer") / "run"
    few = ["--set", "evaluators.questions.limit=15", "--set", "data.training.limit=40"]
    assert main(["eval", str(TASKS / "transfer.toml"), "--out", str(out), *few]) == 0
    return harness.load_results(out)


def by_domain(results: Results, id: str, **axes: str | int) -> dict[str, float | None]:
    return {
        str(r.axes["domain"]): r.value
        for r in results.records
        if r.id == id and "domain" in r.axes and axes.items() <= r.axes.items()
    }


def test_every_domain_is_forecast_and_measured(results: Results) -> None:
    for id in ("sts.act@1", "sts.icl@1"):
        found = by_domain(results, id, analysis="forecast")
        assert found.keys() == DOMAINS
        assert all(value is not None and value > 0 for value in found.values())
    for record in results.records:
        if record.id in ("sts.act@1", "sts.icl@1", "accuracy.change@1"):
            assert record.ci is not None, record
    assert by_domain(results, "accuracy@1", experiment="after").keys() == DOMAINS


def test_the_base_knows_some_of_most_domains(results: Results) -> None:
    """Four options: chance is a quarter."""
    base = by_domain(results, "accuracy@1", experiment="before")
    assert sum(0.4 < (value or 0) < 1 for value in base.values()) >= 5


def test_fine_tuning_moves_the_domains_unevenly(results: Results) -> None:
    moved = by_domain(results, "accuracy.change@1", analysis="transfer")
    sizes = sorted(abs(value or 0) for value in moved.values())
    assert sizes[-1] - sizes[0] >= 30


def test_solved_examples_shift_what_fine_tuning_shifts(results: Results) -> None:
    """More than chance: six times as many latents as at random."""
    [record] = [
        r
        for r in results.records
        if r.id == "shift.overlap@1"
        and (r.axes["analysis"], r.axes["space"]) == ("forecast", "latents")
    ]
    assert record.value is not None
    assert record.null is not None
    assert record.value > 3 * record.null["value"]


def test_the_correlation_is_reported_whatever_it_is(results: Results) -> None:
    for analysis in ("transfer", "transfer_afterwards"):
        for forecast in ("sts.act", "sts.icl"):
            [record] = [
                r
                for r in results.records
                if r.id == "sts.correlation.pearson@1"
                and r.axes["analysis"] == analysis
                and (r.axes["forecast"], r.axes["domains"]) == (forecast, "all")
            ]
            assert record.value is not None
            assert record.ci is not None
            assert record.n == 9


def test_curves_over_n_end_in_the_forecast_itself(results: Results) -> None:
    """N = 100 of the sweep and `ranks = [0, 100]` are the same numbers, and so is what follows."""
    for id in ("sts.act@1", "sts.icl@1"):
        swept = by_domain(results, id, analysis="over_n", dimensions=100)
        assert swept.keys() == DOMAINS
        assert swept == by_domain(results, id, analysis="forecast")
        first = by_domain(results, id, analysis="window", first=0)
        assert first == by_domain(results, id, analysis="over_n", dimensions=20)
    curve = [r for r in results.records if r.axes.get("analysis") == "transfer_over_n"]
    for id in ("sts.correlation.pearson@1", "sts.correlation.permutation_p@2"):
        mine = [r for r in curve if r.id == id and r.axes["forecast"] == "sts.act"]
        assert {r.axes["dimensions"] for r in mine} == {10, 20, 50, 100}
        whole = results.value(id, analysis="transfer", forecast="sts.act", domains="all")
        (last,) = (r for r in mine if r.axes["dimensions"] == 100)
        assert last.value == whole
