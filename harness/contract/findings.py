"""Analyses and labels: plugins that read what a run has found, after all passes and experiments.

A source of labels is asked first, about the features that tables of the run name; its answers are
a table that analyses read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.contract.evaluator import Tools
from harness.contract.options import Options

if TYPE_CHECKING:
    import numpy as np

    from harness.contract.evaluator import Asked
    from harness.contract.reduction import Outlook
    from harness.contract.sae import SaeFacts
    from harness.contract.values import Axes, Outcome, Record


@dataclass(frozen=True)
class Arrays:
    """The arrays that a statistic of the task kept, for one of its variants and categories."""

    statistic: str
    """Its name in the task."""
    axes: Axes
    """Which values of its sweep, and, as `domain`, which category of its data; without `domain`,
    all categories together."""
    values: Mapping[str, np.ndarray]
    """The arrays of its `Outcome`, by name."""


@dataclass(frozen=True)
class Label:
    """What one source says that a feature of an SAE means. All its text is hostile."""

    sae: str
    """The SAE, by its name in the task."""
    feature: int
    """The index of the feature."""
    description: str
    """What it means; may be empty where there is a cluster."""
    cluster: str | None = None
    """The group of features that the source puts it in, where it has groups."""
    url: str | None = None
    """A page about the feature."""
    contexts: tuple[Mapping[str, Any], ...] = ()
    """Texts in which it is active: each has `tokens` (list of str), `values` (list of float, one
    for each token), and whatever else the source tells."""


@dataclass(frozen=True)
class Findings:
    """All that the run has found so far: what an analysis or a source of labels reads."""

    records: tuple[Record, ...] = ()
    """All records, those of earlier analyses included."""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Tables by name. `completions` has a row for every completion of every experiment:
    `experiment`, the arm's `direction` and axes, `example`, `text`, `completion`, and `verdicts`
    (by evaluator, its scores by name); of a reasoning model also `thought`, and `unfinished` where
    that never ended: then nothing was judged. `labels.<name>` has a row for every label of a
    source."""
    arrays: tuple[Arrays, ...] = ()
    """What the task's statistics kept."""
    saes: Mapping[str, SaeFacts] = field(default_factory=dict)
    """By name, the facts of the task's SAEs."""
    tools: Tools = field(default_factory=Tools)
    """The models that the options name, loaded, and a folder of its own."""
    seed: int = 0
    """The seed of the task, for all that is drawn."""


class LabelsOptions(Options):
    """Base of the options of a source of labels."""


class AnalysisOptions(Options):
    """Base of an analysis' options. Models that they name (`ModelRef`) are in `Findings.tools`."""

    def foresee(self, task: Outlook) -> Iterable[str]:
        """What is known before the run to be left out or undefined, in whole sentences, for
        `harness check`: each says what, why, and what is allowed."""
        return ()

    def asked(self, task: Outlook) -> Mapping[str, Asked]:
        """By model of the task, the prompts that it reads for this analysis, at most, beside what
        passes have read: `harness plan` counts them. Without `writes`: it only says how likely
        tokens are. Nothing of a model behind a server."""
        return {}


@runtime_checkable
class Labels(Protocol):
    """A source of descriptions of an SAE's features. Built as `Class(options)`."""

    notes: tuple[str, ...]
    """After a call of `describe`: what it could not get, and why. Shown as warnings."""

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        """The labels of some features of the SAE that the task calls `sae`, in any order.

        At most one for each feature; none for a feature that it knows nothing about. Called once
        for each SAE. MachineError where a service cannot be reached: the run goes on without these
        labels, and says so.
        """


@runtime_checkable
class Analysis(Protocol):
    """Makes numbers of what the run has found. Built as `Class(options)`."""

    def run(self, findings: Findings) -> Outcome:
        """Its records and tables. Called once; analyses run in the order of the task.

        Where the findings lack what it needs, records are undefined and say why; nothing is raised.
        The core adds the axis `analysis`.
        """
