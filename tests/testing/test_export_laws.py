"""The laws of exports: those that break one are found, each by the law that is meant for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.contract import ExportedRun, ExportFile, ExportOptions, LeftOut, Record
from harness.errors import DataError
from harness.testing import check_export, small_run
from harness.testing.support.laws import missed_laws

OPTIONS = ExportOptions()


class Right:
    """All numbers as JSON, in ASCII."""

    def __init__(self, options: ExportOptions) -> None:
        self.count = 0

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        if not run.results.records:
            raise DataError("there are no numbers. Export another run.")
        told = {"status": run.results.status, "scores": self.scores(run)}
        yield ExportFile("scores.json", json.dumps(told))
        yield LeftOut("tables", "they have no place")

    def scores(self, run: ExportedRun) -> list[Any]:
        return [
            [record.id, self.name(record), self.value(record)] for record in run.results.records
        ]

    def name(self, record: Record) -> Any:
        return dict(record.axes)

    def value(self, record: Record) -> Any:
        return record.value


def read(files: Mapping[str, bytes]) -> None:
    json.loads(files["scores.json"])


class Silent(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        yield LeftOut("all of it", "why not")


class NoReason(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        yield from super().files(run)
        yield LeftOut("a figure", " ")


class Elsewhere(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        for one in super().files(run):
            yield ExportFile("../a.json", "{}") if isinstance(one, LeftOut) else one


class Twice(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        yield from super().files(run)
        yield ExportFile("Scores.JSON", "{}")


class FileAndFolder(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        yield from super().files(run)
        yield ExportFile("scores.json/more.json", "{}")


class NamedByARun(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        yield from super().files(run)
        yield ExportFile(f"{run.results.task['name']}.json", "{}")


class Counts(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        yield from super().files(run)
        self.count += 1
        yield ExportFile("count.txt", str(self.count))


class WritesIntoTheRun(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        if run.folder.is_dir():
            (run.folder / "scratch").write_text("x")
        return super().files(run)


class Unreadable(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        yield ExportFile("scores.json", "{" + run.results.status)


class PastesText(Right):
    def name(self, record: Record) -> Any:
        return "/".join(map(str, record.axes.values()))

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        if not run.results.records:
            raise DataError("there are no numbers. Export another run.")
        rows = [f'{{"{self.name(one)}": {json.dumps(one.value)}}}' for one in run.results.records]
        status = json.dumps(run.results.status)
        yield ExportFile("scores.json", f"[{', '.join([status, *rows])}]")


class PlainText(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        yield from super().files(run)
        axes = [value for one in run.results.records for value in one.axes.values()]
        yield ExportFile("axes.txt", "\n".join(map(str, axes)))


class Zero(Right):
    def value(self, record: Record) -> Any:
        return record.value or 0.0


class NotANumber(Right):
    def value(self, record: Record) -> Any:
        return float("nan") if record.value is None else record.value


class Quiet(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        for one in super().files(run):
            if isinstance(one, ExportFile):
                assert isinstance(one.content, str)
                yield ExportFile(one.path, one.content.replace('"invalid"', '"x"'))


class Same(Quiet):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        for one in super().files(run):
            assert isinstance(one, ExportFile)
            yield ExportFile(one.path, str(one.content).replace('"x"', '"complete"'))


class HidesTheEdit(Right):
    def name(self, record: Record) -> Any:
        return {key: value for key, value in record.axes.items() if key != "direction"}


class NeedsNumbers(Right):
    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        first = run.results.records[0]
        assert first
        return super().files(run)


BROKEN = {
    Silent: "something is exported",
    NoReason: "files or what is left out, with a reason",
    Elsewhere: "every path is safe, and no two are the same",
    Twice: "every path is safe, and no two are the same",
    FileAndFolder: "every path is safe, and no two are the same",
    NamedByARun: "every path is safe, and no two are the same",
    Counts: "the same files twice",
    WritesIntoTheRun: "the run is left as it is",
    Unreadable: "the files can be read",
    PastesText: "hostile text breaks no file and no path",
    PlainText: "hostile text breaks no file and no path",
    Zero: "a number that is undefined is not written as 0 or NaN",
    NotANumber: "a number that is undefined is not written as 0 or NaN",
    Quiet: "an invalid run says so",
    Same: "an invalid run says so",
    HidesTheEdit: "a score under an intervention does not look like one of the model as it is",
    NeedsNumbers: "a run with nothing in it gives files, or a DataError in one sentence",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExportedRun:
    return small_run(tmp_path_factory.mktemp("small"))


def test_an_export_that_keeps_all_laws(run: ExportedRun) -> None:
    with missed_laws() as missed:
        check_export(Right(OPTIONS), run, read=read)
    assert missed == {}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.__name__)
def test_what_breaks_a_law_is_found_by_it(
    broken: type[Right], run: ExportedRun, tmp_path: Path
) -> None:
    if broken is WritesIntoTheRun:
        run = small_run(tmp_path)
    with pytest.raises(AssertionError) as caught:
        check_export(broken(OPTIONS), run, read=read)
    assert str(caught.value).startswith(f"law broken: {BROKEN[broken]}: ")


class Sites(Right):
    """Something without a score or a number."""

    def value(self, record: Record) -> Any:
        return record.n_of


def test_what_there_is_nothing_to_try_on_is_said(run: ExportedRun) -> None:
    with missed_laws() as missed:
        check_export(Sites(OPTIONS), run)
    assert [*missed] == [
        "the files can be read",
        "a number that is undefined is not written as 0 or NaN",
        "a score under an intervention does not look like one of the model as it is",
    ]


def test_the_small_run_is_one_that_commands_read(run: ExportedRun) -> None:
    from harness.results import load_results

    again = load_results(run.folder)
    assert again.records == run.results.records
    assert (again.claims, again.families) == (run.results.claims, run.results.families)
    assert {name: list(rows) for name, rows in again.tables.items()}.keys() == {
        "completions", "shift.features",
    }  # fmt: skip
