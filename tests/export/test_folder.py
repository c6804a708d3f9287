"""A folder of exports: written whole or not at all, and nobody else's files are touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.contract import ExportFile, LeftOut
from harness.errors import DataError, PluginError, UsageError
from harness.export.folder import Exported, write_export
from harness.export.index import INDEX, Written, read_index

ABOUT = Written(version="1.0", run="small", status="complete", options={}, files={})
Files = dict[str, str]


def written(folder: Path, files: Files, owner: str = "acme/notes") -> Exported:
    return write_export(folder, owner, (ExportFile(*one) for one in files.items()), ABOUT)


def there(folder: Path) -> Files:
    """All files, by path, without the index."""
    found = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_text("utf-8")
            for file in found if file.name != INDEX}  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out"


def test_the_files_are_there_and_the_index_says_whose(out: Path) -> None:
    made = [
        ExportFile("a.txt", "é\r\n"),
        LeftOut("b", "it is\x1b[31m red"),
        ExportFile("x/y.bin", b"\0"),
    ]
    found = write_export(out, "acme/notes", made, ABOUT)
    assert found.files == ("a.txt", "x/y.bin")
    assert [one.what for one in found.left_out] == ["b"]
    assert (out / "a.txt").read_bytes() == "é\r\n".encode()
    assert (out / "x" / "y.bin").read_bytes() == b"\0"
    told = json.loads((out / INDEX).read_text("utf-8"))["exports"]["acme/notes"]
    assert (told["version"], told["run"], [*told["files"]]) == (
        "1.0",
        "small",
        ["a.txt", "x/y.bin"],
    )
    assert "\x1b" not in (out / INDEX).read_text("utf-8")
    assert "replacing" not in told
    assert sorted(file.name for file in out.iterdir()) == ["a.txt", INDEX, "x"]


def test_again_it_replaces_its_own_and_removes_what_it_no_longer_makes(out: Path) -> None:
    written(out, {"a.txt": "1", "x/b.txt": "1", "x/c.txt": "1", "y/d.txt": "1"})
    (out / "mine.txt").write_text("mine")
    (out / "y" / "mine.txt").write_text("mine")
    found = written(out, {"a.txt": "2", "new/e.txt": "2"})
    assert there(out) == {"a.txt": "2", "new/e.txt": "2", "mine.txt": "mine", "y/mine.txt": "mine"}
    assert not (out / "x").exists()
    assert found.kept == ()
    assert set(read_index(out).exports["acme/notes"].files) == {"a.txt", "new/e.txt"}


def test_what_somebody_has_changed_stays(out: Path) -> None:
    written(out, {"a.txt": "1", "b.txt": "1"})
    (out / "b.txt").write_text("by hand")
    assert written(out, {"a.txt": "1"}).kept == ("b.txt",)
    assert there(out) == {"a.txt": "1", "b.txt": "by hand"}
    written(out, {"a.txt": "2"})
    assert there(out)["b.txt"] == "by hand"


def test_the_same_content_is_in_nobodys_way(out: Path) -> None:
    out.mkdir(parents=True)
    (out / "a.txt").write_text("1")
    written(out, {"a.txt": "1"})
    assert there(out) == {"a.txt": "1"}


def _stranger(out: Path) -> None:
    (out / "b.txt").write_text("a stranger's")


def _changed(out: Path) -> None:
    written(out, {"b.txt": "1"})
    (out / "b.txt").write_text("by hand")


def _folder(out: Path) -> None:
    (out / "b.txt").mkdir()


def _file_for_folder(out: Path) -> None:
    (out / "x").write_text("a stranger's")


def _link(out: Path) -> None:
    (out.parent / "elsewhere").write_text("precious")
    (out / "b.txt").symlink_to(out.parent / "elsewhere")


def _linked_folder(out: Path) -> None:
    (out.parent / "far").mkdir()
    (out / "x").symlink_to(out.parent / "far")


def _another_export(out: Path) -> None:
    written(out, {"b.txt": "1"}, "acme/other")


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (_stranger, "b.txt: is there already, and would be replaced"),
        (_changed, "b.txt: was changed since it was exported"),
        (_folder, "b.txt: is a link or a folder"),
        (_file_for_folder, "x: is a link or a file, where a folder is needed"),
        (_link, "b.txt: is a link"),
        (_linked_folder, "x: is a link or a file"),
        (_another_export, "b.txt: was written by the export acme/other"),
    ],
    ids=lambda one: one.__name__.strip("_") if callable(one) else "",
)
def test_what_is_in_the_way_stops_all_of_it(out: Path, before: object, said: str) -> None:
    out.mkdir(parents=True)
    assert callable(before)
    before(out)
    was = {path: path.lstat().st_ino for path in out.parent.rglob("*")}
    kept = there(out)
    with pytest.raises(UsageError, match=r"--out") as caught:
        written(out, {"a.txt": "1", "new/c.txt": "1", "b.txt": "2", "x/d.txt": "1"})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert there(out) == kept
    assert {path: path.lstat().st_ino for path in out.parent.rglob("*")} == was


def test_two_exports_in_one_folder(out: Path) -> None:
    written(out, {"a.txt": "1", "b.txt": "1"})
    written(out, {"c.txt": "1"}, "acme/other")
    written(out, {"a.txt": "1"})
    assert there(out) == {"a.txt": "1", "c.txt": "1"}
    assert [*read_index(out).exports] == ["acme/notes", "acme/other"]


def _raises() -> Iterator[ExportFile]:
    yield ExportFile("new/a.txt", "2")
    raise DataError("there are no completions")


def test_an_export_that_raises_has_written_nothing(out: Path) -> None:
    with pytest.raises(DataError, match="completions"):
        write_export(out, "acme/notes", _raises(), ABOUT)
    assert not out.parent.exists()
    written(out, {"a.txt": "1"})
    with pytest.raises(DataError):
        write_export(out, "acme/notes", _raises(), ABOUT)
    assert there(out) == {"a.txt": "1"}
    assert sorted(file.name for file in out.iterdir()) == ["a.txt", INDEX]


def test_nothing_made_is_an_error(out: Path) -> None:
    with pytest.raises(DataError, match=r"makes no file of this run\. pie: it is round"):
        write_export(out, "acme/notes", [LeftOut("pie", "it is round")], ABOUT)
    assert not out.exists()


@pytest.mark.parametrize(
    "path",
    [
        "../a.txt",
        "/tmp/a.txt",
        "export.json",
        "A.txt",
        "x\\y",
        "con",
        "",
        "a.txt/b",
        "Export.json/x",
    ],
)
def test_a_path_that_is_not_safe_is_the_plugins_fault(out: Path, path: str) -> None:
    with pytest.raises(PluginError, match=r"^export acme/notes: .*author"):
        written(out, {"a.txt": "1", path: "1"})
    assert not out.parent.exists()


def test_something_else_than_a_file(out: Path) -> None:
    with pytest.raises(PluginError, match="it makes str"):
        write_export(out, "acme/notes", ["a.txt"], ABOUT)  # type: ignore[list-item]


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4, 5, 6])
def test_cut_off_anywhere_the_same_command_ends_it(
    out: Path, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many files had taken their places: none is a stranger's afterwards."""
    written(out, {"a.txt": "1", "b.txt": "1", "old.txt": "1"})
    replace, done = Path.replace, []

    def cut_off(self: Path, target: Path) -> Path:
        done.append(target)
        if len(done) >= fails_at:
            raise OSError("the power is gone")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut_off)
        try:
            written(out, {"a.txt": "2", "b.txt": "2", "c.txt": "2"})
        except OSError:
            assert len(done) >= fails_at
        else:
            assert len(done) < fails_at  # it had fewer steps than that
    assert not [name for name in there(out) if name.endswith(".partial")]
    assert written(out, {"a.txt": "3", "b.txt": "3"}).kept == ()
    assert there(out) == {"a.txt": "3", "b.txt": "3"}


@pytest.mark.parametrize(
    "others",
    ['{"figures": 3}', "[" * 100_000, "not JSON", '{"index": 2, "exports": {}}', "\\ud800", "NaN"],
    ids=["object", "deep", "text", "later", "escape", "nan"],
)
def test_an_index_of_someone_else_is_not_replaced(out: Path, others: str) -> None:
    out.mkdir(parents=True)
    (out / INDEX).write_text(others)
    with pytest.raises(DataError, match=r"is not the index of an export .*--out"):
        written(out, {"a.txt": "1"})
    assert (out / INDEX).read_text() == others
    assert there(out) == {}


def test_an_index_that_names_files_elsewhere_removes_none(out: Path, tmp_path: Path) -> None:
    """Whoever gives away a folder may have written its index."""
    (tmp_path / "precious").write_text("1")
    written(out, {"a.txt": "1"})
    text = (out / INDEX).read_text()
    (out / INDEX).write_text(text.replace('"a.txt"', '"../../precious"'))
    assert written(out, {"b.txt": "1"}).kept == ()
    assert (tmp_path / "precious").read_text() == "1"
