"""Analyses and labels: what reads what a run has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.contract.evaluator import Tools
from harness.contract.options import Options
from harness.contract.sae import SaeFacts
from harness.contract.values import Axes, Outcome, Record

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Arrays:
    """The arrays of one statistic: of one variant of its sweep, of one category of its data."""

    statistic: str
    """Its name in the task."""
    axes: Axes
    """Sweep values, and `domain` for a category; all categories together have no `domain`."""
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Label:
    """What a feature of an SAE means, according to one source. All text is hostile."""

    sae: str
    feature: int
    description: str
    cluster: str | None = None
    """Its semantic cluster, where the source tells one."""
    url: str | None = None
    contexts: tuple[Mapping[str, Any], ...] = ()
    """Where it is active: `tokens` (list of str), `values` (list of float), and what else."""


@dataclass(frozen=True)
class Findings:
    """What an analysis reads: everything that the run has found before it."""

    records: tuple[Record, ...] = ()
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Tables by name. `completions` has a row for every completion of every experiment:
    `experiment`, the arm's `direction` and axes, `example`, `text`, `completion`, and `verdicts`
    (by evaluator, its scores by name). `labels.<name>` has a row for every label of a source."""
    arrays: tuple[Arrays, ...] = ()
    """What the task's statistics kept."""
    saes: Mapping[str, SaeFacts] = field(default_factory=dict)
    tools: Tools = field(default_factory=Tools)
    """The models that the options name, loaded, and a folder of the run's own."""
    seed: int = 0


class LabelsOptions(Options):
    """Options of a source of labels: descriptions of an SAE's features (see `Labels`)."""


class AnalysisOptions(Options):
    """Options of an analysis. Models that it names are in `Findings.tools`."""


@runtime_checkable
class Labels(Protocol):
    """Descriptions of an SAE's features; built as `Class(options)`."""

    notes: tuple[str, ...]
    """What a reader should know of the last call: what was not to be had, and why. Warnings."""

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        """One label for each feature that has one, at most; the order does not matter.

        MachineError where it cannot go on (a service is not reachable): the run goes on without
        it, and says so.
        """


@runtime_checkable
class Analysis(Protocol):
    """Numbers made from what the run has found already; built as `Class(options)`."""

    def run(self, findings: Findings) -> Outcome:
        """Records and tables."""
