"""Options in the key of remembered work: files count by what is in them, hub ids by their name."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.contract import LocalPath, Location, Options
from harness.task.contents import by_content


class Filed(Options):
    file: LocalPath | None = None
    place: Location | None = None
    k: int = 1


@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_file_counts_by_its_content(tmp_path: Path, form: str) -> None:
    """Item 3 of the issue: a template that was edited is another one, one that was moved is not."""
    place = tmp_path / "one"
    held = place if form == "file" else place / "inside.txt"
    held.parent.mkdir(exist_ok=True)
    held.write_text("content")
    first = by_content(Filed(file=str(place)))
    moved = place.rename(tmp_path / "two")
    assert by_content(Filed(file=str(moved))) == first
    (moved if form == "file" else moved / "inside.txt").write_text("changed")
    assert by_content(Filed(file=str(moved))) != first
    if form == "folder":
        (moved / "inside.txt").write_text("content")
        assert by_content(Filed(file=str(moved))) == first
        (moved / "inside.txt").rename(moved / "renamed.txt")
        assert by_content(Filed(file=str(moved))) != first


def test_what_is_no_local_path_stays_as_it_is(tmp_path: Path) -> None:
    values = by_content(Filed(place="acme/model", k=3))
    assert values == {"file": None, "place": "acme/model", "k": 3}
    assert by_content(Filed(k=3), {"k"}) == {"k": 3}
