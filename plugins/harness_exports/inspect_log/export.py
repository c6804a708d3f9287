"""The export `inspect`: one log for each state of a model and each experiment."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import ExportedRun, ExportFile, LeftOut
from harness.errors import DataError
from harness.results import grouped
from harness.text import shown_path, visible
from harness_exports.arms.arms import Arm, arms_of, edited_left_out
from harness_exports.arms.file_names import FileNames
from harness_exports.arms.scores import scores_of
from harness_exports.inspect_log.archive import archive
from harness_exports.inspect_log.log import Log
from harness_exports.inspect_log.options import InspectLogsOptions


class InspectLogs:
    """One `.eval` file for each arm: completions as samples, verdicts as their scores.

    A log holds, for each judge's score, the mean as the results have it, its standard error, the
    ends of its 95% interval and its n. A yes is 1 and a no is 0: Inspect's own "C" and "I" would
    call a refusal correct or incorrect.
    Source: inspect_ai 0.3.285, `log/_log.py` and `log/_recorders/eval.py`.
    """

    def __init__(self, options: InspectLogsOptions) -> None:
        self.options = options

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """A log for each arm that wrote something."""
        arms = arms_of(run)
        lost = [arm for arm in arms if arm.lost]
        if lost and not any(arm.rows for arm in arms):
            raise DataError(
                f"{shown_path(run.folder / 'samples')}: is not there or empty, though models wrote "
                f"in {visible(lost[0].experiment, 80)}. Allowed: the files that the run has "
                "written there. Put them back, or run the task again into another folder."
            )
        if not any(arm.rows for arm in arms):
            raise DataError(
                f"{shown_path(run.folder)}: has no completions, which Inspect logs are made of. "
                "Allowed: a run with an experiment that writes some. Add [experiments] to the "
                "task, or use --to eee for the scores of benchmarks, or --to card."
            )
        names = FileNames(".eval")
        for mine in grouped(arms, lambda arm: arm.experiment).values():
            if not self.options.edited:
                why = "they are under an intervention, and edited = false leaves those out"
                yield from edited_left_out(mine, why)
            for arm, scores in zip(mine, scores_of(mine), strict=True):
                if arm.edits and not self.options.edited:
                    continue
                if not arm.rows:
                    yield LeftOut(f"{arm.experiment}: {arm.label}", _why_nothing(arm))
                    continue
                log = Log(run.results, arm, scores, self.options.made)
                yield ExportFile(names.name(arm.experiment, arm.label), archive(log))


def _why_nothing(arm: Arm) -> str:
    """Why there are no completions of an arm."""
    if arm.lost:
        return "its completions are not in the run's samples any more"
    reasons = [record.undefined for record in arm.records if record.undefined]
    return reasons[0].rstrip(".") if reasons else "it wrote no completions"
