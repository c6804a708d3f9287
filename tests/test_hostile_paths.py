"""Whatever a file, a folder or a plugin is called, a terminal gets no control characters of it."""

from __future__ import annotations

import io
import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import Field

import fakes
from harness.authoring.listing import show
from harness.contract import AnalysisOptions, Component, Record
from harness.registry import Plugin, Registry
from harness.results import Results, load_results
from harness.results.write import write_results
from harness.running.progress import BarProgress, LineProgress
from harness.store.files import write_text
from harness.text import shown_path

NAME = "a\x1b]8;;http:x\x07b\rc\u202e\x9b31m"
SHOWN = "a�]8;;http:x�b c��31m"
Said = Callable[..., tuple[int, str, str]]


def plain(text: str) -> bool:
    return all(char == "\n" or unicodedata.category(char)[0] != "C" for char in text)


def test_a_path_is_never_cut_and_harmless() -> None:
    assert shown_path(Path("/x") / NAME / ("y" * 3000)) == f"/x/{SHOWN}/{'y' * 3000}"


@pytest.mark.slow
def test_every_command_that_names_a_path(
    said: Said, write: Callable[..., Path], fake_plugin: Path, tmp_path: Path
) -> None:
    """`check` wrote the name of a task as it is, and so did all others that say where files are."""
    task = write(fakes.EXPERIMENT, name=f"{NAME}/{NAME}.toml")
    assert said("eval", task, "--out", tmp_path / "run")[0] == 0
    run = tmp_path / NAME / "run"  # a folder may be renamed after the run
    shutil.copytree(tmp_path / "run", run)
    page, figures = tmp_path / f"{NAME}.html", tmp_path / NAME / "figures"
    for arguments in (
        ["check", task], ["report", run], ["report", "-v", run], ["report", "-q", run],
        ["report", run, tmp_path / "run", "--out", page], ["runs", tmp_path / NAME, "--html", page],
        ["export", run, "--to", "figures", "--out", figures], ["compare", run, tmp_path / "run"],
    ):  # fmt: skip
        code, out, err = said(*arguments)
        assert code == 0, (arguments, err)
        assert plain(out + err), (arguments, out + err)
        assert SHOWN in out.replace("\n", ""), arguments


@pytest.mark.parametrize("name", ["W" * 300, "a/" * 3000], ids=["one part", "all of it"])
@pytest.mark.parametrize(
    "arguments",
    [["runs", "@"], ["check", "@"], ["plan", "@"], ["eval", "@"], ["init", "@", "--base", "x"],
     ["init", "--base", "x", "--tuned", "y", "--data", "@"], ["diff", "x", "y", "--sae", "@"],
     ["check", "drift", "--set", "data.web.file=@"], ["report", "@"], ["gate", "@"],
     ["check", "drift", "--set", "models.base.path=@"]],
    ids=" ".join,
)  # fmt: skip
def test_a_name_that_no_file_can_have(said: Said, name: str, arguments: list[str]) -> None:
    """OSError with a traceback and exit code 70, wherever a command looked whether it is there."""
    code, out, err = said(*(one.replace("@", name) for one in arguments))
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    assert max(map(len, err.splitlines())) < 2100


def test_progress_says_what_others_said_on_one_harmless_line() -> None:
    out, terminal = io.StringIO(), io.StringIO()
    LineProgress(out).say(f"{NAME}\nx")
    assert out.getvalue() == f"{SHOWN} x\n"
    bar = BarProgress(terminal)
    bar.say(f"{NAME}\n[bold]x")
    with bar.doing(NAME):
        pass
    assert SHOWN in terminal.getvalue()
    assert "[bold]x" in terminal.getvalue()
    assert plain(terminal.getvalue())


class Options(AnalysisOptions):
    """Says hostile things of its options."""

    word: str = Field("x", description=f"say {NAME}")


def test_what_an_installed_plugin_says_of_itself() -> None:
    """Its version and the words on its options were written as they are."""
    component = Component("analysis", "loud", NAME, f"{__name__}:Options", f"{__name__}:Options")
    plugin = Plugin("loud", "loud-dist", f"1.0 {NAME}", "ready", components=(component,))
    for name in ("loud", "loud/loud"):
        text = show(Registry((plugin,)), name)
        assert plain(text)
        assert SHOWN in text


# ── What no file can hold ────────────────────────────────────────────────────────────────────────

LONE = "\ud800x\udfff"


def test_a_text_with_lone_surrogates_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", f"é {LONE}")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "é �x�"


@pytest.mark.parametrize("where", ["cell", "column", "warning", "axis"])
def test_results_of_a_plugin_that_says_them_are_written(tmp_path: Path, where: str) -> None:
    """UnicodeEncodeError after the whole run, with exit code 70."""
    row = {LONE if where == "column" else "said": LONE if where == "cell" else "x"}
    axes = {"said": LONE if where == "axis" else "x"}
    record = Record("l0@1", 1.0, 1, "tokens", "latents", ci_why="one", axes=axes)
    warnings = (LONE,) if where == "warning" else ()
    tables = {"loud.t": [row, row]}
    found = Results("complete", {"name": "x"}, {}, (record,), warnings=warnings, tables=tables)
    write_results(tmp_path, found)
    again = load_results(tmp_path)
    assert "�x�" in repr((again.tables["loud.t"], again.warnings, again.records))
    json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
