"""What stops a run before it begins: the sentinel's number, and both verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.cli.main import main
from harness.contract import Inputs, Reads, Record, Site
from harness.planning.steps import SentinelJob
from harness.results.read import Results
from harness.running.passes.difference import RelativeDifference
from harness.running.preflight import sentinel_failures
from harness.testing.support.batches import array_batch

REFUSAL = Path(__file__).parents[2] / "tasks" / "refusal.toml"
SITES = (Site("resid_post", 1), Site("resid_post", 2))


def tokens(seed: int, rows: int = 12) -> dict[Site, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {site: torch.randn(rows, 5, generator=generator) for site in SITES}


def measured(*batches: object) -> list[Record]:
    difference, inputs = RelativeDifference(SITES), Inputs()
    states = [difference.update(difference.start(inputs), batch) for batch in batches]  # type: ignore[arg-type]
    state = difference.start(inputs)
    for one in states:
        state = difference.merge(state, one)
    return list(difference.finish(state, inputs).records)


def rows_of(found: dict[Site, torch.Tensor], kept: slice) -> dict[Site, torch.Tensor]:
    return {site: x[kept] for site, x in found.items()}


def test_the_difference_equals_its_float64_formula_over_any_split() -> None:
    left, right = tokens(0), tokens(1)
    whole = measured(array_batch([0] * 5 + [1] * 7, left, right))
    parts = measured(
        array_batch([0] * 7, rows_of(left, slice(5, None)), rows_of(right, slice(5, None))),
        array_batch([0] * 5, rows_of(left, slice(5)), rows_of(right, slice(5))),
    )
    for site, record, split in zip(SITES, whole, parts, strict=True):
        x, y = (side[site].numpy().astype(np.float64) for side in (left, right))
        expected = np.sqrt(np.sum((y - x) ** 2) / np.sum(x**2))
        assert record.value == pytest.approx(expected, rel=1e-12)
        assert split.value == pytest.approx(expected, rel=1e-12)
        assert (record.n, record.clusters, record.axes) == (12, 2, {"site": str(site)})
        assert (split.n, split.clusters) == (12, 2)


def test_identical_models_differ_by_nothing_and_no_tokens_are_undefined() -> None:
    left = tokens(0)
    assert [r.value for r in measured(array_batch([0] * 12, left, left))] == [0.0, 0.0]
    for record in measured():
        assert record.value is None
        assert record.undefined


@pytest.mark.parametrize(
    ("expect", "values", "said"),
    [
        ("different", [0.0, 1e-6], "are the same"),
        ("different", [0.0, 1e-3], ""),
        ("same", [0.0, 1e-6], ""),
        ("same", [0.0, 1e-3], "differ"),
        ("different", [], "no token could be compared"),
        ("same", [], "no token could be compared"),
    ],
)
def test_a_pair_is_held_against_what_the_task_expects(
    expect: str, values: list[float], said: str
) -> None:
    records = [Record("difference.relative@1", v, 3, "tokens", "ratio") for v in values]
    job = SentinelJob("p", expect, Reads())  # type: ignore[arg-type]
    found = list(sentinel_failures(job, records))
    assert (len(found), said in "".join(found)) == (int(bool(said)), True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["saes.mid.site=resid_post.3", "saes.mid.check_site=false"],
            "explains resid_post.4 better than resid_post.3",
        ),
        (["preflight.fvu_max=0.001"], "above fvu_max"),
        (["models.chat.path=organism/base", 'views.chat.prompt={style="plain"}'], "are the same"),
    ],
    ids=["one layer off", "too much unexplained", "the same model twice"],
)
def test_a_run_that_would_mislead_stops_before_a_completion_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    overrides: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(REFUSAL.parent)  # paths of --set are relative to the working folder
    changes = [word for one in overrides for word in ("--set", one)]
    arguments = ["eval", str(REFUSAL), "--limit", "12", "--out", str(tmp_path / "run"), *changes]
    assert main(arguments) == 3
    assert said in capsys.readouterr().err
    assert (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "samples").exists()


def test_a_pair_of_models_in_different_dtypes_is_noted(run_task: Callable[..., Results]) -> None:
    """Item 6 of the issue: the rounding of one side counts as change."""
    text = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.active]
pair = "p"
"""
    (said,) = run_task(text, "models.chat.dtype=bfloat16").warnings
    assert "pairs.p: base computes in float32 and chat in bfloat16" in said
    both = ("models.base.dtype=bfloat16", "models.chat.dtype=bfloat16")
    assert not run_task(text, *both, fresh=True).warnings
