"""The key of saved states: everything that they depend on, beside the documents that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from harness.contract import Direction, Undefined
from harness.planning.steps import Rendering
from harness.running.directions import direction_hash
from harness.running.passes.jobs import RunningJob
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.prompts import view_spec
from harness.version import __version__


@dataclass(frozen=True)
class StateKey:
    """All parts of the key of one rendering's states. `str` of it is their hash."""

    harness: str
    """The version of the harness, which says what is read and added up."""
    models: Mapping[str, str]
    """By view: a hash of its model and of the backend that runs it."""
    prompts: Mapping[str, str]
    """By view: how its prompts are written."""
    saes: Mapping[str, tuple[str, str, str]]
    """By name: a hash of the SAE and of its format, where it reads, and where it writes."""
    jobs: Sequence[object]
    """What is measured, with options and the versions of plugins."""
    directions: Sequence[Mapping[str, str]]
    """For each job, hashes of the directions that it starts from."""
    rendering: str
    """Which data are read as what: packed or not, up to how many tokens."""
    before: str
    """The documents of the renderings that came before, since jobs go on from one to the next."""
    limit: int | None
    """The most documents that are read."""
    seed: int
    """The seed of the task."""

    def __str__(self) -> str:
        return key_of(*astuple(self))


def state_key(
    session: Session,
    jobs: Sequence[RunningJob],
    views: Sequence[str],
    which: Rendering,
    limit: int | None,
    before: str,
) -> StateKey:
    """The key of the states of jobs that read some views in one rendering."""
    task = session.task
    names = sorted({sae for one in jobs for sae in one.job.reads.saes})
    return StateKey(
        __version__,
        {view: session.fingerprint(view) for view in views},
        {view: repr(view_spec(task.spec, view)) for view in views},
        {
            name: (session.sae_fingerprint(name), str(task.sae_site(name)), str(task.sae_out(name)))
            for name in names
        },
        [one.job.identity(task) for one in jobs],
        [
            {name: _hash(session, found) for name, found in one.inputs.directions.items()}
            for one in jobs
        ],
        repr(which),
        before,
        limit,
        task.spec.seed,
    )


def _hash(session: Session, found: Direction | Undefined) -> str:
    sae = (found.sae or "") if isinstance(found, Direction) else ""
    return direction_hash(found, session.sae_fingerprint(sae) if sae in session.task.saes else sae)
