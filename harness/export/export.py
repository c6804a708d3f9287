"""Runs one export: reads a run that has ended, and writes its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.contract import Export, ExportedRun, ExportFile, LeftOut, Results
from harness.errors import HarnessError, PluginError, UsageError
from harness.export.belonging import OwnTables
from harness.export.folder import Exported, write_export
from harness.export.index import Written
from harness.export.options import options_of
from harness.registry import Owned, Registry, is_ours
from harness.report.panels import panels
from harness.results.folder import FOLDERS
from harness.results.read import load_results
from harness.store.names import unsafe
from harness.text import visible


def read_run(folder: Path, registry: Registry) -> ExportedRun:
    """A run as an export reads it. DataError where the folder holds none, or one that has not
    ended."""
    return as_exported(load_results(folder), folder, registry)


def as_exported(results: Results, folder: Path, registry: Registry) -> ExportedRun:
    """A run with the panels of its report. Its completions, when they are read, are its own."""
    own = replace(results, tables=OwnTables(results, folder))
    return ExportedRun(own, folder, tuple(panels(own, registry)))


def export_run(
    run: ExportedRun, owned: Owned, out: Path | None = None, settings: Sequence[str] = ()
) -> Exported:
    """Writes a run in the form of an export into `out`, or without it into a folder of the run that
    is called like the export. `settings` are its options, as `--set` gives them.

    Raises as `options_of` and `write_export`, and what the export itself raises.
    """
    options = options_of(owned, settings)
    folder = _allowed(out, run.folder) if out else usual_folder(run.folder, owned)
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


def _allowed(out: Path, run: Path) -> Path:
    """The folder that somebody chose. UsageError where it is the run's own or one that the run has
    written: what lies there is taken for what the run has found."""
    place, inside = out.resolve(), run.resolve()
    own = [inside / name for name in FOLDERS]
    if place == inside or any(one == place or one in place.parents for one in own):
        raise UsageError(
            f"{out}: is a folder of the run itself. Allowed: any other, also one in the run's "
            "folder with a name of its own. Choose it with --out."
        )
    return out


def usual_folder(run: Path, owned: Owned) -> Path:
    """Where an export writes without `--out`. UsageError where that is a folder of the run's own,
    or no name for one."""
    name = owned.component.name
    if name in FOLDERS or unsafe(name):
        raise UsageError(f"{run / name}: is no place for an export. Choose a folder with --out.")
    return run / name
