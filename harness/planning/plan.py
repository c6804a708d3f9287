"""A plan: all steps of a task, from the preflight to the completions, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.planning.table import COLUMNS, rows, summary
from harness.text import sheet, sheet_html

if TYPE_CHECKING:
    import pandas as pd

    from harness.planning.steps import Generation, Pass
    from harness.planning.table import Row
    from harness.task.task import Task


@dataclass(frozen=True, repr=False)
class Plan:
    """All steps of a task, in the order in which they run."""

    task: Task
    preflight: Pass
    passes: tuple[Pass, ...]
    generations: tuple[Generation, ...]

    @property
    def table(self) -> pd.DataFrame:
        """The steps as a DataFrame: a row for each entry of the task in each step."""
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=list(COLUMNS))

    def __repr__(self) -> str:
        """One screen: the steps, and what each does."""
        lines = [*summary(self._rows()), ("more", "plan.table; harness plan says what it costs")]
        return sheet(f"Plan of {self.task.spec.name}", lines)

    def _repr_html_(self) -> str:
        return sheet_html(f"Plan of {self.task.spec.name}", summary(self._rows()))

    def _rows(self) -> list[Row]:
        return rows(self.task, self.preflight, self.passes, self.generations)
