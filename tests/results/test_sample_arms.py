"""Which completions belong to a record: the rows of its arm, told by their axes alone."""

import math
import random
from typing import Any

from harness.contract import Record
from harness.results.completions import arm_axes
from harness.results.samples import Samples

ELSEWHERE = ("experiment", "evaluator", "view", "data")
VALUES = [1, True, 1.0, 0, False, "1", "a", None, math.nan, [1], [True], {"x": 1}]


def slow(rows: list[dict[str, Any]], record: Record) -> set[str]:
    """The texts of an arm's rows, each row looked at by itself."""
    axes = {key: value for key, value in record.axes.items() if key not in ELSEWHERE}
    fit = [
        row for row in rows if all(key in row and row[key] == value for key, value in axes.items())
    ]
    own = [row for row in fit if set(arm_axes(row)) - set(ELSEWHERE) <= set(axes)]
    return {str(row["text"]) for row in own or fit}


def drawn(rng: random.Random) -> dict[str, Any]:
    """A few axes; one of them is called like a column of every row."""
    names = rng.sample(["direction", "k", "draw", "view", "tokens"], rng.randint(0, 3))
    return {name: rng.choice(VALUES) for name in names}


def test_an_arm_has_the_rows_that_fit_one_by_one() -> None:
    rng = random.Random(3)
    some = 0
    for _ in range(60):
        rows = [
            {**drawn(rng), "experiment": "e", "example": "x", "text": n, "verdicts": {}}
            for n in range(40)
        ]
        samples = Samples({"e": rows})
        for _ in range(20):
            axes = {**drawn(rng), "experiment": "e"}
            record = Record("a@1", 0.0, 1, "prompts", "share", axes=axes)
            expected = slow(rows, record)
            some += bool(expected)
            assert samples.texts(record) == expected
    assert some > 300


def test_an_arm_has_its_rows_in_their_order() -> None:
    rows = [
        {"direction": "d", "k": n % 3, "example": str(n % 5), "verdicts": {"j": {"s": float(n)}}}
        for n in range(30)
    ]
    axes = {"experiment": "e", "evaluator": "j", "direction": "d"}
    record = Record("a@1", 14.5, 30, "prompts", "share", axes=axes)
    its = Samples({"e": rows}).scores(record)["s"].by_prompt
    assert its == {str(n): tuple(map(float, range(n, 30, 5))) for n in range(5)}
