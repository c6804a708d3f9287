"""The steps of a plan, as values: jobs, the passes that they share, and completions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from harness.contract import (
    Site,
    Where,
)
from harness.contract.described import fields_of
from harness.task.contents import by_content

if TYPE_CHECKING:
    from harness.contract import (
        Axes,
        MetricOptions,
        PromptPart,
        Reads,
        Stream,
        Target,
    )
    from harness.registry import Owned
    from harness.task.task import Entry, Instance, Task

SideName = Literal["left", "right", "pair", "difference"]

Encoded = frozenset[tuple[str, Site]]
"""SAEs, each with the site whose activations it encodes."""


class _Step:
    """What a job answers that uses no SAE and of which every field changes the state."""

    def encoded(self, task: Task) -> Encoded:
        """The SAEs that it uses, each with the site whose activations it encodes."""
        return frozenset()

    def identity(self, task: Task) -> object:
        """What its state depends on beside what is read: part of the key of a saved state."""
        return repr(self)

    def owners(self, task: Task) -> tuple[Owned, ...]:
        """The components of plugins that compute its state."""
        return ()


@dataclass(frozen=True)
class ReductionJob(_Step):
    """Finds directions, or computes the numbers of a statistic.

    Its instances read the same streams, share one state, and differ in how they finish.
    """

    instances: tuple[Instance, ...]
    reads: Reads

    @property
    def statistic(self) -> bool:
        """Whether it is an entry of `[statistics]`."""
        return self.instances[0].table == "statistics"

    @property
    def entry(self) -> tuple[str, str]:
        """The table and the name of the entry that asks for it."""
        return (self.instances[0].table, self.instances[0].entry)

    def encoded(self, task: Task) -> Encoded:
        """Every SAE that it reads, at the SAE's own site."""
        return frozenset((sae, task.sae_site(sae)) for sae in self.reads.saes)

    def identity(self, task: Task) -> object:
        """The state of its instances, and what they read."""
        return (state_key(self.instances[0]), repr(self.reads))

    def owners(self, task: Task) -> tuple[Owned, ...]:
        """The direction finder or statistic."""
        return (self.instances[0].owner,)


@dataclass(frozen=True)
class MetricJob(_Step):
    """Measures one metric at one place, on one side of a pair or on both."""

    entry: str
    target: Target
    side: SideName
    axes: Axes
    reads: Reads
    preflight: bool = False

    @property
    def where_options(self) -> Mapping[str, object]:
        """The filter of its stream, as the options of a record."""
        return where_options(self.reads.streams[0].where)

    def encoded(self, task: Task) -> Encoded:
        """The SAE of its target, where the metric measures an SAE."""
        sae = self.target.sae
        used = sae is not None and self._metric(task).options.on_sae
        if not sae or not used:
            return frozenset()
        # One of several sites is encoded with all others, and counts as the first of them.
        several = len(task.sae_sites(sae)) > 1
        return frozenset([(sae, task.sae_site(sae) if several else self.target.site)])

    def identity(self, task: Task) -> object:
        """The metric with its version and options, and every field of the job."""
        metric = self._metric(task)
        options = sorted(by_content(metric.options).items())
        return (str(metric.owner), metric.owner.plugin.version, repr(options), repr(self))

    def owners(self, task: Task) -> tuple[Owned, ...]:
        """The metric."""
        return (self._metric(task).owner,)

    def _metric(self, task: Task) -> Entry[MetricOptions]:
        return (task.preflight if self.preflight else task.metrics)[self.entry]


@dataclass(frozen=True)
class FilterJob(_Step):
    """Counts how many tokens a filter lets through."""

    where: Where
    site: Site
    axes: Axes
    reads: Reads

    @property
    def where_options(self) -> Mapping[str, object]:
        """The filter, as the options of a record."""
        return where_options(self.where)


@dataclass(frozen=True)
class ThresholdJob(_Step):
    """Finds how low the lowest cosines of a stream are, for a filter by `cosine_quantile`."""

    share: float
    site: Site
    axes: Axes
    reads: Reads
    settles: Stream
    """The stream whose filter waits for it, without a name."""


@dataclass(frozen=True)
class SentinelJob(_Step):
    """Checks that the two models of a pair differ, or do not, as the task expects."""

    pair: str
    expect: Literal["different", "same"]
    reads: Reads


Job = ReductionJob | MetricJob | FilterJob | ThresholdJob | SentinelJob

