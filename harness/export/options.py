"""Which export is meant, and what `--set` says for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.contract import ExportOptions
from harness.errors import PluginError, TaskError
from harness.registry import Owned
from harness.task.file import COMMAND_LINE, Source, with_overrides
from harness.task.paths import located
from harness.task.validate import validated


def options_of(owned: Owned, settings: Sequence[str] = ()) -> ExportOptions:
    """The options of an export, with what `--set KEY=VALUE` gives; paths start where one is.

    Raises UsageError for what is not KEY=VALUE, TaskError for keys and values that it does not
    have, PluginError where the plugin's class of options is none.
    """
    model = owned.options()
    if not issubclass(model, ExportOptions):
        raise PluginError(
            f"{owned}: its options are no ExportOptions. Report it to the plugin's author."
        )
    source = with_overrides(Source(Path(COMMAND_LINE), {}), settings)
    values, unfound = located(model, source.values, (), source)
    options, wrong = validated(model, values, source)
    if options is None or unfound:
        said = {problem.where for problem in unfound}
        raise TaskError([*unfound, *(one for one in wrong if one.where not in said)])
    return options
