"""Metrics over the tokens with the lowest cosines, from the task file to the records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
from fakes.running import bare, records
from harness.contract import Record, Results, Site
from harness.planning.planner import plan
from harness.planning.steps import FilterJob, MetricJob, ThresholdJob
from harness.running.session import Session

MakeSession = Callable[..., Session]
SITE = Site("resid_post", 1)
TASK = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
sites = ["resid_post.1"]
[metrics.gap]
pair = "p"
[metrics.low]
method = "gap"
pair = "p"
where = { cosine_quantile = 0.3 }
[metrics.match]
pair = "p"
where = { cosine_quantile = 0.3 }
"""


def both_passes(made: Session, saved: Path | None = None) -> list[Record]:
    return [record for level in range(2) for record in records(made, saved, level)]


def named(found: list[Record], name: str, **options: Any) -> list[Record]:
    return [
        record
        for record in found
        if record.id.startswith(name)
        and record.axes.get("site") == str(SITE)
        and all(record.options.get(key) == value for key, value in options.items())
    ]


def tokens(session: Session) -> list[tuple[np.ndarray, np.ndarray]]:
    """The measured tokens of both sides, one by one, in float64."""
    left, right = (session.view_model(view) for view in ("base", "chat"))
    found = []
    for prompt in session.prompts.rendered("base", "web"):
        x, y = (model.at(SITE, prompt).double().numpy() for model in (left, right))  # type: ignore[attr-defined]
        text = "^" + prompt.text
        found += [(x[i], y[i]) for i in range(1, len(x)) if text[i] not in "^|_"]
    return found


def test_the_plan_finds_the_threshold_in_a_pass_before(session: MakeSession) -> None:
    """One threshold for a site, however many metrics wait for it; the others don't wait."""
    first, second = plan(session(TASK).task).passes
    thresholds = [job for job in first.jobs if isinstance(job, ThresholdJob)]
    sites = [job.site for job in thresholds]
    assert len(sites) == len(set(sites)) == 2  # the pair's site, and the SAE's
    assert {job.entry for job in first.jobs if isinstance(job, MetricJob)} == {"gap"}
    assert {job.entry for job in second.jobs if isinstance(job, MetricJob)} == {"low", "match"}
    assert sum(isinstance(job, FilterJob) for job in second.jobs) == 2


def test_without_the_filter_there_is_one_pass(session: MakeSession) -> None:
    assert len(plan(session(TASK.partition("[metrics.low]")[0]).task).passes) == 1


def test_the_tokens_are_those_of_a_full_sort(session: MakeSession) -> None:
    """Issue 14, item 3: value, threshold and share, worked out token by token in float64."""
    made = session(TASK)
    found = both_passes(made)
    pairs = tokens(made)
    cosines = np.array([x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in pairs])
    lowest_first = np.argsort(cosines, kind="stable")
    cut = cosines[lowest_first[math.ceil(0.3 * len(pairs)) - 1]]
    kept = [pair for pair, cosine in zip(pairs, cosines, strict=True) if cosine <= cut + 1e-9]
    (threshold,) = named(found, "cosine_threshold")
    assert threshold.options["cosine_quantile"] == 0.3
    assert threshold.value == pytest.approx(cut, abs=1.1e-3 * (1 - cut))
    assert threshold.value >= cut
    assert (threshold.n, threshold.clusters) == (len(pairs), len(fakes.WEB))
    (share,) = named(found, "filtered_share", cosine_quantile=0.3)
    assert share.value == len(kept) / len(pairs)
    (low,) = named(found, "gap", cosine_quantile=0.3)
    assert low.n == len(kept) < len(pairs)
    expected = np.mean([fakes_gap(x, y) for x, y in kept])
    assert low.value == pytest.approx(expected)
    assert "least_apart" not in low.options


def fakes_gap(x: np.ndarray, y: np.ndarray) -> float:
    """What the fake metric `gap` measures of a token."""
    return float(np.abs(y - x).sum())


@pytest.mark.slow
def test_batches_shards_and_order_change_no_number(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[Record] | None = None
    for size, shard, order in itertools.product((1, 3, 32), (4, 32768), (1, -1)):
        monkeypatch.setattr(fakes, "WEB", fakes.WEB[::order])
        made = session(TASK, f"batch.activations={size}", f"batch.shard={shard}")
        found = bare(both_passes(made))
        expected = expected or found
        assert found == expected


def test_identical_models_have_no_lowest_tokens(session: MakeSession) -> None:
    """Undefined with a reason: no tenth is picked by chance."""
    found = both_passes(session(TASK, "models.chat.scale=1"))
    (threshold,) = named(found, "cosine_threshold")
    assert threshold.value is None
    assert threshold.undefined is not None
    (share,) = named(found, "filtered_share", cosine_quantile=0.3)
    assert share.value == 0
    (low,) = named(found, "gap", cosine_quantile=0.3)
    assert low.value is None
    assert low.undefined


def test_a_run_that_was_cut_off_goes_on_to_the_same_numbers(
    session: MakeSession, tmp_path: Path
) -> None:
    """The threshold is found again from the states that the first pass has saved."""
    expected = bare(both_passes(session(TASK, "batch.shard=8", "batch.activations=1")))
    saved = tmp_path / "states"
    cut = session(TASK, "batch.shard=8", "batch.activations=1")
    records(cut, saved.with_name("first"), 0)
    fakes.LAB.crash_at_forward = fakes.LAB.forwards + 4
    with pytest.raises(RuntimeError, match="power"):
        records(cut, saved.with_name("second"), 1)
    fakes.LAB.crash_at_forward = None
    again = session(TASK, "batch.shard=8", "batch.activations=1")
    found = records(again, saved.with_name("first"), 0)
    found += records(again, saved.with_name("second"), 1)
    assert bare(found) == expected


def test_it_is_in_the_results_of_a_run(run_task: Callable[..., Results]) -> None:
    results = run_task(TASK)
    assert results.status == "complete"
    ids = [record.id for record in results.records]
    assert "cosine_threshold@1" in ids


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "nan", '"x"'])
def test_a_share_that_is_none(task: Callable[..., Any], share: str) -> None:
    with pytest.raises(Exception, match="cosine_quantile"):
        task(TASK.replace("0.3", share))
