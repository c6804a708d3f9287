"""What is known to be undefined before a run is said by `check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from harness.contract import Example
from harness.planning.foresight import _documents, foreseen, too_few_documents, too_few_tokens
from harness.registry import discover
from harness.results.numbers import MIN_CLUSTERS
from harness.results.replicates import REPLICATES, interval
from harness.task.load import load_for_command
from harness.task.prompts import TaskData

DRIFT = Path(__file__).parents[2] / "tasks" / "drift.toml"


@pytest.mark.slow
def test_feature_shift_on_fewer_tokens_than_it_needs(
    said: Callable[..., tuple[int, str, str]],
) -> None:
    """CASES row 27: it passed `check` and came out undefined. A present feature is at least 10 of
    `delta` = 5e-4 of the tokens, so 10 / 5e-4 = 20,000 of them; the tokenizer itself counts."""
    registry = discover()
    few = load_for_command(registry, str(DRIFT), ["data.web.at_most=8"])
    model = few.spec.views[few.spec.pairs["web"].left].model
    tokenizer = AutoTokenizer.from_pretrained(few.resolved["models"][model]["path"])
    rows = TaskData(few.spec, Path()).examples("web")
    counted = sum(len(tokenizer(row.text).input_ids) for row in rows)
    (note,) = too_few_tokens(few)
    assert f"web gives at most {counted:,} tokens" in note
    assert "it needs 20,000" in note
    assert not [*too_few_tokens(load_for_command(registry, str(DRIFT)))]
    code, out, _ = said("check", DRIFT, "--set", "data.web.at_most=8")
    assert code == 0
    assert "note: statistics." in out


TASKS = DRIFT.parent


def notes(task: str, *overrides: str) -> list[str]:
    """What is foreseen of a built-in task with some changes."""
    return [*foreseen(load_for_command(discover(), str(TASKS / f"{task}.toml"), overrides))]


@pytest.mark.slow
def test_of_the_built_in_tasks_nothing_is_foreseen_to_be_undefined() -> None:
    for task in ("drift", "refusal", "mechanism", "transfer", "diagnosis"):
        loaded = load_for_command(discover(), str(TASKS / f"{task}.toml"))
        assert [*foreseen(loaded), *too_few_documents(loaded)] == []


def test_ranks_beyond_the_components_are_told_where_they_were_written() -> None:
    (note,) = notes("mechanism", "statistics.flips.ranks=[1, 10, 11, 20]")
    assert note.startswith("statistics.flips: ranks 11, 20 will be left out: pcs finds 10 ")
    # The default has ranks for any number of components; nobody asked for each of them.
    assert notes("mechanism", "directions.pcs.components=2", "statistics.flips.ranks=[1]") == []


@pytest.mark.slow
def test_a_condition_that_no_statistic_counts_under_is_told() -> None:
    (note,) = notes("mechanism", "analyses.tasks_pc1.condition=pcs.7")
    assert note.startswith("analyses.tasks_pc1: its records will be undefined: condition is pcs.7")
    assert "Allowed: none, pcs.1, pcs.10" in note
    (note,) = notes("mechanism", "analyses.checkpoints.condition=pcs.3")
    assert "Allowed: none, pcs.1, pcs.10" in note
    assert notes("mechanism", "analyses.tasks_pc1.condition=constant.10") == []
    more = ("statistics.flips.injections=['constant']", "statistics.flips.ranks=[1, 10, 20]")
    beyond = notes("mechanism", *more, "analyses.tasks_pc1.condition=constant.20")
    assert len(beyond) == 2  # the rank is left out, and so the condition has none


@pytest.mark.slow
def test_an_axis_that_pairs_do_not_have_is_told() -> None:
    (note,) = notes("mechanism", "analyses.trajectory.axis=step")
    assert "topics_20, topics_50, topics_100, topics_160, topics have no axis 'step'" in note
    (note,) = notes("mechanism", "pairs.topics.axes=false")
    assert "place along the way: topics have no axis 'checkpoint'" in note


@pytest.mark.slow
def test_ranks_beyond_the_dimensions_are_told_for_each_space() -> None:
    """2,048 latents, and 128 numbers per token."""
    (raw,) = notes("transfer", "analyses.forecast.ranks=[0, 2048]")
    assert "beyond the 128 dimensions of resid_post.4: it will take 128 dimensions there" in raw
    latents, raw = notes("transfer", "analyses.forecast.ranks=[128, 2049]")
    assert "2048 dimensions of SAE mid: it will take 1920 dimensions there, not 1921" in latents
    assert "its numbers there will be undefined" in raw
    assert notes("transfer", "analyses.forecast.ranks=[0, 128]") == []


def test_too_few_documents_for_an_interval(said: Callable[..., tuple[int, str, str]]) -> None:
    """As many as `interval` wants, and equal rows count once."""
    registry = discover()
    for rows in (MIN_CLUSTERS - 1, MIN_CLUSTERS):
        task = load_for_command(registry, str(DRIFT), [f"data.web.at_most={rows}"])
        found = [*too_few_documents(task)]
        assert len(found) == (rows < MIN_CLUSTERS)
        replicates = np.linspace(0, 1, REPLICATES)
        assert (interval(replicates, rows)[0] is None) == bool(found)
    (note,) = too_few_documents(load_for_command(registry, str(DRIFT), ["data.web.at_most=4"]))
    assert note.startswith("data.web: has 4 different documents, and an interval needs 20")
    assert "cosine, explained_ratio, fvu, intersection_ratio" in note
    assert "fvu_conversations" not in note
    code, out, _ = said("check", DRIFT, "--set", "data.web.at_most=4")
    assert code == 0
    assert f"note: {note}" in out


def test_the_smallest_category_decides() -> None:
    many = [Example(str(i), "t", {"kind": "b" if i < 3 else "a"}) for i in range(30)]
    assert _documents(many, "kind") == ("3 different documents of kind 'b'", 3)
    assert _documents([*many[:4], *many[:4]], None) == ("4 different documents", 4)
    assert _documents(many, None)[1] == MIN_CLUSTERS  # no more are read