J = TypeVar("J", bound=Job)


@dataclass(frozen=True)
class Rendering:
    """What streams must have in common to be read together: the same rows of the same tokens."""

    view: str
    """Whose prompts are read."""
    data: str
    right: str | None = None
    """The view that renders its own prompts for the right side, where one does."""
    pack: int | None = None
    budget: int | None = None
    places: tuple[PromptPart, ...] = field(default=(), compare=False, repr=False)
    """What must be told of where the parts of a prompt stand. Any stream may ask for more: the
    tokens are the same."""

    @property
    def views(self) -> tuple[str, ...]:
        """The views that render the data."""
        return (self.view,) if self.right is None else (self.view, self.right)


def rendering(stream: Stream) -> Rendering:
    """The rendering that a stream is read from."""
    own = stream.right if stream.align == "span" else None
    view = stream.right if stream.render == "right" and stream.right else stream.view
    places = _PLACES.get(stream.tokens, ())
    return Rendering(view, stream.data, own, stream.pack, stream.budget, places)


_PLACES: Mapping[str, tuple[PromptPart, ...]] = {
    "closing": ("asked",),
    "answer": ("answered",),
    "predicting": ("answered",),
}
"""By what a stream measures, what must be told of its prompts."""


@dataclass(frozen=True)
class Pass:
    """Jobs that share their forwards. `limit` caps the documents of every stream."""

    jobs: tuple[Job, ...]
    limit: int | None = None

    def renderings(self) -> list[Rendering]:
        """Everything that is rendered and read, each rendering once."""
        asked: dict[Rendering, dict[PromptPart, None]] = {}
        for job in self.jobs:
            answered = any(path.scalar.on_answer for path in job.reads.paths)
            also: tuple[PromptPart, ...] = ("answered",) if answered else ()
            for one in map(rendering, job.reads.streams):
                asked.setdefault(one, {}).update(dict.fromkeys((*one.places, *also)))
        return [replace(one, places=tuple(sorted(places))) for one, places in asked.items()]


@dataclass(frozen=True)
class PlannedArm:
    """One arm of an experiment: a direction's name (or `none`) and the axes of its variant."""

    direction: str
    axes: Axes = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The arm in words, such as `chat_features[k=8]`."""
        inside = ",".join(f"{key}={value}" for key, value in self.axes.items())
        return f"{self.direction}[{inside}]" if inside else self.direction


@dataclass(frozen=True)
class Generation:
    """The completions of one experiment, under each of its arms."""

    experiment: str
    arms: tuple[PlannedArm, ...]


def state_key(instance: Instance) -> tuple[object, ...]:
    """What the state of a direction finder or statistic depends on.

    Options that it reads only when it finishes are left out: a sweep over them shares one state.
    """
    kept = set(fields_of(type(instance.options))) - instance.options.finish_only
    values = by_content(instance.options, kept)
    owner = f"{instance.owner} {instance.owner.plugin.version}"
    return (instance.table, instance.entry, owner, repr(sorted(values.items())))


def where_options(where: Where) -> dict[str, object]:
    """The conditions of a filter that are set, as the options of a record.

    The site at which the filter looks is none of them: it is an axis. Nor is the threshold that a
    quantile came to, which is a record.
    """
    return {
        name: value
        for name, value in vars(where).items()
        if name not in ("site", "least_apart") and value != getattr(Where(), name)
    }


def awaited(job: Job) -> list[Stream]:
    """The streams whose filter can only be applied once a `ThresholdJob` has finished."""
    streams = [replace(stream, name="") for stream in job.reads.streams]
    if isinstance(job, FilterJob):  # it reads all tokens, and counts those that the filter selects
        streams = [replace(stream, where=job.where) for stream in streams]
    return [stream for stream in streams if stream.where.cosine_quantile is not None]


def settled(job: J, thresholds: Mapping[Stream, float]) -> J:
    """The job with the thresholds that its filters have waited for written into them."""

    def at(where: Where, stream: Stream) -> Where:
        found = thresholds.get(replace(stream, name="", where=where))
        return where if found is None else replace(where, least_apart=found)

    if not awaited(job):
        return job
    streams = tuple(replace(one, where=at(one.where, one)) for one in job.reads.streams)
    done = replace(job, reads=replace(job.reads, streams=streams))
    if isinstance(done, FilterJob):
        return replace(done, where=at(done.where, done.reads.streams[0]))
    return done
