"""Runs one export: reads a run that has ended, and writes its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.contract import Export, ExportedRun, ExportFile, LeftOut, Results
from harness.errors import DataError, HarnessError, PluginError, UsageError
from harness.export.folder import Exported, write_export
from harness.export.index import Written
from harness.export.options import options_of
from harness.registry import Owned, Registry, is_ours
from harness.report.panels import panels
from harness.results.folder import FOLDERS, IDENTITY, RESULTS
from harness.results.read import load_results
from harness.store.names import unsafe
from harness.text import visible


def read_run(folder: Path, registry: Registry) -> ExportedRun:
    """A run as an export reads it. DataError where the folder holds none, or one that has not
    ended."""
    return as_exported(ended(folder), folder, registry)


def ended(folder: Path) -> Results:
    """The results of a run that has ended; DataError as `load_results`, and where it has not."""
    if (folder / IDENTITY).is_file() and not (folder / RESULTS).exists():
        raise DataError(
            f"{folder}: this run has not ended: it has no {RESULTS} yet. Give the same `harness "
            "eval` again to finish it, then export it."
        )
    return load_results(folder)


def as_exported(results: Results, folder: Path, registry: Registry) -> ExportedRun:
    """A run with the panels of its report."""
    return ExportedRun(results, folder, tuple(panels(results, registry)))


def export_run(
    run: ExportedRun, owned: Owned, out: Path | None = None, settings: Sequence[str] = ()
) -> Exported:
    """Writes a run in the form of an export into `out`, or without it into a folder of the run that
    is called like the export. `settings` are its options, as `--set` gives them.

    Raises as `options_of` and `write_export`, and what the export itself raises.
    """
    options = options_of(owned, settings)
    folder = out or usual_folder(run.folder, owned)
    with _blamed(owned):
        export = owned.load()(options)
    if not callable(getattr(export, "files", None)):
        raise PluginError(
            f"export {owned}: it has no files(run). Report it to the plugin's author."
        )
    about = Written(
        version=owned.plugin.version,
        run=str(run.results.task.get("name", "")),
        status=run.results.status,
        options=options.model_dump(mode="json"),
        files={},
    )
    return write_export(folder, str(owned), _made(export, run, owned), about)


def _made(export: Export, run: ExportedRun, owned: Owned) -> Iterator[ExportFile | LeftOut]:
    """What an export makes, one after the other."""
    with _blamed(owned):
        yield from export.files(run)


@contextmanager
def _blamed(owned: Owned) -> Iterator[None]:
    """A block in which an error of a stranger's code is said in one sentence; one of ours is a bug
    of ours, and what the machine did is the machine's."""
    try:
        yield
    except (HarnessError, OSError, MemoryError):
        raise
    except Exception as error:
        if is_ours(owned) or owned.plugin.code is not None:
            raise
        raise PluginError(
            f"export {owned}: it failed on this run: {type(error).__name__}: "
            f"{visible(error, 300)}. Report it to the plugin's author."
        ) from error


def usual_folder(run: Path, owned: Owned) -> Path:
    """Where an export writes without `--out`. UsageError where that is a folder of the run's own,
    or no name for one."""
    name = owned.component.name
    if name in FOLDERS or unsafe(name):
        raise UsageError(f"{run / name}: is no place for an export. Choose a folder with --out.")
    return run / name
