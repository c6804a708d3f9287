"""The campaign of files in short: what was found once, and the first tries of a seed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from campaign.files import CAMPAIGN, Bench
from campaign.files.attempt import Outcome, attempt
from campaign.files.found import FOUND, Found
from campaign.files.judge import Case, judged, numbers
from campaign.files.told import Owed, Told
from campaign.referee import Verdict

WARM = ("model llama", "sae saelens 0", "adapter lora")
SOME = 5
"""How many are tried by chance."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Files that are large unpacked are told from others sooner than in earnest."""
    with (
        mock.patch("harness.task.rows.LONGEST", 2**20),
        mock.patch("harness.task.rows._SMALL", 2**20),
        CAMPAIGN.bench(tmp_path_factory.mktemp("files"), warm=WARM) as bench,
    ):
        yield bench


@pytest.mark.slow
@pytest.mark.parametrize("found", FOUND, ids=lambda one: f"{one.subject}, {one.what}")
def test_what_was_found_once(bench: Bench, found: Found) -> None:
    tried = bench.with_damage(found.subject, found.file, found.damage)
    assert not tried.fault
    assert "refused" in tried.end


@pytest.mark.slow
def test_some_by_chance(bench: Bench) -> None:
    tried = [bench.by_chance(random.Random(f"files 0 {number}")) for number in range(SOME)]
    assert [one.fault for one in tried] == [""] * SOME
    assert len({one.end for one in tried}) > 2
    assert bench.by_chance(random.Random("files 0 3")) == tried[3]


# ── The judge ────────────────────────────────────────────────────────────────────────────────────


RECORD = {"id": "l0@1", "axes": {}, "value": 3.5, "n": 9, "undefined": None}


def _judged(
    run: Path, check: Verdict, ran: Verdict, owed: Owed = "nothing", *, status: str = "complete",
    warnings: tuple[str, ...] = (), sound: str = "", **record: Any,
) -> str:  # fmt: skip
    run.mkdir(exist_ok=True)
    content = {"status": status, "records": [RECORD | record], "warnings": list(warnings)}
    (run / "results.json").write_text(json.dumps(content))
    (run / "report.html").write_text("<html>")
    case = Case(("s/cfg.json",), Told("x", owed), "saes.s", run, sound or numbers(run))
    return judged(Outcome((check, ran), "", "", 0), case)[1]


FINE = Verdict(0, "is fine", "", ())
GOOD = "harness: saes.s: cfg.json has no width. Allowed: a number. Write it.\n"


def _says(text: str, code: int = 2, *outside: str) -> Verdict:
    return Verdict(code, "", text, outside)


def test_the_judge_accepts_what_is_promised(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert not _judged(run, FINE, FINE)
    assert not _judged(run, _says(GOOD), _says(GOOD))
    assert not _judged(run, FINE, _says(GOOD, 3))
    assert not _judged(run, FINE, FINE, "a word", warnings=("one is left out",))
    assert not _judged(run, FINE, FINE, "the same numbers")
    assert not _judged(run, FINE, FINE, value=None, undefined="no token")
    assert not _judged(run, FINE, _says(GOOD, 2, f"open {run}/results.json"))


@pytest.mark.parametrize(
    ("check", "ran", "more", "says"),
    [
        (FINE, _says("Traceback (most recent call last)", 70), {}, "a traceback"),
        (FINE, _says(GOOD, 4), {}, "exit 4"),
        (FINE, _says(GOOD, 2, "open /etc/passwd"), {}, "wrote outside"),
        (FINE, _says(GOOD, 2, "pickle.find_class ('os', 'system')"), {}, "wrote outside"),
        (FINE, _says("harness: it went wrong. Try again.\n"), {}, "does not say where"),
        (FINE, _says("harness: saes.s: it went wrong.\n"), {}, "what is allowed or what to do"),
        (FINE, _says("cfg.json is wrong. Mend it.\n"), {}, "no sentence of ours"),
        (FINE, _says(GOOD.replace("width", "wi\x1bdth")), {}, "control characters"),
        (FINE, _says("harness: cfg.json: <x object at 0x7f3c9e65ea00>. A."), {}, "object"),
        (_says(GOOD), FINE, {}, "check refuses it and eval runs"),
        (FINE, FINE, {"owed": "a refusal"}, "accepted, though"),
        (FINE, FINE, {"owed": "the same numbers", "sound": "others"}, "accepted, though"),
        (FINE, FINE, {"owed": "a word"}, "accepted without a word"),
        (FINE, FINE, {"value": float("nan")}, "NaN is no number"),
        (FINE, FINE, {"value": None}, "neither a value nor a reason"),
        (FINE, FINE, {"status": "invalid"}, "a run that is invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_judge_sees_each_broken_promise(
    tmp_path: Path, check: Verdict, ran: Verdict, more: dict[str, Any], says: str
) -> None:
    assert says in _judged(tmp_path / "run", check, ran, **more)


def test_what_waits_for_ever_is_ended_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package has a function of the module's name.
    monkeypatch.setattr(import_module("campaign.files.attempt"), "HANGS", 0.05)
    monkeypatch.setattr("harness.cli.main.main", lambda arguments: time.sleep(60))
    outcome = attempt([["check"]], tmp_path)
    assert "without an end" in outcome.ended
    case = Case(("x.json",), Told("x"), "saes.s", tmp_path / "run", "")
    assert judged(outcome, case)[0] == "it broke"


def test_a_process_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "harness.cli.main.main", lambda arguments: os.kill(os.getpid(), signal.SIGKILL)
    )
    assert attempt([["check"], ["eval"]], tmp_path).ended == "SIGKILL"
