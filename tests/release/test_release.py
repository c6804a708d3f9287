"""What is released builds to the same bytes, holds what it must, and says one version."""

from __future__ import annotations

import datetime
import email
import importlib.util
import os
import re
import shutil
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from release import build, contents  # noqa: E402
from release.command import problems, version_of  # noqa: E402

EPOCH = 1_700_000_000
VERSION = version_of(ROOT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[build.Built, build.Built]:
    """Sdist and wheel of this tree, and both again from the sdist."""
    folder = tmp_path_factory.mktemp("release")
    built = build.build(ROOT, folder / "dist", EPOCH)
    return built, build.again(built, folder / "again", EPOCH)


@pytest.mark.slow
def test_what_is_built_twice_is_the_same_and_holds_what_it_must(
    twice: tuple[build.Built, build.Built],
) -> None:
    assert problems(*twice, ROOT, VERSION) == []


@pytest.mark.slow
def test_the_wheel_has_tasks_templates_types_and_licence(
    twice: tuple[build.Built, build.Built],
) -> None:
    """Said once more by name: `contents` reads the tree, and may overlook what lacks there."""
    there = contents.in_wheel(twice[0].wheel)
    for name in (
        "harness/py.typed",
        "harness_metrics/py.typed",
        "harness/_tasks/refusal.toml",
        "harness/_tasks/organism/base/model.safetensors",
        "harness/_tasks/papers/sts/qwen2.5-7b-instruct.toml",
        "harness/authoring/new/templates/common/pyproject.toml.jinja",
        "harness/authoring/new/templates/common/.github/workflows/ci.yml.jinja",
        f"sae_harness-{VERSION}.dist-info/licenses/LICENSE",
    ):
        assert name in there, name
    assert not [name for name in there if name.startswith(("tests", "docs", "plugins", "tasks"))]
    assert not [name for name in there if "smollm2" in name or "league" in name.split("/")]


@pytest.mark.slow
def test_the_wheel_says_what_it_is(twice: tuple[build.Built, build.Built]) -> None:
    with zipfile.ZipFile(twice[0].wheel) as archive:
        info = f"sae_harness-{VERSION}.dist-info"
        said = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        points = archive.read(f"{info}/entry_points.txt").decode()
        dates = {one.date_time for one in archive.infolist()}
    assert (said["Name"], said["Version"]) == ("sae-harness", VERSION)
    assert (said["License-Expression"], said["Requires-Python"]) == ("MIT", ">=3.11")
    assert "harness = harness.__main__:start" in points
    for name in PROJECT["entry-points"]["harness"]:
        assert f"{name} = {name}.plugin" in points
    assert len(dates) == 1


@pytest.mark.slow
def test_the_sdist_holds_every_source_and_no_rubbish(
    twice: tuple[build.Built, build.Built],
) -> None:
    there = contents.in_sdist(twice[0].sdist)
    for folder in ("harness", "plugins", "tests", "docs"):
        for file in contents.files(ROOT / folder):
            name = str(file.relative_to(ROOT))
            assert name in there or _ignored(file), name
    assert not [name for name in there if name.endswith(".pyc") or "__pycache__" in name]
    with tarfile.open(twice[0].sdist) as archive:
        assert {one.mtime for one in archive} == {EPOCH}


def _ignored(file: Path) -> bool:
    """What git ignores, such as runs beside a page or a linter's cache, is in no sdist."""
    lines = (ROOT / ".gitignore").read_text("utf-8").split()
    names = {one.rstrip("/") for one in lines if "/" not in one.rstrip("/")}
    return bool(names & set(file.relative_to(ROOT).parts))


def test_a_file_too_few_or_too_many_is_seen(tmp_path: Path) -> None:
    """On a small project, whose wheel is made by hand."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.hatch.build.targets.wheel.force-include]\n"tasks/a.toml" = "harness/_tasks/a.toml"\n'
        '"tasks/o" = "harness/_tasks/o"\n'
    )
    for name in ("harness/x.py", "harness/__pycache__/x.pyc", "plugins/harness_y/y.py",
                 "plugins/notes", "tasks/a.toml", "tasks/o/w", "tasks/z"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    needed = contents.of_wheel(tmp_path, "1")
    assert {name for name in needed if "dist-info" not in name} == {
        "harness/x.py", "harness_y/y.py", "harness/_tasks/a.toml", "harness/_tasks/o/w",
    }  # fmt: skip
    for name in ("one.whl", "two.whl"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for inside in {*needed, "stray.py"} - {"harness/x.py"}:
                archive.writestr(inside, name)
    with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        for name in (*contents.TOP[1:], "stray"):
            tar.add(tmp_path / "harness" / "x.py", f"p-1/{name}")
    one = build.Built(tmp_path / "s.tar.gz", tmp_path / "one.whl")
    other = build.Built(tmp_path / "s.tar.gz", tmp_path / "two.whl")
    assert problems(one, other, tmp_path, "1") == [
        "one.whl: the sdist builds another one",
        "the wheel lacks harness/x.py",
        "the wheel has stray.py",
        "the sdist lacks harness",
        "the sdist has stray",
    ]


def test_every_task_and_all_of_the_organism_is_in_the_wheel_but_what_builds_it() -> None:
    """`contents` reads what pyproject.toml lists; a new file is not listed by itself."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    listed = tool["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert all(f"harness/_{source}" == target for source, target in listed.items())
    there = {file.name for file in (ROOT / "tasks").iterdir() if not file.name.startswith("_")}
    inside = {file.name for file in (ROOT / "tasks" / "organism").iterdir()}
    needed = {f"tasks/{name}" for name in there - {"organism", "smollm2", "league"}}
    needed |= {f"tasks/organism/{name}" for name in inside - {"build"}}
    assert set(listed) == needed


# ── One version, one licence, one name ───────────────────────────────────────────────────────────

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_says_what_the_package_says() -> None:
    assert CITATION["version"] == VERSION
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["keywords"] == PROJECT["keywords"]
    assert CITATION["title"].startswith(PROJECT["name"])


def test_the_citation_is_one() -> None:
    """What the schema of the Citation File Format 1.2.0 asks; cffconvert, where it is installed,
    says so, too."""
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(CITATION)
    known = {"abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi",
             "identifiers", "keywords", "license", "license-url", "message",
             "preferred-citation", "references", "repository", "repository-artifact",
             "repository-code", "title", "type", "url", "version"}  # fmt: skip
    assert set(CITATION) <= known
    assert CITATION["type"] in ("software", "dataset")
    assert isinstance(CITATION["date-released"], datetime.date)
    assert CITATION["authors"]
    for author in CITATION["authors"]:
        assert set(author) & {"name", "family-names", "given-names", "alias"}
    assert len(set(CITATION["keywords"])) == len(CITATION["keywords"])
    if importlib.util.find_spec("cffconvert"):
        from cffconvert import Citation

        Citation((ROOT / "CITATION.cff").read_text(encoding="utf-8")).validate()


def test_the_changelog_has_a_section_of_this_version_first() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (first, *_) = re.findall(r"^## (\S+?),", changes, re.MULTILINE)
    assert first == VERSION
    assert VERSION.rpartition(".")[0] in (ROOT / "docs" / "upgrading.md").read_text("utf-8")


# ── From the wheel alone ─────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_task_runs_by_its_name_from_the_wheel(
    twice: tuple[build.Built, build.Built], tmp_path: Path
) -> None:
    """In an environment with our wheel and, borrowed, what it needs."""
    from installed import fresh
    from release.tried import first_command

    made = fresh(tmp_path / "env", twice[1].wheel)
    (tmp_path / "empty").mkdir()
    lines = list(first_command(made, tmp_path / "empty"))
    assert lines[0] == f"harness, version {VERSION}"
    assert "is fine" in lines[2]
    shutil.rmtree(tmp_path / "env")
    assert os.listdir(tmp_path / "empty") == ["run"]  # noqa: PTH208
