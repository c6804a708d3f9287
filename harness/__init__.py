"""What did fine-tuning change inside a language model, and does it cause the behaviour we see?

The steps of the command line, as functions::

    import harness

    task = harness.load("tasks/refusal.toml", seed=1)
    results = harness.run(harness.plan(task), "runs/refusal")
    results.frame                                   # the records, as a DataFrame

    harness.compare("runs/refusal", "runs/other").frame     # two runs, paired by prompts
    harness.load_runs("runs/refusal", "runs/other").frame   # their records, one below the other

Importing this imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.comparison.comparison import Comparison
    from harness.contract import Observer, Runs
    from harness.planning.plan import Plan
    from harness.report.notebook import NotebookResults
    from harness.task.task import Task
    from harness.version import __version__ as __version__

__all__ = ["compare", "load", "load_results", "load_runs", "plan", "run"]


def load(task: str | Path, *, trust_local_code: bool = False, **overrides: Any) -> Task:
    """Loads a task from a file, or the built-in task of that name.

    `trust_local_code` allows the files of Python that the task names under `plugins` to run: they
    can do anything that you can. It is remembered until they change.
    `overrides` are top-level keys (`seed=1`), or tables that are merged into the task's.
    Raises TaskError with everything that is wrong with the task.
    """
    from harness.task.load import load as load_
    from harness.task.trust import Trust

    return load_(task, Trust(trust_local_code), **overrides)


def plan(task: Task) -> Plan:
    """The passes, completions and verdicts of a task; reads nothing."""
    from harness.planning.planner import plan as plan_

    return plan_(task)


def run(
    planned: Plan,
    folder: str | Path,
    *,
    fresh: bool = False,
    remote_code: bool = False,
    observers: Sequence[Observer] = (),
    cache: bool = True,
    executor: str | None = None,
    workers: int | None = None,
) -> NotebookResults:
    """Runs a plan into a folder and returns the results; continues what is unfinished there.

    `remote_code` allows models and evaluators for which the task asks for it to run code that
    comes with their files. Without `cache`, nothing that other runs have made is used, and nothing
    is kept for them. `observers` are told what happens, beside those of the task; what must be said
    of them is among the warnings of the results, and not in the files of the run. `executor` and
    `workers` say who computes the parts, as --executor and --workers do; for more of its options,
    give them to `load`. A person's configuration file counts for commands, not here.

    Raises InvalidRun when a preflight, a sentinel or a receipt fails.
    """
    from dataclasses import replace
    from pathlib import Path

    from harness.garbage import importing

    with importing():
        from harness.registry import discover
        from harness.report.notebook import NotebookResults
        from harness.running.runner import run as run_
        from harness.store.cache import usual_cache
        from harness.task.executor import given_executor, wanted

    registry = discover()
    asked = wanted(executor, workers, "run(…, {}=…)")
    if asked.keys:
        known = registry.plus(planned.task.local)
        planned = replace(planned, task=given_executor(planned.task, known, asked))
    results = run_(
        planned,
        registry,
        Path(folder),
        fresh=fresh,
        remote_code=remote_code,
        observers=observers,
        cache=usual_cache() if cache else None,
    )
    return NotebookResults.of(results)


def load_results(folder: str | Path) -> NotebookResults:
    """The results of an earlier run. Raises DataError where the folder holds none."""
    from harness.report.notebook import NotebookResults
    from harness.results.read import load_results as load_results_

    return NotebookResults.of(load_results_(folder))


def load_runs(*folders: str | Path) -> Runs:
    """Several earlier runs at once; `load_runs(…).frame` has the records of all of them.

    Folders without a run, invalid runs and runs that are given twice are left out. Raises DataError
    where nothing is left.
    """
    from harness.several import load_runs as load_runs_

    return load_runs_(*folders)


def compare(*folders: str | Path, only: str = "", allow_invalid: bool = False) -> Comparison:
    """Compares runs, each with the first; `only` keeps the ids that begin with it.

    Raises UsageError for numbers that do not compare: other versions or options under one name,
    and runs that are invalid, unless `allow_invalid`.
    """
    from harness.comparison.comparison import compare_folders

    return compare_folders(folders, only=only, allow_invalid=allow_invalid)


def __getattr__(name: str) -> str:
    """`harness.__version__`, read when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness.version import __version__

    return __version__
