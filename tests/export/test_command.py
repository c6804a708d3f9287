"""`harness export`: finds forms among plugins, writes them, and says what is wrong in a line."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from harness.export.index import INDEX
from harness.testing import small_run

NOTES = '''
from typing import Literal
from harness.contract import Component, ExportFile, ExportOptions, LeftOut, hookimpl
from harness.errors import DataError

class NotesOptions(ExportOptions):
    """Options."""
    tone: Literal["plain", "loud"] = "plain"
    """How."""

class Notes:
    def __init__(self, options):
        self.options = options
    def files(self, run):
        if not run.results.records:
            raise DataError(f"{run.folder}: has no numbers. Export a run that has some.")
        name = run.results.task["name"]
        yield ExportFile("notes.txt", name.upper() if self.options.tone == "loud" else name)
        yield ExportFile("panels.txt", ", ".join(panel.title for panel in run.panels))
        yield LeftOut("the [bold]rest", "there is no room\\x1b[31m")

class Nothing:
    def __init__(self, options): ...

class Stumbles(Notes):
    def files(self, run):
        yield from super().files(run)
        raise KeyError("it\\x1b[31m")

@hookimpl
def harness_components():
    common, others = {"options": "acme_notes:NotesOptions"}, "harness.contract:SectionOptions"
    yield Component("export", "notes", "a note", "acme_notes:Notes", **common)
    yield Component("export", "tables", "a note", "acme_notes:Notes", **common)
    yield Component("export", "broken", "a note", "acme_notes:Nothing", **common)
    yield Component("export", "stumbles", "a note", "acme_notes:Stumbles", **common)
    yield Component("export", "odd", "a note", "acme_notes:Notes", others)
'''
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("small") / "run").folder


@pytest.fixture
def run(small: Path, tmp_path: Path, fake_dist: Callable[..., Path]) -> Path:
    """A run of its own, and the plugin `acme_notes`."""
    fake_dist("acme-notes", NOTES, version="2.5")
    return Path(shutil.copytree(small, tmp_path / "run"))


def test_it_writes_into_the_run_and_says_what_is_left_out(said: Said, run: Path) -> None:
    code, out, err = said("export", run, "--to", "notes")
    assert (code, out) == (0, f"notes: 2 files in {run}/notes, 1 left out\n")
    assert err == "harness: left out: the [bold]rest: there is no room�[31m.\n"
    assert (run / "notes" / "notes.txt").read_text() == "small"
    assert "Every" in (run / "notes" / "panels.txt").read_text()  # sections were asked
    told = json.loads((run / "notes" / INDEX).read_text())["exports"]["acme_notes/notes"]
    assert (told["version"], told["options"], told["status"]) == (
        "2.5", {"tone": "plain"}, "complete",
    )  # fmt: skip


def test_out_options_and_the_full_name(said: Said, run: Path, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    command = (
        "export",
        run,
        "--to",
        "acme_notes/notes",
        "--out",
        tmp_path / "x",
        "--set",
        "tone=loud",
    )
    assert said(*command)[0] == 0
    assert (tmp_path / "x" / "notes.txt").read_text() == "SMALL"
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "nots"], "unknown export 'nots'. Allowed: broken, "),
        (["--to", "nots"], " Did you mean notes?"),
        (["--to", "acme/notes"], "unknown export 'acme/notes'"),
        (["--to", "notes", "--set", "tune=loud"], "--set: tune: unknown key 'tune'. Allowed: ton"),
        (["--to", "notes", "--set", "tone=soft"], "--set: tone: input should be 'plain' or 'loud'"),
        (["--to", "notes", "--set", "tone"], "--set tone: must be KEY=VALUE"),
        (["--to", "notes", "--set", "tone.x=1"], "--set: tone"),
        (["--to", "tables"], "/tables: is no place for an export. Choose a folder with --out."),
        (["--to", "broken"], "acme_notes/broken: it has no files(run). Report it to"),
        (["--to", "stumbles"], "acme_notes/stumbles: it failed on this run: KeyError: 'it\\x1b"),
        (["--to", "odd"], "acme_notes/odd: its options are no ExportOptions"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(said: Said, run: Path, words: list[str], message: str) -> None:
    code, out, err = said("export", run, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (run / words[1]).is_dir() or words[1] == "tables"


def _half(run: Path) -> None:
    (run / ".task").write_text("0" * 64)
    (run / "results.json").unlink()


def _none(run: Path) -> None:
    (run / "results.json").unlink()


def _emptied(run: Path) -> None:
    told = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps({**told, "records": []}))


def _broken(run: Path) -> None:
    (run / "results.json").write_text("{")


def _in_the_way(run: Path) -> None:
    (run / "notes").mkdir()
    (run / "notes" / "notes.txt").write_text("mine")


def _file_in_the_way(run: Path) -> None:
    (run / "notes").write_text("mine")


def _link_to_nothing(run: Path) -> None:
    (run / "notes").symlink_to(run / "not-there")


def _cut(run: Path) -> None:
    text = (run / "results.json").read_text()
    (run / "results.json").write_text(text[: len(text) // 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cut, "it is no JSON, or cut short ("),
        (_cut, "Put it back, or run the task again into another folder."),
        (_link_to_nothing, "notes: is a link to nothing. Choose a folder with --out."),
        (_half, "this run has not ended: it has no results.json yet. Give the same `harness eval`"),
        (_none, "holds no results.json. Name a run's folder."),
        (_emptied, "has no numbers. Export a run that has some."),
        (_broken, "is not the results of a run"),
        (_in_the_way, "notes.txt: is there already, and would be replaced. Choose another folder"),
        (_file_in_the_way, "notes: is a file. Choose a folder with --out."),
    ],
    ids=lambda one: one.__name__.strip("_") if callable(one) else "",
)
def test_a_run_or_a_folder_that_cannot_be(
    said: Said, run: Path, change: Callable[[Path], None], message: str
) -> None:
    change(run)
    before = sorted(run.rglob("*"))
    code, out, err = said("export", run, "--to", "notes")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize("place", ["", "samples", "directions/mine", "../run/tables", "work"])
def test_a_folder_of_the_run_itself_is_no_place(said: Said, run: Path, place: str) -> None:
    """What lies in them is taken for what the run has found."""
    before = sorted(run.rglob("*"))
    code, out, err = said("export", run, "--to", "notes", "--out", run / place)
    assert (code, out) == (2, "")
    assert "is a folder of the run itself. Allowed: any other, also one in the run's folder" in err
    assert sorted(run.rglob("*")) == before


def test_an_invalid_run_that_does_not_say_why(said: Said, run: Path) -> None:
    told = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps({**told, "status": "invalid", "problems": []}))
    assert "must not be used: it does not say why." in said("export", run, "--to", "notes")[2]


def test_an_invalid_run_is_said_to_be_one(said: Said, run: Path) -> None:
    told = json.loads((run / "results.json").read_text())
    told |= {"status": "invalid", "problems": ["the SAE is of another site"]}
    (run / "results.json").write_text(json.dumps(told))
    code, _, err = said("export", run, "--to", "notes")
    assert code == 0
    assert "this run is invalid, and its numbers must not be used: the SAE is of another" in err


def test_a_full_disk_leaves_nothing_behind(
    said: Said, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, done = Path.write_bytes, []

    def full(self: Path, data: bytes) -> int:
        done.append(self)
        if len(done) > 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    code, out, err = said("export", run, "--to", "notes")
    assert (code, out) == (4, "")
    assert "make room" in err
    assert not (run / "notes").exists()


def test_two_plugins_with_one_name_are_told_apart(
    said: Said, run: Path, fake_dist: Callable[..., Path]
) -> None:
    fake_dist("other-notes", NOTES.replace("acme_notes", "other_notes"))
    code, _, err = said("export", run, "--to", "notes")
    assert code == 2
    assert "Write one of: acme_notes/notes, other_notes/notes." in err
    assert said("export", run, "--to", "other_notes/notes")[0] == 0


def test_a_plugin_that_is_turned_off(said: Said, run: Path) -> None:
    code, _, err = said("-p", "no:acme_notes", "export", run, "--to", "notes")
    assert code == 2
    assert "acme_notes (disabled" in err


def test_an_export_in_a_file_of_the_task_runs_if_it_is_trusted(
    said: Said, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "mine.py"
    file.write_text(NOTES.replace("acme_notes", "mine").replace('"notes"', '"own"'))
    told = json.loads((run / "results.json").read_text())
    about = {"path": str(file), "sha256": sha256(file.read_bytes()).hexdigest()}
    about |= {"components": ["export: own"]}
    told["provenance"]["local_code"] = {"mine": about}
    (run / "results.json").write_text(json.dumps(told))
    code, _, err = said("export", run, "--to", "own")
    assert code == 2
    assert "mine.py is code" in err
    assert said("export", run, "--to", "own", "--trust-local-code")[0] == 0
    assert (run / "own" / "notes.txt").read_text() == "small"
