"""Runs the analyses of a task: numbers made from what the run has found."""

from __future__ import annotations

from pathlib import Path

from harness.contract import AnalysisOptions, Findings, Outcome, Record
from harness.errors import HarnessError, InvalidRun, MachineError, PluginError
from harness.machine import machine_errors
from harness.task.task import Entry


def tried(entry: Entry[AnalysisOptions], findings: Findings, folder: Path) -> Outcome:
    """Runs one analysis on the findings; where it can't, that is an undefined record and a note.

    What was measured before it must not be lost. Raises MachineError where the machine gave out,
    so that a rerun continues, and InvalidRun where an analysis says that the run is.
    """
    try:
        with machine_errors(folder):
            return analyse(entry, findings)
    except (InvalidRun, MachineError):
        raise
    except HarnessError as error:
        why = str(error)
    except Exception as error:  # a stranger's analysis may raise anything
        said = str(error).partition("\n")[0]
        why = f"{entry.owner} broke: {type(error).__name__}: {said}. Report it to its author."
    record = Record(
        f"{entry.owner.component.name}.undone@1",
        None,
        0,
        "analyses",
        "analyses",
        entry.options.model_dump(mode="json"),
        ci_why=why,
        undefined=why,
    )
    note = f"could not be made: {why} All that was measured is kept; a rerun tries it again."
    return Outcome((record,), notes=(note,))


def analyse(entry: Entry[AnalysisOptions], findings: Findings) -> Outcome:
    """Runs one analysis on the findings.

    Raises PluginError where it gives no Outcome, or one with directions.
    """
    outcome = entry.build().run(findings)
    if not isinstance(outcome, Outcome):
        what = f"gave a {type(outcome).__name__}. It must give an Outcome"
    elif outcome.directions:
        what = "gave directions. It must give records and tables; what finds directions is a pass"
    else:
        return outcome
    raise PluginError(
        f"analyses.{entry.name}: {entry.owner} {what}. Report it to the plugin's author."
    )
