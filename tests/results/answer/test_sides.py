"""The sentence about a crosscoder: whose its features are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.contract import Record, Results
from harness.results.answer.sides import sides

Make = Callable[..., Record]
TASK = {
    "name": "x",
    "saes": {"both": {"pair": "p"}},
    "pairs": {"p": {"left": "before", "right": "after"}},
    "directions": {"own": {"sae": "both"}, "drawn": {"sae": "both"}, "of_other": {"sae": "mid"}},
}
SHARES = {"left_only": 0.02, "shared": 0.6, "right_only": 0.05, "other": 0.33}


def shares(record: Make, space: str = "normalised", **values: float) -> list[Record]:
    here = {"sae": "both", "space": space, "statistic": "s"}
    made = (SHARES | values).items()
    return [replace(record("decoder_norms.share", v, place=k, **here), n=1000) for k, v in made]


def rows(direction: str, features: list[int], **more: Any) -> list[dict[str, Any]]:
    return [
        {"direction": direction, "k": len(features), "rank": i, "feature": one,
         "towards_side": 1.0, "written": 1.0, "active": 1.0, **more}
        for i, one in enumerate(features, 1)
    ]  # fmt: skip


def said(found: Any) -> list[str]:
    return [sentence.text for sentence in found]


def test_whose_the_features_are(record: Make, results: Callable[..., Results]) -> None:
    both = [*shares(record), *shares(record, "raw", right_only=0.9)]
    assert said(sides(results(*both, task=TASK))) == [
        "Of 1000 features of `both`, 5% write to after alone, 2% to before alone, "
        "60% to both alike."
    ]
    turned = shares(record, right_only=0.0, left_only=0.3)
    (text,) = said(sides(results(*turned, task=TASK)))
    assert "0% write to after alone, 30% to before alone" in text
    assert "the left side alone" in said(sides(results(*both)))[0], "a task that names no pair"


def test_artefacts_among_them_are_counted(record: Make, results: Callable[..., Results]) -> None:
    here = {"sae": "both", "side": "right", "kind": "genuine"}
    kinds = [
        replace(record("latent_scaling.share", 0.14, space=space, **here), n=50)
        for space in ("normalised", "raw")
    ]
    (text,) = said(sides(results(*shares(record), *kinds, task=TASK)))
    assert "both alike. Of those of after alone, 7 of 50 are free of known artefacts." in text


def test_the_strongest_are_named_and_no_controls(
    record: Make, results: Callable[..., Results]
) -> None:
    tables = {
        "own.features": [*rows("own", [7]), *rows("own", [7, 3, 5, 2, 9])],
        "drawn.features": rows("drawn", [1], draw=0),
        "of_other.features": rows("of_other", [4]),
    }
    found = sides(results(*shares(record), task=TASK, tables=tables))
    assert said(found)[0].endswith("to both alike; the strongest of `own`: 7, 3, 5, 2.")


def test_without_numbers_nothing_is_said(record: Make, results: Callable[..., Results]) -> None:
    assert not said(sides(results(record("decoder_norms.median", 0.5, sae="both"))))
    assert not said(sides(results(*shares(record, "raw"), task=TASK)))
    undefined = [replace(one, value=None, undefined="why") for one in shares(record)]
    assert not said(sides(results(*undefined, task=TASK)))
