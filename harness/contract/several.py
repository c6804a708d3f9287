"""Several runs side by side, as sections of their common page read them.

Runs of one *variant* differ in their seeds alone; variants differ in what the tasks say: a model,
a checkpoint, an SAE. A section that has something to show of several runs has a second method,
`panel_of_runs`; one that has none is never asked and need not know of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd

    from harness.contract.results import Results
    from harness.contract.section import Panel
    from harness.contract.values import Axes, Record


@dataclass(frozen=True)
class OneRun:
    """A run among others."""

    name: str
    """Its folder, as it was named."""
    seed: str
    """The seeds of its task, such as `0`."""
    results: Results


@dataclass(frozen=True)
class Variant:
    """Runs that differ in their seeds alone. All text is hostile."""

    label: str
    """What tells it from the others, in short: `pirate`."""
    settings: Mapping[str, str]
    """Everything that tells it from the others, by its path in the task: `models.chat.path`."""
    runs: tuple[OneRun, ...]


@dataclass(frozen=True)
class Spread:
    """One number in the runs of a variant, over their seeds."""

    mean: float | None
    """The mean over the seeds in which it is defined; None where it is in none. Of one run, the
    run's own value."""
    sd: float | None
    """The standard deviation over those seeds, with n - 1; None below two."""
    n: int
    """Seeds in which it is defined."""
    undefined: int = 0
    """Seeds in which it was measured and is undefined."""
    missing: int = 0
    """Seeds in which it was not measured."""
    records: tuple[Record, ...] = ()
    """The records themselves, in the order of the seeds."""


@dataclass(frozen=True)
class SharedNumber:
    """One number, with the same id, options and axes, in several runs."""

    id: str
    options: Mapping[str, Any]
    axes: Axes
    """Without `site` where runs have the SAE of that name at different sites."""
    unit: str
    spreads: tuple[Spread, ...]
    """One for each variant, in the order of `Runs.variants`."""
    median: float | None = None
    """The median over the variants of their means; None where no variant has one."""
    n: int = 0
    """Variants that have a mean."""

    @property
    def name(self) -> str:
        """The id without its version."""
        return self.id.partition("@")[0]


@dataclass(frozen=True)
class Runs:
    """Runs by what tells them apart, and the numbers that they share. No order of runs matters."""

    by: tuple[str, ...]
    """The paths in the task that the labels of the variants are made of; none of one variant."""
    variants: tuple[Variant, ...]
    numbers: tuple[SharedNumber, ...] = field(default=(), repr=False)

    @property
    def frame(self) -> pd.DataFrame:
        """All records of all runs as a DataFrame: `run`, `variant`, `seed`, then as in
        `Results.frame`; an axis of one of these three names is in a column `axis_<name>`."""
        import pandas as pd

        parts = []
        for variant in self.variants:
            for one in variant.runs:
                found = one.results.frame
                told = {"run": one.name, "variant": variant.label, "seed": one.seed}
                found = found.rename(columns={key: f"axis_{key}" for key in told})
                for place, (key, value) in enumerate(told.items()):
                    found.insert(place, key, value)
                parts.append(found)
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


@runtime_checkable
class SectionOfRuns(Protocol):
    """A section of the report that also has something to show of several runs at once."""

    def panel_of_runs(self, runs: Runs) -> Panel | None:
        """The panel about these runs; None where they hold nothing that it is about.

        All text is hostile: leave it as it is, the page escapes it.
        """
