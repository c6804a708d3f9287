"""`harness runs`, and `harness report` of several runs, on runs that the harness made."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from harness.cli.main import main

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fake_plugin: Path
) -> Said:
    monkeypatch.setenv("COLUMNS", "200")

    def said(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return said


@pytest.fixture
def made(said: Said, write: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Runs the experiment with some overrides into a folder of `runs`."""

    def made(name: str, *overrides: str, code: int = 0) -> Path:
        sets = [part for override in overrides for part in ("--set", override)]
        out = tmp_path / "runs" / name
        assert said("eval", write(fakes.EXPERIMENT), "--out", out, *sets)[0] == code
        return out

    return made


@pytest.mark.slow
def test_models_and_seeds_become_one_page(
    said: Said, made: Callable[..., Path], tmp_path: Path
) -> None:
    runs = [
        made(f"s{scale}-{seed}", f"models.chat.scale={scale}", f"seed={seed}")
        for scale in (3, 5)
        for seed in (0, 1)
    ]
    page = tmp_path / "page.html"
    code, out, err = said("report", *runs, tmp_path / "nowhere", "--out", page)
    assert code == 0
    assert err == f"harness: {tmp_path / 'nowhere'}: holds no results.json. Name a run's folder.\n"
    assert out.rstrip().endswith(f"Report: {page}")
    assert "models.chat.scale" in out
    text = page.read_text(encoding="utf-8")
    assert "4 runs, 0 left out · 2 by models.chat.scale · 2 seeds" in text
    assert re.findall(r'href="(\./runs/[^"]+)"', text) == [
        f"./runs/s{scale}-{seed}/report.html" for scale in (3, 5) for seed in (0, 1)
    ]
    before = text
    assert said("report", *runs[::-1], "--out", page)[0] == 0
    assert page.read_text(encoding="utf-8").count("<tr>") == before.count("<tr>")


def test_a_page_of_one_run_and_without_a_name(
    said: Said, made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made("one")
    monkeypatch.chdir(tmp_path)
    code, out, err = said("report", one, one)
    assert (code, err) == (0, f"harness: {one}: is given twice. It counts once.\n")
    assert out.rstrip().endswith("Report: several.html")
    assert "1 run, 0 left out" in (tmp_path / "several.html").read_text(encoding="utf-8")
    assert said("report", one, "--out", "alone.html")[0] == 0
    assert (tmp_path / "alone.html").exists()


def test_a_page_that_a_browser_would_not_show_is_not_written(said: Said, tmp_path: Path) -> None:
    """`--out pages` would be a file without an ending, whose source a browser shows."""
    code, out, err = said("report", tmp_path, tmp_path, "--out", tmp_path / "pages")
    assert (code, out) == (2, "")
    assert f"Allowed: a name that ends in .html. Write {tmp_path / 'pages.html'}." in err
    assert not (tmp_path / "pages").exists()


def test_no_run_at_all_is_an_error(said: Said, tmp_path: Path) -> None:
    code, out, err = said("report", tmp_path, tmp_path / "b", "--out", tmp_path / "x.html")
    assert (code, out) == (2, "")
    assert "None of these folders holds a complete run." in err
    assert len(err.splitlines()) == 3
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize("flag", ["-v", "-q"])
def test_what_is_of_one_run_is_refused_for_several(said: Said, tmp_path: Path, flag: str) -> None:
    code, _, err = said("report", tmp_path / "a", tmp_path / "b", flag)
    assert code == 2
    assert "-v and -q are for the report of one run. Leave them out, or name one run." in err
    assert not (tmp_path / "several.html").exists()


def test_runs_are_listed_and_their_page_opens_reports(
    said: Said, made: Callable[..., Path], tmp_path: Path
) -> None:
    made("one")
    made("bad", "experiments.e.intervention.silent=true", code=3)
    bare = made("bare")
    (bare / "report.html").unlink()
    half = tmp_path / "runs" / "half"
    half.mkdir()
    (half / ".task").write_text("x")
    page = tmp_path / "list.html"
    code, out, err = said("runs", tmp_path / "runs", "--html", page)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    found = {line[0]: line[1] for line in lines[1:5]}
    assert found == {"bad": "invalid", "bare": "complete", "half": "unfinished", "one": "complete"}
    assert "polite" in next(" ".join(line) for line in lines if line[0] == "one")
    assert err == (
        f"harness: {bare}: has no report.html, so its row opens nothing. `harness report` "
        "writes it.\n"
    )
    assert out.rstrip().endswith(f"Page: {page}")
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'href="(\.[^"]+)"', text) == [
        "./runs/bad/report.html", "./runs/one/report.html",
    ]  # fmt: skip


def test_a_list_needs_a_folder(said: Said, tmp_path: Path) -> None:
    assert said("runs", tmp_path)[:2][0] == 0
    code, out, err = said("runs", tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert "is no folder" in err


def test_pages_that_cannot_be_written_are_said(
    said: Said, made: Callable[..., Path], tmp_path: Path
) -> None:
    one = made("one")
    for command in (("report", one, one, "--out"), ("runs", tmp_path, "--html")):
        code, _, err = said(*command, tmp_path)
        assert code == 2
        assert "Traceback" not in err
