"""An SAE whose latents are a part of what is written: nothing is compared with what it rebuilds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

import fakes
from fakes.models import SaeSettings
from fakes.running import records
from fakes.tasks import only
from harness.errors import HarnessError
from harness.planning.planner import plan
from harness.planning.steps import MetricJob
from harness.registry import Registry, discover
from harness.running.preflight import sae_failures
from harness.running.session import Session
from harness.task.task import Task

MakeTask = Callable[..., Task]
Problems = Callable[..., list[str]]

PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
"""
PREFLIGHT = "[preflight]\ndata = 'web'\nfvu = '{}'\nalso = ['l0']\nlimit = 5\n"


def metric(name: str, more: str = "") -> str:
    return f"{PAIR}[metrics.m]\nmethod = '{name}'\npair = 'p'\n{more}"


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The fake models, with our own metrics and statistics."""
    ours = ("metrics", "statistics")
    points = [EntryPoint(f"harness-{one}", f"harness_{one}.plugin", "harness") for one in ours]
    return discover(candidates=[EntryPoint("fake", "fakes", "harness"), *points])


@pytest.fixture
def _partial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake SAE is one layer of a cross-layer transcoder."""
    told = SaeSettings.describe
    monkeypatch.setattr(SaeSettings, "describe", lambda self: replace(told(self), partial=True))


READ = ("fvu", "fvu_change", "explained_ratio")
"""Ours that read a reconstruction whatever they are asked for."""
LATENTS = ("l0", "intersection_ratio", "displacement")
"""Some that read latents, or no SAE."""


@pytest.mark.usefixtures("_partial")
@pytest.mark.parametrize("name", READ)
def test_a_metric_of_reconstructions_is_refused(problems: Problems, name: str) -> None:
    only(
        problems(metric(name)),
        rf"metrics\.m: .*harness-metrics/{name} compares activations with what an SAE rebuilds",
        "latents of mid are only a part",
        r"Write saes = \[…\] without it",
    )


@pytest.mark.parametrize("name", READ)
def test_of_a_whole_sae_it_is_measured(task: MakeTask, name: str) -> None:
    assert task(metric(name)).metrics["m"].options.rebuilds()


@pytest.mark.usefixtures("_partial")
@pytest.mark.parametrize("name", LATENTS)
def test_metrics_of_latents_are_measured(task: MakeTask, name: str) -> None:
    assert not task(metric(name)).metrics["m"].options.rebuilds()


@pytest.mark.usefixtures("_partial")
def test_of_cosines_the_reconstructions_alone_are_refused(
    task: MakeTask, problems: Problems
) -> None:
    only(problems(metric("cosine")), r"metrics\.m: .*cosine compares")
    assert task(metric("cosine", "variants = ['raw', 'latent']\n")).metrics


@pytest.mark.usefixtures("_partial")
@pytest.mark.parametrize("method", ["change_rest", "change_latents", "few_rows"])
def test_a_statistic_of_what_a_change_is_rebuilt_of_is_refused(
    problems: Problems, method: str
) -> None:
    text = f"{PAIR}[statistics.s]\nmethod = '{method}'\npair = 'p'\nsae = 'mid'\n"
    only(problems(text), r"statistics\.s\.sae: is mid, one layer of a cross-layer transcoder")


# ── The preflight ────────────────────────────────────────────────────────────────────────────────


def jobs(task: Task) -> set[tuple[str, str]]:
    found = plan(task).preflight.jobs
    return {(job.entry, str(job.target.site)) for job in found if isinstance(job, MetricJob)}


def test_a_whole_sae_is_measured_at_its_site_and_beside_it(task: MakeTask) -> None:
    places = {f"resid_post.{layer}" for layer in (1, 2, 3)}
    found = jobs(task(PREFLIGHT.format("fvu")))
    assert found == {(name, place) for name in ("fvu", "l0") for place in places}


@pytest.mark.usefixtures("_partial")
def test_of_a_partial_one_no_reconstruction_is_measured(task: MakeTask) -> None:
    """What it reads may still be looked at, at home; no site could be told to fit better."""
    made = task(PREFLIGHT.format("fvu"))
    assert jobs(made) == {("l0", "resid_post.2")}
    assert list(sae_failures(made, [])) == []


def test_of_a_whole_one_nothing_measured_is_a_failure(task: MakeTask) -> None:
    (said,) = sae_failures(task(PREFLIGHT.format("fvu")), [])
    assert "is undefined" in said


# ── A metric that does not say what it reads ─────────────────────────────────────────────────────


@pytest.mark.usefixtures("_partial")
def test_whoever_asks_for_a_reconstruction_is_stopped(session: Callable[..., Session]) -> None:
    """The fakes' `loss` reads one and does not say so, as a stranger's metric may not."""
    made = session(metric("loss"))
    with pytest.raises(HarnessError) as caught:
        records(made)
    assert "saes.mid: its latents are only a part of what is written" in str(caught.value)
    assert fakes.LAB.saes[-1].encoded == []


@pytest.mark.usefixtures("_partial")
def test_what_reads_latents_is_not(session: Callable[..., Session]) -> None:
    assert records(session(metric("active")))
