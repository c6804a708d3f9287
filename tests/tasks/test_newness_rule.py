"""The rule of `newness` on planted changes and on harmless ones that it was not made on.

Its limits were fixed on the seeds 0, 1 and 2 of the same three kinds (k among them: ten rows are
planted at once, so that eight cannot say them). The seeds 3 to 12 then showed that it must not hold
a float32 change against the rounding of bfloat16: 7 and 8 of ten were told, the others undecided.
The ten seeds here were looked at once, after that.
"""

from __future__ import annotations

from collections import Counter

import pytest

from fakes import planted
from harness.contract import Findings
from harness_analyses.newness.newness import Newness
from harness_analyses.newness.options import NewnessOptions

SEEDS = range(13, 23)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]


@pytest.fixture(scope="module")
def base() -> planted.Base:
    return planted.base_of(40)


def concluded(base: planted.Base, model: object) -> str:
    records = planted.measured(base, model, tokens=200)
    (row,) = Newness(NewnessOptions()).run(Findings(records=records)).tables["newness"]
    return str(row["conclusion"])


@pytest.mark.parametrize(("written", "truth"), [(False, "repurposed"), (True, "new")])
def test_nine_of_ten_are_told(base: planted.Base, written: bool, truth: str) -> None:
    found = Counter(concluded(base, planted.planted(base, s, written=written)) for s in SEEDS)
    assert found[truth] >= 9, found
    assert not found.keys() - {truth, "undecided"}, found  # and none as the other


def test_a_harmless_fine_tune_is_never_new(base: planted.Base) -> None:
    found = Counter(concluded(base, planted.harmless(base, seed)) for seed in SEEDS)
    assert found["new"] == 0, found


def test_the_base_against_itself_is_nothing(base: planted.Base) -> None:
    assert concluded(base, base.model) == "undecided"
