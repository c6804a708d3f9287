"""The export `card`: one file of markdown about a run."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import ExportedRun, ExportFile, LeftOut, Results
from harness.errors import DataError
from harness.text import shown_path
from harness_exports.arms.arms import arms_of
from harness_exports.card.caused import caused
from harness_exports.card.changed import changed
from harness_exports.card.compared import compared
from harness_exports.card.expected import expected
from harness_exports.card.front_matter import front_matter
from harness_exports.card.limits import limits
from harness_exports.card.markdown import text
from harness_exports.card.options import DriftCardOptions
from harness_exports.card.origin import origin

_FILE = "drift-card.md"


class DriftCard:
    """`drift-card.md`: compared, changed, caused, expected, limits, and how to get it again.

    What was measured under an intervention stands in a section of its own, and says so in each
    table. Numbers have their 95% intervals and their n; what is undefined says why. Of paths in
    the task and the command, the last part alone is there.
    """

    def __init__(self, options: DriftCardOptions) -> None:
        self.options = options

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """The card."""
        results = run.results
        if not results.records:
            raise DataError(
                f"{shown_path(run.folder)}: has no numbers, which a card is made of. Allowed: a "
                "run that measured something. Run a task with [metrics] or [experiments]."
            )
        lines = [
            *(front_matter(results) if self.options.front_matter else ()),
            *_top(results),
            *compared(results),
            *changed(results, self.options.numbers),
            *caused(results, arms_of(run)),
            *expected(results),
            *limits(results),
            *origin(results, self.options.task),
        ]
        yield ExportFile(_FILE, "\n".join(_single_blanks(lines)).strip("\n") + "\n")


def _top(results: Results) -> Iterator[str]:
    task = results.task
    yield f"# Drift card: {text(task.get('title') or task.get('name') or 'a run')}"
    yield ""
    yield (
        "What fine-tuning changed inside a model, and whether that causes what it does, measured "
        "with sae-harness."
    )
    if task.get("source"):
        yield f"After: {text(task['source'])}."
    yield ""
    if results.status != "complete":
        yield "> **This run is invalid: its numbers are not to be relied on.**"
        for problem in results.problems:
            yield f"> - {text(problem)}"
        yield ""


def _single_blanks(lines: list[str]) -> Iterator[str]:
    """The lines with at most one empty one between two that are not, outside of code."""
    fence, blank = "", True
    for line in lines:
        if line.startswith("```") and not fence:
            fence = line[: len(line) - len(line.lstrip("`"))]
        elif fence and line == fence:
            fence = ""
        if line or fence or not blank:
            yield line
        blank = not line
