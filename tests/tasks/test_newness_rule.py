"""The rule of `newness` on planted changes and on harmless ones that it was not made on.

Its limits were fixed on the seeds 0, 1 and 2 of the same three kinds (k among them: ten rows are
planted at once, so that eight cannot say them). The seeds 3 to 12 then showed that it must not hold
a float32 change against the rounding of bfloat16: 7 and 8 of ten were told, the others undecided.
The ten seeds 13 to 22 were looked at once, after that. `PYTHONPATH=tests python
tests/tasks/test_newness_rule.py`
tries them all (four minutes), the suite the first three.
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from fakes import planted
from harness.contract import Findings
from harness_analyses.newness.newness import Newness
from harness_analyses.newness.options import NewnessOptions

SEEDS = range(13, 23)
FEW = SEEDS[:3]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]


@pytest.fixture(scope="module")
def base() -> planted.Base:
    return planted.base_of(60)


def told(base: planted.Base, written: bool, seeds: range) -> Counter[str]:
    return Counter(concluded(base, planted.planted(base, s, written=written)) for s in seeds)


def told_of_harmless(base: planted.Base, seeds: range) -> Counter[str]:
    return Counter(concluded(base, planted.harmless(base, seed)) for seed in seeds)


def concluded(base: planted.Base, model: object) -> str:
    records = planted.measured(base, model, tokens=200)
    (row,) = Newness(NewnessOptions()).run(Findings(records=records)).tables["newness"]
    return str(row["conclusion"])


@pytest.mark.parametrize(("written", "truth"), [(False, "repurposed"), (True, "new")])
def test_what_was_planted_is_told(base: planted.Base, written: bool, truth: str) -> None:
    assert told(base, written, FEW) == {truth: len(FEW)}


def test_a_harmless_fine_tune_is_never_new(base: planted.Base) -> None:
    found = told_of_harmless(base, FEW)
    assert found["new"] == 0, found


def test_the_base_against_itself_is_nothing(base: planted.Base) -> None:
    assert concluded(base, base.model) == "undecided"


if __name__ == "__main__":
    ours = planted.base_of(60)
    moved, new = told(ours, False, SEEDS), told(ours, True, SEEDS)
    harmless = told_of_harmless(ours, SEEDS)
    print(f"moved {dict(moved)}\nwritten {dict(new)}\nharmless {dict(harmless)}")
    sys.exit(not (moved["repurposed"] >= 9 and new["new"] >= 9 and not harmless["new"]))
