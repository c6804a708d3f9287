"""What a run has found as CSV, for spreadsheets, R and pandas."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import ExportedRun, ExportFile, LeftOut
from harness.errors import DataError
from harness.results import COMPLETIONS
from harness.store.names import safe_names
from harness_exports.csv.cells import spread, table
from harness_exports.csv.options import CsvOptions
from harness_exports.csv.rows import about, outcomes, records


class Csv:
    """Writes `records.csv`, `claims.csv`, `families.csv`, `completions.csv`, one file in `tables/`
    for each table of the run, and `run.csv`, which says what run it was.

    RFC 4180, in UTF-8: lines end with CR and LF, texts are in quotes, numbers are not. A number is
    written with all its digits, so that it can be read back to the bit; one that is undefined is an
    empty cell, and the column `undefined` says why. Each axis is a column: the arm of a score is in
    `direction`. A text that a spreadsheet would run (one that begins with `=`, `+`, `-` or `@`) has
    an apostrophe before it.

    Source: RFC 4180; OWASP, CSV injection.
    """

    def __init__(self, options: CsvOptions) -> None:
        self.options = options

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """The files; none for what the run has not. DataError where it has nothing."""
        results = run.results
        names = sorted(name for name in results.tables if name != COMPLETIONS)
        texts = self.options.completions and COMPLETIONS in results.tables
        if not (results.records or names or texts):
            raise DataError(
                f"{run.folder}: has no numbers, tables or completions. Export a run that has some."
            )
        if results.records:
            yield ExportFile("records.csv", table(*records(results)))
        if results.claims:
            yield ExportFile("claims.csv", table(*outcomes(results, results.claims)))
        if results.families:
            yield ExportFile("families.csv", table(*outcomes(results, results.families)))
        if texts:
            yield ExportFile("completions.csv", table(*spread(results.tables[COMPLETIONS])))
        files = {f"tables/{file}.csv": name
                 for file, name in zip(safe_names(names), names, strict=True)}  # fmt: skip
        for path, name in files.items():
            yield ExportFile(path, table(*spread(results.tables[name])))
        yield ExportFile("run.csv", table(*about(results, files)))
