"""Observers: told what happens in a run, and able to change nothing in it.

An observer has one method, `see`, which is given events one after the other, in a thread of its
own. `RunStarted` is the first; `RunFinished` or `RunFailed` is the last. `jsonl` writes them into a
file, `wandb`, `trackio` and `mlflow` hand them to a tracker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import Field

from harness.contract.options import Options

if TYPE_CHECKING:
    from harness.contract.values import Record


@dataclass(frozen=True)
class Stamp:
    """Which run an event is of, its place in it, when it was, and who tells it."""

    run: str
    """The same in all events of one process's run; a run that is continued later has another."""
    number: int
    """Counts the events of a run from 0. Where one is missing, it was dropped."""
    time: float
    """Seconds since 1970, UTC."""
    worker: str | None = None
    """Who computed it, where several processes do; None where there is one."""
    shard: int | None = None
    """The part of the data that it is about, where it is about one."""


@dataclass(frozen=True)
class Effort:
    """What something took. A field is None where that is not known."""

    seconds: float | None = None
    """Since it began."""
    tokens: int | None = None
    """Tokens that models read and wrote, all models together."""
    tokens_per_second: float | None = None
    """The same, divided by the seconds."""
    memory: int | None = None
    """Bytes that the process holds now."""


@dataclass(frozen=True)
class Event:
    """Something that happened in a run. The base of all events."""

    kind: ClassVar[str] = "event"
    """Its name in files: `run_started`, `stage_started`, …"""
    ends: ClassVar[bool] = False
    """Whether it is the last one."""

    stamp: Stamp
    """Which run it is of, and when it was."""

    def plain(self) -> dict[str, Any]:
        """The event as one flat table of plain values: `kind` as `event`, then all fields, those of
        the stamp and of the effort among them."""
        found: dict[str, Any] = {"event": self.kind}
        for one in fields(self):
            value = getattr(self, one.name)
            flat = isinstance(value, (Stamp, Effort))
            found.update(_plain(value) if flat else {one.name: _plain(value)})
        return found


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins, or goes on after it was cut off. Always the first event."""

    kind: ClassVar[str] = "run_started"

    name: str
    """The name of the task."""
    title: str
    """The question that it asks; may be empty."""
    folder: str
    """The folder of the run, as an absolute path."""
    resumed: bool
    """Whether the folder holds an earlier run of the task, which goes on."""
    task: Mapping[str, Any]
    """The task file, resolved, as plain values."""
    version: str
    """The version of the harness."""


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage begins, such as `activations, pass 1 of 2`."""

    kind: ClassVar[str] = "stage_started"

    stage: str
    """Its name; no two stages of a run have the same."""
    total: int | None
    """How many things it has to do (documents, completions, verdicts); None where unknown."""


@dataclass(frozen=True)
class Progress(Event):
    """How far a stage is. Told twice a second at most, and dropped first where there is no room."""

    kind: ClassVar[str] = "progress"

    stage: str
    """The name of the stage."""
    done: int
    """How many things are done; those that an earlier run has done are counted, too."""
    total: int | None
    """Of how many; None where unknown."""
    effort: Effort = Effort()
    """What the stage took so far."""


@dataclass(frozen=True)
class ShardFinished(Event):
    """A part of a stage was computed: a shard of documents, a batch of completions. `stamp.worker`
    says by whom, `stamp.shard` is its number in the work at hand. Dropped first, as `Progress`."""

    kind: ClassVar[str] = "shard_finished"

    stage: str
    """The name of the stage."""
    effort: Effort = Effort()
    """What it took; `memory` is that of the process that computed it."""


@dataclass(frozen=True)
class StageFinished(Event):
    """A stage has ended. Also where an error ended it: `RunFailed` then follows."""

    kind: ClassVar[str] = "stage_finished"

    stage: str
    """The name of the stage."""
    done: int
    """How many things were done."""
    total: int | None
    """Of how many; None where unknown."""
    effort: Effort = Effort()
    """What the stage took."""


@dataclass(frozen=True)
class Records(Event):
    """Numbers that were found. Each record is told once."""

    kind: ClassVar[str] = "records"

    records: tuple[Record, ...]
    """The records, with all their axes. Options, axes and nulls are plain values."""


@dataclass(frozen=True)
class Warned(Event):
    """Something that whoever reads the numbers must know. Its text may be hostile."""

    kind: ClassVar[str] = "warning"

    text: str
    """A whole sentence."""


@dataclass(frozen=True)
class Artifact(Event):
    """A file of the run was written: the results, the report."""

    kind: ClassVar[str] = "artifact"

    name: str
    """What it is: `results` or `report`."""
    path: str
    """Where it lies, as an absolute path."""
    media_type: str
    """What it holds: `application/json`, `text/html`."""


@dataclass(frozen=True)
class RunFinished(Event):
    """A run came to its end and has results. The last event, where there is no `RunFailed`."""

    kind: ClassVar[str] = "run_finished"
    ends: ClassVar[bool] = True

    status: str
    """`complete`, or `invalid` where a preflight, a sentinel or a receipt failed."""
    problems: tuple[str, ...] = ()
    """Why it is invalid."""
    effort: Effort = Effort()
    """What the whole run took."""


@dataclass(frozen=True)
class RunFailed(Event):
    """A run was ended by an error, or by a person, and has no results. The last event then."""

    kind: ClassVar[str] = "run_failed"
    ends: ClassVar[bool] = True

    error: str
    """What went wrong. May be hostile."""
    exit_code: int
    """2 wrong usage, 4 the machine failed us, 70 a bug, 130 a person stopped it."""
    effort: Effort = Effort()
    """What the run took until then."""


EVENTS: tuple[type[Event], ...] = (
    RunStarted,
    StageStarted,
    Progress,
    ShardFinished,
    StageFinished,
    Records,
    Warned,
    Artifact,
    RunFinished,
    RunFailed,
)
"""All kinds of events. More may come: leave alone what you do not know."""


class ObserverOptions(Options):
    """Base of an observer's options. They change no number and no key of a cache."""

    patience: float = Field(10.0, ge=0, le=600)
    """Seconds that the end of a run waits for this observer, at most. What it has not taken by then
    it is not told."""


@runtime_checkable
class Observer(Protocol):
    """Is told what happens in a run. Built as `Class(options)`, in the thread in which it sees."""

    def see(self, event: Event) -> None:
        """Takes an event. Called for one after the other, in their order, never for two at once.

        What it is given is its own copy, in which secrets are blotted out: what it does with it
        changes nothing. It may take its time: the run does not wait, and where more than a thousand
        events wait, further ones are dropped and counted. Where it raises, that is one warning, and
        it is asked no more.
        """


def _plain(value: Any) -> Any:
    """Dataclasses as tables and tuples as lists, all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
