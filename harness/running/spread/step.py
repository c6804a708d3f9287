"""What all kinds of work that is spread have in common, and what a worker must know to do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.contract import Found, Stream
from harness.errors import ModelError
from harness.planning.plan import Plan
from harness.running.progress import Tick
from harness.running.session import Session


class Step(Protocol):
    """Work of one kind, of which any process that has the task can do any part.

    A frozen dataclass of plain values: it travels to the workers.
    """

    def open(self, session: Session, plan: Plan, tick: Tick) -> Callable[[Any], Any]:
        """Loads what the work needs, and returns the function that does one part of it.

        `tick` may be told how much of a part is done, in the units of the stage.
        """


@dataclass(frozen=True)
class Known:
    """What the head has found and loaded so far, as far as a worker's numbers hang on it."""

    directions: Mapping[str, Sequence[Found]]
    thresholds: Mapping[Stream, float]
    models: Mapping[str, str]
    """By name: hashes of the models and their numbers."""
    saes: Mapping[str, str]
    """Likewise of SAEs."""


def known(session: Session) -> Known:
    """What a session knows now."""
    return Known(
        {name: tuple(found) for name, found in session.directions.found.items()},
        {**session.thresholds},
        {name: model.fingerprint for name, model in session.models.items()},
        {name: sae.fingerprint for name, sae in session.saes.items()},
    )


def learn(session: Session, what: Known) -> None:
    """Gives a worker's session what the head has found."""
    session.directions.found = {name: list(found) for name, found in what.directions.items()}
    session.thresholds = dict(what.thresholds)


def check_same(session: Session, what: Known) -> None:
    """Raises ModelError where this process has loaded another model or SAE than the head has."""
    for table, loaded, there in (
        ("models", session.models, what.models),
        ("saes", session.saes, what.saes),
    ):
        for name, one in loaded.items():
            if there.get(name, one.fingerprint) != one.fingerprint:
                raise ModelError(
                    f"{table}.{name}: what lies here is not what the head of the run has loaded "
                    f"(fingerprint {str(one.fingerprint)[:12]}, there {there[name][:12]}). All "
                    "workers need the same files, in the same dtype. Copy them, or name a folder "
                    "that all machines share."
                )
