"""What the task `newness` promises of the organism, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.cli.main import main
from harness.results import conclusions
from harness.results.answer.answer import answer
from harness.results.read import Results

ROOT = Path(__file__).parents[2]
TASK = ROOT / "tasks" / "newness.toml"
TRUTH = ROOT / "tasks" / "organism" / "tunes"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("newness") / "run"
    assert main(["eval", str(TASK), "--out", str(out), "--limit", "30"]) == 0
    return out


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return harness.load_results(folder)


def concluded(results: Results) -> dict[str, str]:
    return {row["pair"]: row["conclusion"] for row in results.tables["conclusion.newness"]}


def test_each_change_is_told_for_what_it_is(results: Results) -> None:
    found = concluded(results)
    assert found["features"] == found["row"] == "repurposed"
    assert found["direction"] == "new"
    assert found["nothing"] == "undecided"
    assert "new" not in {found["chat"], found["rays"]}


def test_every_claim_is_supported(results: Results) -> None:
    assert {claim.name: claim.status for claim in results.claims} == {
        name: "supported"
        for name in (
            "features_moved", "row_moved", "direction_written", "rays_not_new", "chat_not_new",
        )
    }  # fmt: skip


def test_few_rows_find_what_was_planted_first(results: Results) -> None:
    """The ten features are the first ten rows of the table, the one row is the first."""
    table = results.tables["rows.features"]
    for pair, folder, key in (
        ("features", "planted_features", "features"),
        ("row", "planted_rank_one", "feature"),
    ):
        truth = json.loads((TRUTH / folder / "truth.json").read_text())[key]
        wanted = set(truth) if isinstance(truth, list) else {truth}
        mine = [row["feature"] for row in table if row["pair"] == pair]
        assert set(mine[: len(wanted)]) == wanted


def test_base_against_base_gives_every_null(results: Results) -> None:
    mine = [one for one in results.records if one.axes.get("pair") == "nothing"]
    numbers = ("fvu_change", "few_rows", "change_rest", "change_latents", "newness")
    of = [one for one in mine if one.id.startswith(numbers)]
    values = {one.id: one.value for one in of if one.value is not None}
    assert values.pop("fvu_change.errors_correlation@1") == pytest.approx(1, abs=1e-12)
    bound = values.pop("change_latents.bound@1")
    assert bound is not None
    assert 0 < bound < 0.01
    assert set(values.values()) == {0.0}
    assert {id.partition(".")[0] for id in values} == {"change_latents"}
    assert all(one.undefined for one in of if one.value is None)


def test_the_answer_begins_with_what_is_new(results: Results) -> None:
    sentences = conclusions(results)["conclusion.newness"]
    assert sentences[0].startswith("new at layer 4 (direction, mid): ")
    assert any("New at layer 4 (direction, mid)" in one.text for one in answer(results))


def test_the_page_says_it_first(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    panel = page.index("New or repurposed?")
    assert page.index("What few rows leave of the change", panel) > panel
    assert "Components of what is left" in page
