"""The plan: everything that a task asks for, in the fewest passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from harness.contract import Site, Target
from harness.planning.plan import Plan
from harness.planning.planner import plan
from harness.planning.preflight import neighbours
from harness.planning.steps import MetricJob, PlannedArm, ReductionJob, Rendering, SentinelJob
from harness.task.task import NO_EDIT, Task

MakeTask = Callable[..., Task]


@pytest.fixture
def planned(task: MakeTask) -> Callable[..., Plan]:
    def planned(text: str = "", *overrides: str) -> Plan:
        return plan(task(text, *overrides))

    return planned


MakePlan = Callable[..., Plan]


def probe(name: str, *keys: str) -> str:
    lines = [f"[directions.{name}]", 'method = "probe"', 'view = "chat"', 'data = "web"', *keys]
    return "\n".join([*lines, ""])


def entries(made: Plan) -> list[list[str]]:
    """The names of the directions of each pass, in order of their jobs."""
    return [
        [job.instances[0].entry for job in one.jobs if isinstance(job, ReductionJob)]
        for one in made.passes
    ]


@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        ("", []),
        (probe("a"), [["a"]]),
        (probe("a") + probe("b"), [["a", "b"]]),
        # What is needed to start comes a pass earlier, wherever it is written.
        (probe("a", "start = 'b'") + probe("b"), [["b"], ["a"]]),
        (probe("a", "start = 'b'") + probe("b", "start = 'c'") + probe("c"), [["c"], ["b"], ["a"]]),
        # What is needed to finish comes earlier in the same pass.
        (probe("a", "finish = 'b'") + probe("b"), [["b", "a"]]),
        (probe("a", "finish = 'b'") + probe("b", "finish = 'c'") + probe("c"), [["c", "b", "a"]]),
        # Both together.
        (probe("a", "finish = 'b'") + probe("b", "start = 'c'") + probe("c"), [["c"], ["b", "a"]]),
        (probe("a", "start = 'b'") + probe("b", "finish = 'c'") + probe("c"), [["c", "b"], ["a"]]),
        (probe("a", "start = 'b'", "finish = 'c'") + probe("b") + probe("c", "start = 'b'"),
         [["b"], ["c", "a"]]),
        (probe("a", "start = 'b'", "finish = 'c'") + probe("b") + probe("c"), [["b", "c"], ["a"]]),
    ],
)  # fmt: skip
def test_a_direction_comes_after_what_it_needs_in_as_few_passes_as_possible(
    planned: MakePlan, directions: str, expected: list[list[str]]
) -> None:
    assert entries(planned(directions)) == expected


def test_a_diamond_of_many_levels_is_planned_in_no_time(planned: MakePlan) -> None:
    text = probe("a0") + probe("b0")
    for n in range(1, 12):
        text += probe(f"a{n}", f"start = 'b{n - 1}'", f"finish = 'a{n - 1}'")
        text += probe(f"b{n}", f"start = 'a{n - 1}'", f"finish = 'b{n - 1}'")
    assert entries(planned(text)) == [[f"a{n}", f"b{n}"] for n in range(12)]


def test_a_sweep_over_what_only_finish_reads_shares_one_job(planned: MakePlan) -> None:
    (work,) = planned(probe("a", "sweep = { scale = [1, 2, 3] }")).passes
    (job,) = work.jobs
    assert isinstance(job, ReductionJob)
    assert [instance.axes for instance in job.instances] == [{"scale": n} for n in (1, 2, 3)]


def test_a_sweep_over_what_the_pass_reads_has_a_job_for_each_value(planned: MakePlan) -> None:
    (work,) = planned(probe("a", "sweep = { scale = [1, 2], offset = [5, 6, 7] }")).passes
    instances = [[i.axes["offset"] for i in job.instances] for job in work.jobs]  # type: ignore[union-attr]
    assert sorted(instances) == [[5, 5], [6, 6], [7, 7]]


def test_two_entries_never_share_a_state(planned: MakePlan) -> None:
    assert len(planned(probe("a") + probe("b")).passes[0].jobs) == 2


def test_each_view_of_some_data_is_rendered_once_in_a_pass(planned: MakePlan) -> None:
    text = probe("a") + probe("b") + probe("c", "tokens = 'last'") + PAIR
    text += "[metrics.mean]\npair = 'p'\n[metrics.gap]\npair = 'p'\n"
    (work,) = planned(text).passes
    assert Counter(work.renderings()) == Counter(
        [Rendering("chat", "web"), Rendering("base", "web")]
    )


PAIR = """
[saes.early]
format = "fake"
model = "base"
site = "resid_post@0.25"
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid", "early"]
sites = ["resid_post.2", "mlp_out@0.5", "embed"]
"""
MID, EARLY = Target(Site("resid_post", 2), "mid"), Target(Site("resid_post", 1), "early")
BARE = [Target(Site("mlp_out", 2)), Target(Site("embed"))]


@pytest.mark.parametrize(
    ("metric", "sides", "targets"),
    [
        ("loss", ("left", "right"), [MID, EARLY]),
        ("match", ("pair",), [MID, EARLY]),
        ("mean", ("left", "right"), [MID, EARLY, *BARE]),
        ("gap", ("pair",), [MID, EARLY, *BARE]),
    ],
)
def test_a_metric_is_measured_at_every_place_on_every_side_that_it_has(
    planned: MakePlan, metric: str, sides: tuple[str, ...], targets: list[Target]
) -> None:
    made = planned(PAIR + f"[metrics.{metric}]\npair = 'p'\n")
    jobs = [job for job in made.passes[0].jobs if isinstance(job, MetricJob)]
    assert {(job.target, job.side) for job in jobs} == {(t, s) for t in targets for s in sides}
    assert len(jobs) == len(targets) * len(sides)
    for job in jobs:
        view = {"left": "base", "right": "chat", "pair": None}[job.side]
        expected = {"pair": "p", "data": "web", "site": str(job.target.site)}
        expected |= {"view": view} if view else {}
        expected |= {"sae": job.target.sae} if job.target.sae else {}
        assert job.axes == expected


@pytest.mark.parametrize(
    ("keys", "targets"),
    [
        ("saes = ['mid']", [MID, *BARE]),
        ("saes = []", [Target(Site("resid_post", 2)), *BARE]),
        ("saes = []\nsites = ['resid_post.0']", [Target(Site("resid_post", 0))]),
        ("sites = []", [MID, EARLY]),
    ],
)
def test_a_metric_may_name_other_saes_and_sites_than_its_pair(
    planned: MakePlan, keys: str, targets: list[Target]
) -> None:
    made = planned(PAIR + f"[metrics.gap]\npair = 'p'\n{keys}\n")
    assert [job.target for job in made.passes[0].jobs] == targets  # type: ignore[union-attr]


def test_a_metric_of_a_view_is_measured_on_that_view(planned: MakePlan) -> None:
    text = "[metrics.loss]\nview = 'chat'\ndata = 'web'\nsaes = ['mid']\n"
    (job,) = planned(text).passes[0].jobs
    assert isinstance(job, MetricJob)
    assert (job.side, job.target) == ("left", MID)
    assert job.axes == {"view": "chat", "data": "web", "site": "resid_post.2", "sae": "mid"}


def test_metrics_share_the_first_pass(planned: MakePlan) -> None:
    made = planned(PAIR + "[metrics.gap]\npair = 'p'\n" + probe("a", "start = 'b'") + probe("b"))
    kinds = [{type(job).__name__ for job in work.jobs} for work in made.passes]
    assert kinds == [{"ReductionJob", "MetricJob"}, {"ReductionJob"}]


# ── Preflight ────────────────────────────────────────────────────────────────────────────────────

PREFLIGHT = "[preflight]\ndata = 'web'\nfvu = 'loss'\nalso = ['active']\nlimit = 5\n"


@pytest.mark.parametrize(
    ("site", "layers", "expected"),
    [
        (Site("resid_post", 2), 4, [1, 3]),
        (Site("resid_post", 0), 4, [1]),
        (Site("resid_post", 3), 4, [2]),
        (Site("mlp_out", 3), None, [2, 4]),
        (Site("resid_post", 0), 1, []),
        (Site("embed"), 4, []),
        (Site("resid_post", None, 0.5), None, []),
    ],
)
def test_neighbours_are_the_blocks_below_and_above_that_exist(
    site: Site, layers: int | None, expected: list[int]
) -> None:
    assert list(neighbours(site, layers)) == [Site(site.kind, layer) for layer in expected]


def test_preflight_measures_each_sae_at_home_and_at_its_neighbours(planned: MakePlan) -> None:
    made = planned(PREFLIGHT)
    jobs = [job for job in made.preflight.jobs if isinstance(job, MetricJob)]
    found = {(job.entry, job.target.sae, str(job.target.site)) for job in jobs}
    assert found == {
        (metric, "mid", f"resid_post.{layer}")
        for metric in ("loss", "active")
        for layer in (1, 2, 3)
    }
    assert made.preflight.limit == 5
    assert made.preflight.renderings() == [Rendering("@base", "web")]


def test_a_pair_with_an_expectation_is_compared_where_it_is_measured(planned: MakePlan) -> None:
    made = planned(PAIR + 'expect = "different"\n')
    (job,) = made.preflight.jobs
    assert isinstance(job, SentinelJob)
    assert set(job.reads.sites) == {MID.site, EARLY.site, *(target.site for target in BARE)}


def test_a_pair_without_a_place_is_compared_at_the_end(planned: MakePlan) -> None:
    text = "[pairs.p]\nleft = 'base'\nright = 'chat'\ndata = 'web'\nexpect = 'same'\n"
    (job,) = planned(text).preflight.jobs
    assert job.reads.sites == (Site("resid_post", 3),)


# ── Experiments ──────────────────────────────────────────────────────────────────────────────────


def test_an_experiment_has_the_unedited_arm_and_one_for_every_variant(planned: MakePlan) -> None:
    text = probe("a") + probe("b", "draws = 2", "sweep = { scale = [1, 2] }")
    text += """
[experiments.e]
view = "chat"
data = "web"
directions = ["b", "a"]
evaluators = ["polite"]
intervention = { method = "shift" }
"""
    (work,) = planned(text).generations
    swept = [{"scale": scale, "draw": draw} for scale in (1, 2) for draw in (0, 1)]
    assert list(work.arms) == [
        PlannedArm(NO_EDIT),
        *(PlannedArm("b", axes) for axes in swept),
        PlannedArm("a"),
    ]
    assert work.arms[1].label == "b[scale=1,draw=0]"
    assert work.arms[-1].label == "a"


def test_directions_without_an_experiment_are_found_all_the_same(planned: MakePlan) -> None:
    made = planned(probe("a"))
    assert entries(made) == [["a"]]
    assert not made.generations
