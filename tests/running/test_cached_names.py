"""Two tasks share what they have in common, whatever each of them calls it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from string import Template
from typing import Any

import numpy as np
import pytest

import fakes
from fakes.cached import made, same
from fakes.statistics import Tally
from harness.contract import Batch, Direction, Found, Inputs, Site, State
from harness.planning.planner import plan
from harness.planning.steps import Job, MetricJob, ReductionJob
from harness.registry import Registry
from harness.results.read import Results
from harness.running.passes import recall
from harness.running.passes.content import JobContent, tells_names
from harness.running.passes.jobs import RunningJob, start
from harness.running.runner import run
from harness.running.session import Session
from harness.store.cache import Cache
from harness.task.file import read_source
from harness.task.resolve import resolve

TASK = Template("""\
name = "$task"
[models.$base]
backend = "fake"
[models.$chat]
backend = "fake"
scale = 3
[views.$plain]
model = "$base"
[views.$talk]
model = "$chat"
[views.$other]
model = "$chat"
prompt = { template = "so: {text}" }
[saes.$mid]
format = "fake"
model = "$base"
site = "resid_post.2"
[saes.$end]
format = "fake"
model = "$base"
site = "resid_post.3"
home = 3
fingerprint = "another"
[data.$web]
file = "web.jsonl"
[data.$few]
file = "web.jsonl"
limit = 3
[preflight]
data = "$web"
fvu = "$loss"
also = []
fvu_max = 1e9
[pairs.$pair]
left = "$plain"
right = "$talk"
data = "$web"
saes = ["$mid", "$end"]
sites = ["embed"]
expect = "different"
[pairs.$second]
left = "$plain"
right = "$other"
data = "$few"
align = "span"
[metrics.$gap]
method = "gap"
pair = "$pair"
[metrics.$active]
method = "active"
pair = "$pair"
[metrics.$low]
method = "match"
pair = "$pair"
where = { cosine_quantile = 0.5 }
[metrics.$mean]
method = "mean"
view = "$other"
data = "$few"
sites = ["resid_post.1"]
[statistics.$tally]
method = "tally"
view = "$talk"
data = "$web"
more = "$few"
site = "resid_post.1"
sae = "$mid"
start = "$first"
[statistics.$sums]
method = "tally"
pair = "$second"
site = "resid_post.1"
[directions.$first]
method = "probe"
view = "$plain"
data = "$web"
[directions.$next]
method = "probe"
view = "$talk"
data = "$few"
start = "$first"
finish = "$first"
[experiments.$run]
view = "$talk"
data = "$few"
directions = ["$first", "$next"]
evaluators = ["polite"]
intervention = { method = "shift" }
""")
PLACES = sorted(set(TASK.get_identifiers()) - {"loss"})
JOBS = 24
OWN = {name: name for name in PLACES} | {"loss": "loss"}


def renamed(seed: int) -> dict[str, str]:
    """Every table under a name that is drawn; some exchange their names."""
    draw = Random(seed)
    names = [f"z{''.join(draw.choices('qxjkwv', k=6))}" for _ in PLACES]
    own = PLACES[: len(PLACES) // 2]
    names[: len(own)] = draw.sample(own, len(own))
    return {**dict(zip(PLACES, names, strict=True)), "loss": "loss"}


@pytest.fixture
def named(
    write: Callable[..., Path], registry: Registry, tmp_path: Path, cache: Cache
) -> Callable[..., Results]:
    """Runs the task with its tables under these names, into a folder of its own."""
    number = iter(range(100))

    def named(
        names: dict[str, str], *overrides: str, more: str = "", use: Cache | None = cache
    ) -> Results:
        fakes.LAB.clear()
        file = write(TASK.substitute(names) + more, head="")
        task = resolve(read_source(file, overrides), registry)
        return run(plan(task), registry, tmp_path / f"named{next(number)}", cache=use)

    return named


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Results]]:
    """What the first run put into its cache and made, for all tests that begin with it."""
    return tmp_path_factory.mktemp("once") / "cache", []


@pytest.fixture
def first(
    named: Callable[..., Results], once: tuple[Path, list[Results]], tmp_path: Path
) -> Results:
    """What a run under the task's own names made; the cache holds all of it."""
    folder, found = once
    if found:
        shutil.copytree(folder, tmp_path / "cache")
    else:
        found.append(named(OWN))
        assert all(made())
        shutil.copytree(tmp_path / "cache", folder)
    return found[0]


