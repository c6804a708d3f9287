"""Holds what commands did with a file that is wrong against what is promised of any file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from campaign.files.attempt import Outcome
from campaign.files.told import Told
from campaign.referee import Verdict

INNARDS = re.compile(r"^\s*File \"|<\w+ object| at 0x|For details look", re.MULTILINE)
"""What is of use to a programmer alone."""
SENTENCES = re.compile(r"[.?!)…] \"?[A-Z]")
"""Where a second sentence begins: what is allowed, or what to do."""
OWN = re.compile(r"open /proc/self/clear_refs|os\.(remove|rmdir) \('[^/']+', \d+\)")
"""What a run does to itself, and to a temporary folder of its own: that it leaves nothing there,
and changes no file of the task, is seen afterwards."""


@dataclass(frozen=True)
class Case:
    """What was tried: which files, what was done to them, and where messages may place them."""

    files: tuple[str, ...]
    told: Told
    table: str
    run: Path
    """The folder that the run may write."""
    sound: str
    """The numbers of the run on sound files, as `numbers` writes them."""


def numbers(run: Path) -> str:
    """The records of a run as text: equal where all numbers are."""
    content = json.loads((run / "results.json").read_text("utf-8"))
    return json.dumps([[r["id"], r["axes"], r["value"], r["n"]] for r in content["records"]])


def judged(outcome: Outcome, case: Case) -> tuple[str, str]:
    """How a try ended in a few words, and every promise that was broken, a line each."""
    faults = list(_faults(outcome, case))
    return _end(outcome, case), "\n".join(faults)


def _end(outcome: Outcome, case: Case) -> str:
    if outcome.ended or len(outcome.verdicts) < 2:
        return "it broke"
    check, ran = outcome.verdicts[:2]
    if ran.code == 0:
        return "accepted, " + ("same numbers" if _same(case) else "other numbers")
    return {2: "refused", 3: "an invalid run"}.get(ran.code, f"exit {ran.code}") + (
        " by check" if check.code else ""
    )


def _same(case: Case) -> bool:
    try:
        return numbers(case.run) == case.sound
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _faults(outcome: Outcome, case: Case) -> Iterator[str]:
    if outcome.ended:
        command = ("check", "eval", "report")[min(len(outcome.verdicts), 2)]
        yield f"{command} ended by {outcome.ended}: {outcome.said.strip()[-600:]}"
        return
    check, ran, *shown = outcome.verdicts
    yield from _said("check", check, (0, 2), case)
    yield from _said("eval", ran, (0, 2, 3), case)
    for report in shown:
        yield from _said("report", report, (0,) if ran.code == 0 else (0, 2), case)
    if check.code and not ran.code:
        yield f"check refuses it and eval runs: {check.err.strip()[:300]}"
    if ran.code == 0:
        yield from _results(case)


def _said(command: str, verdict: Verdict, allowed: tuple[int, ...], case: Case) -> Iterator[str]:
    own = tuple(event for event in verdict.outside if not OWN.fullmatch(event))
    # A run that is fine may warn; a check tells such things on stdout.
    warns = command != "check" and not verdict.code
    heard = replace(verdict, outside=own)
    said = (verdict.err or verdict.out).strip()
    if broken := heard.broken(allowed, str(case.run.parent), warns=warns):
        yield f"{command}: {broken}: {said[-1500:]}"
    elif verdict.code == 2 and command != "report":
        places = [Path(file) for file in case.files]
        names = [place.name.partition(".")[0] for place in places]
        names += [f"/{place.parent.name}" if place.parent.name else "\0" for place in places]
        entry = re.search(rf"\b{re.escape(case.table.rpartition('.')[2])} has ", said)
        if not entry and not any(name in said for name in [*names, case.table]):
            yield f"{command} does not say where it is: {said[:600]}"
        if not SENTENCES.search(said):
            yield f"{command} does not say what is allowed or what to do: {said[:600]}"
        if found := INNARDS.search(said):
            yield f"{command} speaks of {found[0]!r}: {said[:600]}"


def _results(case: Case) -> Iterator[str]:
    """What is wrong with the results of a run that ended with 0."""
    file = case.run / "results.json"
    try:
        content = json.loads(file.read_text("utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        yield f"results.json: {error}"
        return
    if content["status"] != "complete":
        yield f"exit 0 of a run that is {content['status']}"
    if not (case.run / "report.html").is_file():
        yield "no report"
    for record in content["records"]:
        yield from _record(record)
    if not content["records"]:
        yield "exit 0 and not one number"
    told = case.told
    if told.owed == "a refusal" or (told.owed == "the same numbers" and not _same(case)):
        yield "accepted, though it cannot be read as it was meant"
    if told.owed == "a word" and not content["warnings"]:
        yield "accepted without a word"


def _record(record: Mapping[str, Any]) -> Iterator[str]:
    value, why = record["value"], record["undefined"]
    if value is None and not why:
        yield f"{record['id']} has neither a value nor a reason"
    if value is not None and not math.isfinite(value):
        yield f"{record['id']} is {value}"


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")
