"""What every step of a run is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.contract import Effort, Findings, Options, Tools
from harness.running.ledger import Ledger
from harness.running.observers.news import News
from harness.running.pace import Gauge
from harness.running.progress import Progress, Tick
from harness.running.session import Session
from harness.running.spread.team import Team


@dataclass(frozen=True)
class RunContext:
    """A run while it goes on: what it loads, what it has found, and where it writes."""

    session: Session
    ledger: Ledger
    folder: Path
    progress: Progress
    news: News
    team: Team

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Tick]:
        """A stage of `total` things: shown as progress, counted in the usage of the run, and told
        to its observers, with what was found before it and in it."""
        self.news.tell()
        before = self.session.usage.tokens(name)
        gauge = Gauge(lambda: self.session.usage.tokens(name) - before, lambda: self.team.size)
        with (
            self.session.usage.stage(name),
            self.progress.stage(name, total, gauge) as shown,
            self.news.audience.stage(name, total) as told,
        ):

            def tick(done: int) -> None:
                shown(done)
                told(done)

            yield tick
        self.news.tell()

    def told(self, worker: str | None, part: int, effort: Effort) -> None:
        """Tells the observers of a part of the stage that goes on."""
        self.news.audience.part(self.session.usage.now, worker, part, effort)

    def tools(self, options: Options, tick: Tick) -> Tools:
        """What a plugin with these options works with, and a folder for what judges have said."""
        return self.session.tools(options, tick)

    def findings(self, options: Options) -> Findings:
        """What the run has found so far, for an analysis or a source of labels."""
        session, ledger = self.session, self.ledger
        return Findings(
            tuple(ledger.records),
            {**ledger.tables},
            tuple(session.directions.arrays),
            {name: sae.facts for name, sae in session.saes.items()},
            self.tools(options, lambda done: None),
            session.task.spec.seed,
        )