def told(results: Results, names: dict[str, str]) -> list[str]:
    """The records with the names of the first task, in an order of their own."""
    back = {new: old for old, new in names.items()}

    def plain(value: Any) -> Any:
        return back.get(value, value) if isinstance(value, str) else value

    return sorted(
        json.dumps(
            {
                **{key: its for key, its in vars(one).items() if key not in ("axes", "options")},
                "axes": {key: plain(its) for key, its in one.axes.items()},
            },
            sort_keys=True,
            default=str,
        )
        for one in results.records
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_other_names_find_the_same_work(
    named: Callable[..., Results], first: Results, seed: int
) -> None:
    """Also where tables have exchanged names: nothing goes to the wrong stream, side or job."""
    names = renamed(seed)
    other = named(names)
    assert made() == (0, 0)
    assert other.provenance["from_cache"] == {"jobs": JOBS, "completions": 9}
    assert told(other, names) == told(first, OWN)
    assert same(other, named(names, use=None))


@pytest.mark.slow
def test_two_tasks_that_share_a_pair_share_its_pass(
    named: Callable[..., Results], first: Results
) -> None:
    names = renamed(7)
    more = Template("""
[data.fresh]
file = "web.jsonl"
limit = 2
[pairs.fresh]
left = "$talk"
right = "$plain"
data = "fresh"
sites = ["resid_post.1"]
[metrics.fresh]
method = "gap"
pair = "fresh"
""").substitute(names)
    both = named(names, more=more)
    assert both.provenance["from_cache"]["jobs"] == JOBS
    forwards = made()[0]
    assert same(both, named(names, more=more, use=None))
    assert 0 < forwards < made()[0]


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What was not in the cache, in the runs from now on, by what the task calls it."""
    found: set[str] = set()

    def recalled(session: Session, cache: Cache, jobs: list[RunningJob], limit: int) -> Any:
        known = recall.recalled(session, cache, jobs, limit)
        found.update(_called(one.job) for one in jobs if one not in known)
        return known

    monkeypatch.setattr("harness.running.passes.run.recalled", recalled)
    return found


def _called(job: Job) -> str:
    if isinstance(job, ReductionJob):
        return job.instances[0].entry
    if isinstance(job, MetricJob) and not job.preflight:
        return f"{job.entry} {job.target.sae}" if job.target.sae else job.entry
    return "preflight" if isinstance(job, MetricJob) else type(job).__name__


PASSES = {
    *("$first", "$next", "$tally", "$sums", "$gap", "$gap $mid", "$gap $end", "$mean"),
    *("$active $mid", "$active $end", "$low $mid", "$low $end", "preflight"),
    *("SentinelJob", "ThresholdJob", "FilterJob"),
}
MISSED = {
    # `first` starts two others, so that these go with it.
    "directions.$first.offset=1": {"$first", "$next", "$tally"},
    "directions.$first.scale=2": {"$next", "$tally"},
    "directions.$next.offset=1": {"$next"},
    "directions.$next.scale=2": set(),
    "statistics.$tally.offset=1": {"$tally"},
    "statistics.$tally.scale=2": set(),
    # Another share is another threshold of the same counts, and other tokens.
    "metrics.$low.where.cosine_quantile=0.4": {"$low $mid", "$low $end", "FilterJob"},
    "views.$other.prompt.template='so, {text}'": {"$mean", "$sums"},
    # It finds the same directions, from which others go on.
    "models.$base.fingerprint=new": PASSES - {"$mean", "$next", "$tally"},
    "saes.$end.fingerprint=new": {"$gap $end", "$active $end", "$low $end", "preflight"},
    "data.$few.limit=2": {"$next", "$tally", "$sums", "$mean"},
    "seed=3": PASSES,
    "preflight.fvu_max=1e8": set(),
}


@pytest.mark.slow
@pytest.mark.parametrize("override", MISSED, ids=str)
def test_a_change_misses_what_depends_on_it_and_nothing_else(
    named: Callable[..., Results], first: Results, missed: set[str], override: str
) -> None:
    names = renamed(11)
    missed.clear()
    changed = Template(override).substitute(names)
    other = named(names, changed)
    assert missed == {Template(one).substitute(names) for one in MISSED[override]}
    assert same(other, named(names, changed, use=None))


@pytest.mark.slow
def test_another_version_of_a_plugin_misses_what_it_computes(
    named: Callable[..., Results], first: Results, missed: set[str], registry: Registry
) -> None:
    missed.clear()
    (plugin,) = registry.plugins
    before = plugin.version
    object.__setattr__(plugin, "version", "2.0")
    try:
        named(OWN)
    finally:
        object.__setattr__(plugin, "version", before)
    assert "SentinelJob" in missed  # the backend is of the same plugin
    assert len(missed) == len(PASSES)


# ── Of one job ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def job(
    write: Callable[..., Path], registry: Registry, tmp_path: Path
) -> Callable[..., tuple[Session, RunningJob]]:
    """The job of `next`, which starts from a direction, in a task with these names."""

    def job(names: dict[str, str], given: Direction) -> tuple[Session, RunningJob]:
        file = write(TASK.substitute(names), head="")
        task = resolve(read_source(file), registry)
        session = Session(task, tmp_path / "downloads", tmp_path / "replies")
        (work,) = [
            one
            for level in plan(session.task).passes
            for one in level.jobs
            if isinstance(one, ReductionJob) and one.instances[0].entry == names["next"]
        ]
        session.directions.found[names["first"]] = [Found(given)]
        return session, start(session, work)

    return job


GIVEN = Direction(Site("resid_post", 2), np.ones((1, fakes.WIDTH)), 2.0, "mid", (1,), (0.5,))
CHANGED = {
    "reference norm": replace(GIVEN, reference_norm=2.0000001),
    "no reference norm": replace(GIVEN, reference_norm=None),
    "vectors": replace(GIVEN, vectors=np.nextafter(GIVEN.vectors, 2)),
    "site": replace(GIVEN, site=Site("resid_post", 1)),
    "features": replace(GIVEN, features=(2,)),
    "weights": replace(GIVEN, weights=(0.25,)),
    "origin": replace(GIVEN, origin=np.zeros(fakes.WIDTH)),
    "readers": replace(GIVEN, readers=np.ones((1, fakes.WIDTH)) / fakes.WIDTH),
    "SAE": replace(GIVEN, sae="end"),
}


def test_the_name_of_a_directions_sae_is_no_part_of_a_key(job: Callable[..., Any]) -> None:
    names = renamed(5)
    here = JobContent(*job(OWN, GIVEN)).key(None)
    assert JobContent(*job(names, replace(GIVEN, sae=names["mid"]))).key(None) == here
    assert JobContent(*job(names, replace(GIVEN, sae=names["end"]))).key(None) != here


@pytest.mark.parametrize("change", CHANGED)
def test_any_change_of_a_direction_is_another_key(job: Callable[..., Any], change: str) -> None:
    here = JobContent(*job(OWN, GIVEN))
    assert JobContent(*job(OWN, CHANGED[change])).key(None) != here.key(None)
    assert here.key(64) != here.key(None)


def test_states_whose_arrays_are_called_after_a_table_go_by_name(job: Callable[..., Any]) -> None:
    content = JobContent(*job(OWN, GIVEN))
    names = content.names()
    assert {"first", "talk", "few"} <= set(names)
    zero = np.zeros(1)
    assert tells_names({"": {"few_sum": zero}}, names)
    assert tells_names({"": {"sum": zero}, "law": {"xfirsty": zero}}, names)
    assert not tells_names({"": {"sum": zero, "positive_sum": zero}}, names)
    assert tells_names({"": {"p_sum": zero}}, ["p"])
    assert not tells_names({"": {"positive_sum": zero}}, ["p"])


@pytest.mark.slow
def test_a_statistic_that_keeps_names_is_shared_where_they_are_equal(
    named: Callable[..., Results], missed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under other names its states are made anew, and never taken for another's."""
    begin, add = Tally.start, Tally.update

    def started(self: Tally, inputs: Inputs) -> State:
        return {**begin(self, inputs), f"{self.options.sae}/own": np.zeros(1)}

    def updated(self: Tally, state: State, batch: Batch) -> State:
        own = f"{self.options.sae}/own"
        return {**add(self, state, batch), own: state[own] + 1}

    monkeypatch.setattr(Tally, "start", started)
    monkeypatch.setattr(Tally, "update", updated)
    named(OWN)
    missed.clear()
    named(OWN)
    assert missed == set()
    names = renamed(3)
    other = named(names)
    assert missed == {names["tally"]}
    assert same(other, named(names, use=None))
