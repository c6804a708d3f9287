"""Runs passes for tests, and works out by hand, token by token, what they must find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fakes.lab import LAB
from harness.contract import Outcome, Record, Site
from harness.planning.planner import plan
from harness.planning.steps import Job, MetricJob
from harness.running.passes.jobs import Finished
from harness.running.passes.run import run_pass
from harness.running.session import Session
from harness.running.spread.team import Team


@dataclass(frozen=True)
class Found:
    """What one job found, of one category or of everything."""

    job: Job
    outcome: Outcome
    domain: str | None


def passed(session: Session, level: int = 0, saved: Path | None = None) -> list[Found]:
    """Runs one pass (`-1` is the preflight); `saved` keeps its states."""
    made = plan(session.task)
    work = made.preflight if level == -1 else made.passes[level]
    found: list[Found] = []

    def finished(job: Job, its: Finished) -> None:
        found.extend(Found(job, outcome, its.domain) for outcome in its.outcomes)

    run_pass(session, Team(session, made), work, level + 1, finished, lambda done: None, saved)
    return found


def records(session: Session, saved: Path | None = None, level: int = 0) -> list[Record]:
    """The records of a pass, under all their axes."""
    found = passed(session, level, saved)
    return [record.on(**at(one)) for one in found for record in one.outcome.records]


def at(one: Found) -> dict[str, Any]:
    """The axes of a job's records, as far as they tell its records apart."""
    axes = dict(getattr(one.job, "axes", {}))
    if isinstance(one.job, MetricJob):
        axes["metric"] = one.job.entry
    return axes if one.domain is None else {**axes, "domain": one.domain}


def bare(found: list[Record]) -> list[Record]:
    """Records without options, which hold paths and batch sizes."""
    return [replace(record, options={}) for record in found]


def total_forwards() -> int:
    """Forward passes of all models since the test began."""
    return sum(len(model.forwards) for model in LAB.models)


@dataclass(frozen=True)
class Token:
    """A token of a document, with the activations of both sides."""

    document: str
    place: int
    id: int
    left: np.ndarray
    right: np.ndarray


def pair_tokens(session: Session, pair: str, site: str = "resid_post.2") -> Iterator[Token]:
    """All tokens of a pair that are neither special nor first, read one document at a time."""
    spec = session.task.spec.pairs[pair]
    left, right = (session.view_model(view) for view in (spec.left, spec.right))
    masked = left.masked_ids | right.masked_ids
    kind, _, layer = site.partition(".")
    where = Site(kind, int(layer) if layer else None)
    for prompt in session.prompts.render(spec.left, session.data.examples(spec.data)):
        x, y = (m.at(where, prompt).double().numpy() for m in (left, right))  # type: ignore[attr-defined]
        for place, one in enumerate(prompt.ids):
            if place and one not in masked:
                yield Token(prompt.example, place, one, x[place], y[place])


def cosine(token: Token) -> float:
    """cos(x_left, x_right)."""
    lengths = np.linalg.norm(token.left) * np.linalg.norm(token.right)
    return float(token.left @ token.right / lengths)
