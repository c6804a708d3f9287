"""Laws that every observer keeps."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.contract import (
    JSON,
    Artifact,
    Effort,
    Event,
    Observer,
    ObserverOptions,
    Progress,
    Record,
    Records,
    RunFailed,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
    Stamp,
    Warned,
)
from harness.testing.evaluator import HOSTILE
from harness.testing.support.laws import law, untried

_TEXTS = tuple(text.encode("utf-8", "replace").decode() for text in HOSTILE)
"""Hostile texts as a run tells them: lone surrogates are gone."""
SECONDS = 120.0
"""How long an observer may take for the events of one small run."""


@dataclass(frozen=True)
class Unheard(Event):
    """An event of a kind that no observer knows."""

    kind: ClassVar[str] = "unheard"


def check_observer(
    observer: Callable[[Any], Observer],
    options: ObserverOptions,
    folder: Path,
    *,
    kept: Callable[[Path, Sequence[Event]], bool] | None = None,
) -> None:
    """Raises AssertionError, naming the law, where an observer breaks one.

    `observer` is its class, `folder` an empty one. `kept` is given the folder of a run and its
    events, and says whether what the observer should have kept of them is there.

    Laws: a whole run does not raise · what was told is kept · a run that goes on does not raise · a
    run that fails does not raise · missing events do not raise · events that it does not know do
    not raise · hostile text does not raise · nothing is printed on stdout · the process is left as
    it is: working folder, variables of the environment that were set, random numbers.
    """
    if kept is None:
        untried("no sample gives `kept`", "what was told is kept")
    whole = "a whole run does not raise"
    first, again = folder / "first", folder / "failed"
    told = run_of(first)
    _see(observer, options, told, whole)
    if kept is not None:
        law(kept(first, told), "what was told is kept", f"not all {len(told)} events arrived")
    _see(observer, options, run_of(first, resumed=True), "a run that goes on does not raise")
    if kept is not None:
        name = "a run that goes on does not raise"
        law(kept(first, told), name, "what the first run has told is gone")
    failed = [*run_of(again)[:5], RunFailed(_stamp(9), "MachineError: full", 4, Effort(1.0))]
    _see(observer, options, failed, "a run that fails does not raise")
    some = [one for place, one in enumerate(run_of(folder / "some")) if place in (0, 3, 6, 9)]
    ended = RunFinished(_stamp(12), "invalid", ("the SAE sits elsewhere",))
    _see(observer, options, [*some, ended], "missing events do not raise")
    strange = run_of(folder / "strange")
    strange.insert(1, Unheard(_stamp(99)))
    _see(observer, options, strange, "events that it does not know do not raise")
    _see(observer, options, hostile(folder / "hostile"), "hostile text does not raise")


def run_of(folder: Path, resumed: bool = False) -> list[Event]:
    """The events of a small run in a folder, which is made with what the run would write there.

    A run that was `resumed` has a name of its own, and comes an hour later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("results.json", "report.html"):
        (folder / name).write_text("<p>{}</p>", encoding="utf-8")
    stage, effort = "activations, pass 1 of 1", Effort(2.5, 1000, 400.0, 2**30)
    at = partial(_stamp_of, "d4e5f6", 3600.0) if resumed else _stamp
    axes: dict[str, JSON] = {"pair": "both", "site": "resid_post.3", "k": 4}
    records = (
        Record("l0@1", 30.5, 100, "tokens", "latents", ci=(29.0, 32.0), axes=axes),
        Record("l0@1", 31.5, 90, "tokens", "latents", ci_why="one document", axes={**axes, "k": 8}),
        Record("fvu.pooled@1", None, 0, "tokens", "ratio", undefined="nothing was measured"),
    )
    return [
        RunStarted(at(0), "small", "A question?", str(folder), resumed, {"name": "small"}, "1.0"),
        StageStarted(at(1), stage, 20),
        Progress(at(2), stage, 10, 20, effort),
        Progress(replace(at(3), worker="node-1/0", shard=7), stage, 15, None),
        StageFinished(at(4), stage, 20, 20, effort),
        Records(at(5), records[:2]),
        Records(at(6), records[2:]),
        Warned(at(7), "saes.mid: it was trained on another model."),
        Artifact(at(8), "results", str(folder / "results.json"), "application/json"),
        Artifact(at(9), "report", str(folder / "report.html"), "text/html"),
        RunFinished(at(10), "complete", (), effort),
    ]


def hostile(folder: Path) -> list[Event]:
    """The same with hostile text wherever a model, a task or a data set may have put some."""
    found: list[Event] = []
    for event in run_of(folder):
        match event:
            case RunStarted():
                texts = {f"title {number}": text for number, text in enumerate(_TEXTS)}
                found.append(replace(event, title="\n".join(_TEXTS), task={"name": "x", **texts}))
            case StageStarted() | Progress() | StageFinished():
                found += [replace(event, stage=f"labels, {text}") for text in _TEXTS]
            case Records():
                poisoned = tuple(_poisoned(record) for record in event.records)
                found.append(replace(event, records=poisoned))
            case Warned():
                found += [replace(event, text=text) for text in _TEXTS]
            case _:
                found.append(event)
    return found


def _poisoned(record: Record) -> Record:
    axes: dict[str, JSON] = {f"axis {text[:40]}": text for text in _TEXTS}
    undefined = record.undefined and _TEXTS[2]
    return replace(record, axes={**record.axes, **axes}, unit=_TEXTS[2], undefined=undefined)


def _stamp_of(run: str, later: float, number: int) -> Stamp:
    return Stamp(run, number, 1_700_000_000.0 + later + number)


def _stamp(number: int) -> Stamp:
    return _stamp_of("a1b2c3", 0.0, number)


def _see(
    observer: Callable[[Any], Observer],
    options: ObserverOptions,
    events: Sequence[Event],
    name: str,
) -> None:
    """Tells a new observer some events, in a thread of its own, as a run does."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            one = observer(options)
            for event in events:
                one.see(event)
        except BaseException as error:
            raised.append(error)

    before, printed = _process(), StringIO()
    thread = threading.Thread(target=work, daemon=True)
    with redirect_stdout(printed):
        thread.start()
        thread.join(SECONDS)
    law(not thread.is_alive(), name, f"it has not come to an end after {SECONDS:g} s")
    law(not raised, name, f"{raised[0]!r:.500}" if raised else "")
    said = printed.getvalue()
    law(not said, "nothing is printed on stdout", f"{said!r:.200}. Write to stderr, or to a file")
    after = _process()
    changed = [what for what in before if before[what] != after.get(what)]
    law(not changed, "the process is left as it is", f"another {', '.join(changed)}")


def _process() -> dict[str, Any]:
    """What all code of a process shares, and a run may depend on."""
    torch = sys.modules.get("torch")
    drawn = {"random.random": str(random.getstate()), "numpy.random": str(np.random.get_state())}
    if torch is not None:
        drawn["torch.random"] = str(torch.random.get_rng_state().tolist())
    variables = {f"variable {name}": text for name, text in os.environ.items()}
    return {"working folder": os.getcwd(), **variables, **drawn}  # noqa: PTH109
