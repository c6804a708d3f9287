"""`harness compare` and `harness report`, on runs that the harness made."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from harness.cli.main import main

EXPERIMENT = (
    fakes.EXPERIMENT
    + """\
[metrics.mean]
view = "chat"
data = "web"
sites = ["resid_post.2"]
"""
)
Said = Callable[..., tuple[int, str, str]]
Made = Callable[..., Path]


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
def made(said: Said, write: Callable[..., Path], tmp_path: Path) -> Made:
    """Runs the experiment with some overrides into a folder."""

    def made(name: str, *overrides: str, code: int = 0) -> Path:
        sets = [part for override in overrides for part in ("--set", override)]
        assert said("eval", write(EXPERIMENT), "--out", tmp_path / name, *sets)[0] == code
        return tmp_path / name

    return made


def test_a_run_is_the_same_as_itself(said: Said, made: Made) -> None:
    one = made("one")
    code, out, err = said("compare", one, one)
    assert (code, err) == (0, "")
    assert f"run 1: {one} (the baseline)" in out
    count = len(json.loads((one / "results.json").read_text())["records"])
    assert f"The same in all runs: {count} of {count} numbers." in out


@pytest.mark.slow
def test_comparing_imports_no_torch(made: Made) -> None:
    one = str(made("one"))
    code = f"import sys, harness; harness.compare({one!r}, {one!r}); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.strip() == "False"


def test_runs_are_paired_by_the_prompts_in_their_samples(said: Said, made: Made) -> None:
    one, two = made("one"), made("two", "models.chat.scale=5", "seed=1")
    code, out, err = said("compare", one, two, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["runs"] == [str(one), str(two)]
    scores = [row for row in found["rows"] if row["axes"].get("evaluator")]
    assert {row["id"] for row in scores} == {
        "polite.refused@1", "polite.length@1", "invalid_verdicts@1"
    }  # fmt: skip
    assert all(row["differences"][0]["paired"] for row in scores)
    assert all(row["differences"][0]["prompts"] == 6 for row in scores)
    (mean,) = [row for row in found["rows"] if row["id"] == "mean.mean@1"]
    assert mean["differences"][0]["value"] != 0
    changes = {change["what"]: change["values"] for change in found["changes"]}
    assert changes["task.models.chat.scale"] == ["3", "5"]
    assert changes["provenance.seed"] == ["0", "1"]
    assert "provenance.models.chat.fingerprint" in changes
    assert "provenance.models.base.fingerprint" not in changes
    assert "provenance.data.web" not in changes


@pytest.mark.slow
def test_a_prefix_chooses_the_numbers(said: Said, made: Made) -> None:
    one, two = made("one"), made("two", "models.chat.scale=5")
    code, out, _ = said("compare", one, two, "--only", "mean", "--json")
    assert code == 0
    assert {row["id"] for row in json.loads(out)["rows"]} == {"mean.mean@1"}
    code, out, _ = said("compare", one, two, "--only", "polite")
    assert code == 0
    assert "polite.length" in out
    assert "mean.mean" not in out


@pytest.mark.slow
def test_other_options_of_an_intervention_are_refused_in_words(said: Said, made: Made) -> None:
    one, two = made("one"), made("two", "experiments.e.intervention.strength=2")
    code, out, err = said("compare", one, two)
    assert (code, out) == (2, "")
    assert "edit.relative@1 with strength = 1 against edit.relative@1 with strength = 2" in err
    assert "--only" in err
    assert said("compare", one, two, "--only", "polite")[0] == 0


def test_an_invalid_run_is_refused_unless_allowed(said: Said, made: Made) -> None:
    one = made("one")
    two = made("two", "experiments.e.intervention.silent=true", code=3)
    code, out, err = said("compare", one, two, "--only", "polite")
    assert (code, out) == (2, "")
    assert f"{two}: the run is invalid" in err
    assert said("compare", one, two, "--only", "polite", "--allow-invalid")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'RUN RUN...'"),
        (["{one}"], "compare: needs at least two runs."),
        (["{one}", "nowhere"], "nowhere: holds no results.json. Name a run's folder."),
        (["{one}", "{one}/task.toml"], "Name a run's folder."),
        (["{one}", "{one}", "--only", "zzz"], "the runs share no number with an id that begins"),
    ],
)
def test_wrong_usage_is_said(said: Said, made: Made, arguments: list[str], message: str) -> None:
    one = made("one")
    code, out, err = said("compare", *(text.format(one=one) for text in arguments))
    assert (code, out) == (2, "")
    assert message in err


# ── harness report ───────────────────────────────────────────────────────────────────────────────


def test_an_old_run_is_shown_again_and_its_report_written_anew(said: Said, made: Made) -> None:
    one = made("one")
    (one / "report.html").write_text("old")
    before = (one / "results.json").read_bytes()
    code, out, err = said("report", one)
    assert (code, err) == (0, "")
    assert "Does it work?" in out
    assert "Experiment e: chat on web" in out
    assert out.rstrip().endswith(f"Report: {one / 'report.html'}")
    assert "Does it work?" in (one / "report.html").read_text(encoding="utf-8")
    assert (one / "results.json").read_bytes() == before


def test_the_report_of_an_invalid_run_says_so(said: Said, made: Made) -> None:
    two = made("two", "experiments.e.intervention.silent=true", code=3)
    code, out, _ = said("report", two)
    assert code == 0
    assert "invalid: experiments.e" in out


def test_a_folder_without_a_run_has_no_report(said: Said, tmp_path: Path) -> None:
    code, out, err = said("report", tmp_path)
    assert (code, out) == (2, "")
    assert "holds no results.json" in err
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("options", [(), ("-v",), ("-q",)])
def test_a_report_is_written_without_damaged_files_and_says_so(
    options: tuple[str, ...], said: Said, made: Made, tmp_path: Path
) -> None:
    run = shutil.copytree(made("one"), tmp_path / "damaged")
    files = sorted([*run.glob("samples/*.jsonl"), *run.glob("tables/*.parquet")])
    assert {file.parent.name for file in files} == {"samples", "tables"}
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (run / "report.html").unlink(missing_ok=True)
    code, out, err = said("report", run, *options)
    assert code == 2
    page = (run / "report.html").read_text("utf-8")
    assert "Does it work?" in page
    for file in files:
        assert str(file) in err
        assert page.count(html.escape(str(file))) == 1
    assert "The report is without it." in err
    assert "give the same `harness eval` again" in html.unescape(page)
    assert "Not shown" not in page
    if not options:
        assert str(run / "report.html") in out


def test_a_report_that_cannot_be_written_is_said(said: Said, made: Made) -> None:
    one = made("one")
    (one / "report.html").unlink(missing_ok=True)
    (one / "report.html").mkdir()
    code, _, err = said("report", one)
    assert code == 2
    assert "report.html" in err
    assert "Traceback" not in err
