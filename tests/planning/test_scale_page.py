"""The figures of docs/scale.md are those of `harness plan`: each row of its tables, made again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.planning.cost.devices import DEVICES, duration
from harness.planning.cost.estimate import cost
from harness.planning.cost.figures import Cost
from harness.planning.cost.spread import Spread, Team, spread
from harness.planning.cost.terminal import size

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
H100 = DEVICES["H100"]
ONE, EIGHT, MANY = Team(1, True), Team(8, True), Team(64, False)
WIDTHS = {"16,384": "16k", "65,536": "65k", "262,144": "262k", "1,048,576": "1m"}
SITES = {"early": 10, "mid": 15, "late": 17}


@cache
def planned(pair: str, changes: str = "") -> Cost:
    return cost(
        harness.plan(harness.load(f"papers/feature_drift/drift_{pair}", **CHANGES[changes])), "H100"
    )


def _of_width(text: str) -> dict[str, Any]:
    many, word = int(text.replace(",", "")), WIDTHS[text]
    return {
        "saes": {
            name: {"id": f"layer_{layer}/width_{word}/average_l0_100", "expect": {"d_sae": many}}
            for name, layer in SITES.items()
        }
    }


def _of_sites(names: str) -> dict[str, Any]:
    kept = {"saes": names.split(", ")}
    return {"pairs": {"web": kept, "conversations": kept}}


CHANGES: Mapping[str, dict[str, Any]] = {
    "": {},
    "1 million tokens": {"pairs": {"web": {"budget": 1_000_000}}},
    "10 million tokens": {},
    "100 million tokens": {
        "pairs": {"web": {"budget": 100_000_000}}, "data": {"web": {"limit": 400_000}},
    },
    **{f"{text} latents": _of_width(text) for text in WIDTHS},
    **{f"SAEs {names}": _of_sites(names) for names in ("early", "early, mid", "early, mid, late")},
    **{f"shards of {many:,} tokens": {"batch": {"shard": many}} for many in (8192, 32768, 131072)},
}  # fmt: skip


def on(found: Cost, team: Team) -> Spread:
    return spread(found, team, H100)


def took(seconds: float | None) -> str:
    assert seconds is not None
    return duration(seconds).removeprefix("about ")


def rows(heading: str) -> list[list[str]]:
    """The rows of the table that begins with a heading."""
    (_, _, rest) = PAGE.partition(f"| {heading} |")
    assert rest, heading
    lines = takewhile(lambda line: line.startswith("|"), rest.split("\n")[2:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("row", rows("pair"), ids=lambda row: row[0])
def test_the_seven_pairs(row: list[str]) -> None:
    found = planned(row[0])
    eight = on(found, EIGHT)
    assert row[1:] == [
        took(on(found, ONE).seconds), took(eight.seconds), took(on(found, MANY).seconds),
        took(eight.loading), size(eight.worker), size(eight.returned), took(eight.taking),
    ]  # fmt: skip


def test_all_seven_are_there() -> None:
    folder = Path(__file__).parents[2] / "tasks" / "papers" / "feature_drift"
    files = {file.stem.removeprefix("drift_") for file in folder.glob("drift_*.toml")}
    assert {row[0] for row in rows("pair")} == files
    assert len(files) == 7


@pytest.mark.slow
@pytest.mark.parametrize("row", rows("with"), ids=lambda row: row[0])
def test_how_cost_grows(row: list[str]) -> None:
    found = planned("gemma-2-2b", row[0])
    eight = on(found, EIGHT)
    parts = sum(cut.parts for cut in found.cuts if cut.stage.startswith("activations"))
    assert row[1:] == [
        took(on(found, ONE).seconds), size(found.memory.total), f"{parts:,}", took(eight.seconds),
        size(eight.returned), took(eight.taking),
    ]  # fmt: skip


@pytest.mark.parametrize("row", rows("workers"), ids=lambda row: row[0])
def test_how_time_falls_with_workers(row: list[str]) -> None:
    found = planned("gemma-2-9b")
    alone, there = on(found, ONE).seconds, on(found, Team(int(row[0]), False))
    assert alone is not None
    assert there.seconds is not None
    whole = max(there.seconds, there.taking if int(row[0]) > 1 else 0) + there.loading
    assert row[1:] == [
        took(there.seconds), f"{alone / there.seconds:.1f}", took(whole),
        f"{(alone + there.loading) / whole:.1f}",
    ]  # fmt: skip


def test_every_change_that_the_page_plans_is_tried() -> None:
    assert {row[0] for row in rows("with")} == set(CHANGES) - {""}
    assert not re.search(r"\bTODO\b", PAGE)
